"""Where retention stands: after runs, between days, while a run goes on, after one that died; and `retention status`."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, sessionmaker

import cli
from retention import incidents
from retention.calendar import Cutoff, Period, YearEnd, deletable_at
from retention.calendar import cutoff as cutoff_at
from retention.classes import StartEvent
from retention.policies.load import shipped_policy
from retention.policies.model import Policy
from retention.purge.governing import governing
from retention.standing import Condition, Standing, class_standing, look
from ringfence.clock import Clock, FixedClock
from ringfence.commands.installation import Installation
from ringfence.models import AccountPolicy, PurgeRunClass
from ringfence.models.base import DataClass
from ringfence.queries import nodes
from ringfence.settings import Settings
from tests.database.purging import CUTOFF, NOW, book, purge, spread

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)  # the first after NOW


def standing(sessions: sessionmaker[Session], now: datetime) -> Standing:
    with sessions() as session:
        return look(session, governing(session, "recommended", now), now)


def conditions(found: Standing) -> Counter[Condition]:
    return Counter(each.condition for each in found.classes)


def call_log(found: Standing) -> Condition:
    return next(each.condition for each in found.classes if each.data_class == "call_log")


def test_a_store_that_was_never_purged(sessions: sessionmaker[Session]) -> None:
    found = standing(sessions, NOW)
    assert set(conditions(found)) == {Condition.NEVER}
    assert {each.data_class for each in found.due} == {each.data_class for each in found.classes} >= {"call_log", "billing", "ledger"}
    assert (found.last_run, found.last_finished, found.running, found.well) == (None, None, None, False)


def test_days_go_by(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    """Nothing is behind on the day of the run; from midnight it is due, after the target late, after the ceiling overdue; the next run heals all."""
    clock = FixedClock(NOW)
    book(engine, spread(CUTOFF - 5 * DAY, 20, 5))
    assert purge(engine, store_settings, clock).run() is not None
    found = standing(sessions, MIDNIGHT - timedelta(seconds=1))
    assert set(conditions(found)) == {Condition.CURRENT}
    assert (found.due, found.behind, found.well) == ((), (), True)
    expected = {
        MIDNIGHT: Condition.DUE,
        MIDNIGHT + 24 * HOUR: Condition.DUE,
        MIDNIGHT + 24.01 * HOUR: Condition.LATE,
        MIDNIGHT + 7 * DAY: Condition.LATE,
        MIDNIGHT + 7.01 * DAY: Condition.OVERDUE,
    }
    assert {now: call_log(standing(sessions, now)) for now in expected} == expected
    found = standing(sessions, MIDNIGHT + 3 * DAY)
    late = next(each for each in found.behind if each.data_class == "call_log")
    assert (late.since, late.reached, late.cutoff) == (MIDNIGHT, CUTOFF, CUTOFF + 4 * DAY)
    assert len(found.due) == len(found.classes)  # each class is looked at every day, whether its cutoff moved or not
    clock.set(MIDNIGHT + 3 * DAY)
    assert purge(engine, store_settings, clock).run() is not None
    assert standing(sessions, clock.now()).well


def test_a_class_whose_cutoff_moves_once_a_year_is_never_late_between(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    assert purge(engine, store_settings, FixedClock(NOW)).run() is not None
    (billing,) = [each for each in standing(sessions, NOW + 30 * DAY).classes if each.data_class == "billing"]
    assert (billing.condition, billing.due_now, billing.since) == (Condition.CURRENT, True, None)


def test_what_a_stop_left_is_still_due(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    clock, stop = FixedClock(NOW), Event()
    book(engine, spread(CUTOFF - 5 * DAY, 5, 40))
    report = purge(engine, store_settings, clock, largest=20, progress=lambda _progress: stop.set()).run(stop)
    assert report is not None
    found = standing(sessions, NOW)
    stopped = {each.data_class: (each.outcome, each.reason, each.condition) for each in found.due}
    assert stopped["call_log"] == ("contended", "stopped", Condition.NEVER)
    assert (found.last_run, found.running) == (found.last_finished, None)
    assert purge(engine, store_settings, clock).run() is not None
    assert standing(sessions, NOW).well


def test_a_run_is_seen_while_it_goes_on_and_not_after_it_died(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    clock, seen = FixedClock(NOW), []
    book(engine, spread(CUTOFF - 5 * DAY, 5, 40))

    class KilledError(BaseException):
        pass

    def watch(_progress: object) -> None:
        seen.append(standing(sessions, clock.now()))
        if len(seen) == 3:
            raise KilledError

    with pytest.raises(KilledError):
        purge(engine, store_settings, clock, largest=20, progress=watch, holder="n1:42").run()
    runs = [found.running for found in seen]
    assert [each.rows_done for each in runs if each] == sorted({each.rows_done for each in runs if each})
    last = runs[-1]
    assert last is not None
    assert (last.holder, 0 < last.rows_done < last.rows_due <= 200 * 2, last.classes_done < last.classes) == ("n1:42", True, True)
    found = standing(sessions, clock.now() + 5 * timedelta(minutes=1))
    assert found.running is None
    assert found.last_run is not None
    assert (found.last_run.finished_at, found.last_finished) == (None, None)


def test_an_account_that_came_under_another_policy_is_late_from_then_only(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    clock = FixedClock(NOW)
    with sessions.begin() as session:
        session.add(AccountPolicy(account_id=1, policy="voipfone", since=NOW))
    found = standing(sessions, NOW)
    assert {(each.policy, each.default) for each in found.classes} == {("recommended", True), ("voipfone", False)}
    assert purge(engine, store_settings, clock).run() is not None
    assert standing(sessions, NOW).well


def test_workers_and_incidents_are_in_it(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    clock = FixedClock(NOW)
    assert purge(engine, store_settings, clock).run() is not None
    with sessions.begin() as session:
        nodes.report_node(session, "n1", worker_seen_at=NOW - timedelta(seconds=10), files_purged_at=NOW - HOUR)
        nodes.report_node(session, "n2", worker_seen_at=NOW - HOUR)
        nodes.report_node(session, "n3", app_seen_at=NOW)
        incident = incidents.raise_incident(session, clock, "volume", "5 rows", data_class="call_log").id
    found = standing(sessions, NOW)
    assert [(each.node, each.age_seconds, each.silent) for each in found.workers] == [("n1", 10, False), ("n2", 3600, True), ("n3", None, True)]
    assert [(each.id, each.cause, each.data_class) for each in found.incidents] == [(incident, "volume", "call_log")]
    assert (found.behind, found.well) == ((), False)


def test_a_fixed_number_of_statements(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    """It is asked every few minutes for years: it must not read once for each class."""
    clock = FixedClock(NOW)
    for day in range(3):
        clock.set(NOW + day * DAY)
        assert purge(engine, store_settings, clock).run() is not None
    said: list[str] = []
    with sessions() as session:
        policies = governing(session, "recommended", clock.now())
        event.listen(engine, "before_cursor_execute", lambda *args: said.append(args[2]))
        assert look(session, policies, clock.now()).well
    assert len(said) <= 11


def test_a_class_that_no_recent_run_was_about_is_found_among_all(
    engine: Engine, sessions: sessionmaker[Session], store_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FixedClock(NOW)
    assert purge(engine, store_settings, clock).run() is not None
    monkeypatch.setattr("ringfence.queries.standing._RECENT", 2)
    for minute in range(1, 4):
        clock.set(NOW + timedelta(minutes=minute))
        assert purge(engine, store_settings, clock).run(only=[DataClass.BILLING]) is not None
    found = {each.data_class: each for each in standing(sessions, clock.now()).classes}
    assert {each.condition for each in found.values()} == {Condition.CURRENT}
    assert (found["call_log"].tried_at, found["billing"].tried_at) == (NOW, clock.now())


def _ran(reached: datetime, at: datetime) -> PurgeRunClass:
    return PurgeRunClass(cutoff_at=reached, started_at=at, finished_at=at, outcome="done", reason=None, rows=0, held=0)


def _cutoff(policy: Policy, now: datetime, period: Period, year_end: YearEnd | None = None) -> Cutoff:
    start = StartEvent.FINANCIAL_YEAR_END if year_end else StartEvent.CALL_STARTED
    return Cutoff("call_log", policy.key, policy.version, period, start.value, year_end, cutoff_at(now, period, year_end), now)


@pytest.mark.parametrize("period", [Period(months=12), Period(months=1), Period(days=30), Period(months=75)])
@pytest.mark.parametrize("year_end", [None, YearEnd(3, 31)])
def test_since_is_when_the_first_moment_that_was_not_reached_became_due(period: Period, year_end: YearEnd | None) -> None:
    policy = shipped_policy("recommended")
    first = datetime(2027, 1, 20, 4, tzinfo=UTC)
    for day in range(0, 500, 7):
        then, now = first + day * DAY, first + (day + 9) * DAY
        reached = cutoff_at(then, period, year_end)
        found = class_standing(policy, _cutoff(policy, now, period, year_end), _ran(reached, then), None, now, default=True, begun=None)
        if found.since is None:
            assert found.cutoff == reached
            continue
        assert found.since == deletable_at(reached, period, year_end)
        assert then < found.since <= now
        assert cutoff_at(found.since - timedelta(seconds=1), period, year_end) == reached < cutoff_at(found.since, period, year_end)


def test_a_shorter_window_makes_nothing_late_before_it_holds() -> None:
    policy = shipped_policy("recommended")
    holds_from = datetime(policy.effective.year, policy.effective.month, policy.effective.day, tzinfo=UTC)
    now = holds_from + 2 * HOUR
    reached = cutoff_at(now - 3 * HOUR, Period(months=12))
    found = class_standing(policy, _cutoff(policy, now, Period(months=6)), _ran(reached, now - 3 * HOUR), None, now, default=True, begun=None)
    assert (found.since, found.condition) == (holds_from, Condition.DUE)
    later = now + 3 * DAY
    begun = later - HOUR
    found = class_standing(policy, _cutoff(policy, later, Period(months=6)), _ran(reached, now), None, later, default=False, begun=begun)
    assert (found.since, found.condition) == (begun, Condition.DUE)


class Here(Installation):
    """An installation on a test's store, at a fixed time."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(None)
        self.__dict__["settings"] = settings
        self.clock: Clock = FixedClock(NOW)


def test_the_command(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    here = Here(store_settings)

    def run(*options: str) -> tuple[int, str, str]:
        code = cli.run(["retention", "status", *options], installation=here)
        return code, *capsys.readouterr()

    try:
        code, out, err = run()
        assert (code, "behind: " in err, "last finished run  none" in out) == (3, True, True)
        book(engine, spread(CUTOFF - 5 * DAY, 1, 5))
        assert purge(engine, store_settings, FixedClock(NOW)).run() is not None
        code, out, err = run()
        assert (code, err, "no run goes on" in out) == (0, "no node has told about itself yet\n", True)
        found = json.loads(run("--json")[1])
        assert (found["well"], found["behind"], found["running"], found["last_finished"]["rows"]) == (True, [], None, 10)
        row = next(each for each in found["classes"] if each["data_class"] == "call_log")
        assert (row["condition"], row["outcome"], row["rows"], row["cutoff"]) == ("current", "done", 10, row["reached"])
        with sessions.begin() as session:
            incidents.raise_incident(session, FixedClock(NOW), "volume", "5 rows")
        code, out, err = run("--json")
        assert (code, "1 incident(s) are open" in err, json.loads(out)["well"]) == (3, True, False)
    finally:
        here.engine.dispose()


def test_every_class_with_a_window_is_in_it(sessions: sessionmaker[Session]) -> None:
    policy = shipped_policy("recommended")
    with_window = {data_class.value for data_class in DataClass if policy.cutoff(data_class, NOW) is not None}
    assert {each.data_class for each in standing(sessions, NOW).classes} == with_window
