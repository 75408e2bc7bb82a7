"""The worker's clock is set as the design says, its progress is told, and what it chooses to purge is decided from where retention stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from structlog.testing import capture_logs

from retention.calendar import local_date, midnight
from retention.purge.executor import Progress
from retention.standing import ClassStanding, Condition, Heartbeat, OpenIncident, RunStanding, Standing
from retention.worker.enforce import RETRY, Turn, begins, choose
from retention.worker.job import Job
from retention.worker.jobs import make_jobs
from retention.worker.late import CLASS_FAILED, LATE, Known, changes
from retention.worker.metrics import TURNS_WITHIN, WorkerMetrics
from retention.worker.progress import EVERY, Progressing
from retention.worker.schedule import make_scheduler
from ringfence.clock import FixedClock, SystemClock
from ringfence.errors import Misconfigured
from ringfence.settings import Settings, load

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


# The clock.


@pytest.fixture
def started() -> Iterator[Callable[[BackgroundScheduler], None]]:
    running: list[BackgroundScheduler] = []

    def start(scheduler: BackgroundScheduler) -> None:
        running.append(scheduler)
        scheduler.start()

    yield start
    for scheduler in running:
        scheduler.shutdown(wait=True)


def job(name: str, every: timedelta = timedelta(hours=1)) -> Job:
    return Job(name, every, lambda _at: None)


def test_the_scheduler_is_a_clock_and_nothing_more(started: Callable[[BackgroundScheduler], None]) -> None:
    jobs = make_jobs(Settings())
    done = {each.name: Event() for each in jobs}
    scheduler = make_scheduler(jobs, lambda each: done[each.name].set(), SystemClock())
    assert scheduler.timezone is UTC
    started(scheduler)
    assert all(event.wait(5) for event in done.values())  # each has its first turn at once
    assert [type(store) for store in scheduler._jobstores.values()] == [MemoryJobStore]
    assert [type(pool) for pool in scheduler._executors.values()] == [ThreadPoolExecutor]
    assert {each.id: each.trigger.interval for each in scheduler.get_jobs()} == {each.name: each.every for each in jobs}
    for each in scheduler.get_jobs():
        assert (each.coalesce, each.max_instances, each.misfire_grace_time) == (True, 1, None)
        assert (each.trigger.timezone, each.next_run_time.utcoffset()) == (UTC, timedelta(0))


def test_the_intervals_are_those_of_the_settings() -> None:
    every = {each.name: each.every for each in make_jobs(load(None, {"RINGFENCE_WORKER__INTERVAL_MINUTES": "7"}))}
    assert every["retention"] == 7 * MINUTE
    assert every["heartbeat"] == timedelta(seconds=15)
    for key, value in (("INTERVAL_MINUTES", "0"), ("INTERVAL_MINUTES", "1441"), ("START_HOURS", "13"), ("START_HOURS", "-1")):
        with pytest.raises(Misconfigured, match="out of range"):
            load(None, {f"RINGFENCE_WORKER__{key}": value})


def test_a_job_that_wants_its_next_turn_soon_gets_it(started: Callable[[BackgroundScheduler], None]) -> None:
    turns, third = [], Event()

    def perform(_job: Job) -> timedelta:
        turns.append(1)
        if len(turns) == 3:
            third.set()
        return timedelta(milliseconds=20)

    started(make_scheduler([job("a")], perform, SystemClock()))
    assert third.wait(5)


def test_a_job_that_takes_long_holds_up_no_other_and_is_not_doubled(started: Callable[[BackgroundScheduler], None]) -> None:
    release, beats, running = Event(), [], []
    enough = Event()

    def perform(each: Job) -> None:
        if each.name == "long":
            running.append(1)
            release.wait(10)
            return
        beats.append(1)
        if len(beats) == 3:
            enough.set()

    scheduler = make_scheduler([job("long", timedelta(seconds=1)), job("beat", timedelta(seconds=1))], perform, SystemClock())
    with capture_logs() as said:
        started(scheduler)
        assert enough.wait(10)
    assert len(running) == 1
    assert {"event": "job_still_runs", "job": "long", "log_level": "info"} in said
    release.set()


def test_a_job_that_breaks_is_said_and_has_its_next_turn(started: Callable[[BackgroundScheduler], None]) -> None:
    turns, second = [], Event()

    def perform(_job: Job) -> None:
        turns.append(1)
        if len(turns) == 2:
            second.set()
        raise ValueError

    with capture_logs() as said:
        started(make_scheduler([job("a", timedelta(seconds=1))], perform, SystemClock()))
        assert second.wait(10)
    assert [(each["event"], each["error"]) for each in said if each["event"] == "job_broke"][:1] == [("job_broke", "ValueError")]


# What is chosen.


def a_class(name: str, condition: Condition = Condition.CURRENT, **changes: Any) -> ClassStanding:
    values: dict[str, Any] = {
        "data_class": name,
        "policy": "recommended",
        "policy_version": 1,
        "default": True,
        "condition": condition,
        "cutoff": MIDNIGHT - 365 * DAY,
        "reached": None if condition is Condition.NEVER else MIDNIGHT - 366 * DAY,
        "reached_at": None,
        "since": {Condition.DUE: MIDNIGHT, Condition.LATE: MIDNIGHT - DAY, Condition.OVERDUE: MIDNIGHT - 8 * DAY}.get(condition),
        "due_now": condition is not Condition.CURRENT,
        "tried_at": MIDNIGHT - 20 * HOUR,
        "outcome": "done",
        "reason": None,
        "rows": 0,
        "held": 0,
    }
    return ClassStanding(**(values | changes))


def stands(*classes: ClassStanding, now: datetime = NOW, **changes: Any) -> Standing:
    values: dict[str, Any] = {
        "at": now,
        "classes": classes,
        "last_run": None,
        "last_finished": None,
        "running": None,
        "workers": (Heartbeat("n1", now, 0.0, False, MIDNIGHT + MINUTE),),
        "incidents": (),
    }
    return Standing(**(values | changes))


BEGIN = MIDNIGHT + 2 * HOUR
EARLY = MIDNIGHT + 30 * MINUTE


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (stands(a_class("call_log"), a_class("billing")), Turn.NOTHING_DUE),
        (stands(a_class("call_log", Condition.DUE), a_class("billing")), frozenset({"call_log"})),
        (stands(a_class("call_log", Condition.DUE), now=EARLY), Turn.NOT_YET),
        (stands(a_class("call_log", Condition.LATE), now=EARLY), frozenset({"call_log"})),
        (stands(a_class("call_log", Condition.NEVER, tried_at=None, outcome=None), now=EARLY), frozenset({"call_log"})),
        (stands(a_class("call_log", Condition.DUE, outcome=None, tried_at=EARLY), now=EARLY), frozenset({"call_log"})),  # it was killed
        (stands(a_class("call_log", Condition.DUE, outcome="contended", tried_at=EARLY), now=EARLY), frozenset({"call_log"})),
        (stands(a_class("call_log", Condition.DUE, outcome="failed", tried_at=NOW - MINUTE), a_class("billing", Condition.DUE)), frozenset({"billing"})),
        (stands(a_class("call_log", Condition.DUE, outcome="failed", tried_at=NOW - MINUTE)), Turn.POSTPONED),
        (stands(a_class("call_log", Condition.DUE, outcome="failed", tried_at=NOW - RETRY)), frozenset({"call_log"})),
    ],
)
def test_what_is_purged_now(found: Standing, expected: frozenset[str] | Turn) -> None:
    assert choose(found, "n1", BEGIN) == expected


def test_what_somebody_asks_for_is_not_postponed() -> None:
    failed = a_class("call_log", Condition.DUE, outcome="failed", tried_at=EARLY)
    assert choose(stands(failed, now=EARLY), "n1", EARLY, asked=True) == frozenset({"call_log"})
    assert choose(stands(a_class("call_log"), now=EARLY), "n1", EARLY, asked=True) is Turn.NOTHING_DUE


@pytest.mark.parametrize("first", [datetime(2026, 10, 23, 20, tzinfo=UTC), datetime(2027, 3, 26, 20, tzinfo=UTC)], ids=["clocks go back", "clocks go forward"])
def test_each_day_in_london_has_one_run_also_when_its_clocks_change(first: datetime) -> None:
    """At 01:30 a scheduler in London's time would fire twice in October, and at a time that does not exist in March."""
    ran: list[datetime] = [first]
    for quarter in range(1, 4 * 24 * 4):
        now = first + quarter * 15 * MINUTE
        today = midnight(local_date(now))
        due = ran[-1] < today
        found = a_class("call_log", Condition.DUE if due else Condition.CURRENT, since=today if due else None, tried_at=ran[-1])
        if isinstance(choose(stands(found, now=now, workers=(Heartbeat("n1", now, 0.0, False, now),)), "n1", begins(now, 2)), frozenset):
            ran.append(now)
    assert [local_date(each) for each in ran] == [local_date(first) + n * DAY for n in range(5)]
    assert {each - midnight(local_date(each)) for each in ran[1:]} == {2 * HOUR}


@pytest.mark.parametrize(("ago", "opened", "expected"), [(MINUTE, True, Turn.POSTPONED), (MINUTE, False, {"call_log"}), (RETRY, True, {"call_log"})])
def test_a_brake_holds_for_an_hour_or_until_a_person_has_settled_it(ago: timedelta, opened: bool, expected: object) -> None:
    run = RunStanding("1", NOW - ago, NOW - ago, NOW - ago, "volume", 0, 0)
    incident = OpenIncident("1", "volume", "call_log", NOW - ago, "")
    other = OpenIncident("2", "late", None, NOW - ago, "")
    found = stands(a_class("call_log", Condition.DUE), last_run=run, incidents=(other, incident) if opened else (other,))
    assert choose(found, "n1", BEGIN) == expected


@pytest.mark.parametrize(
    ("purged_at", "now", "expected"),
    [
        (MIDNIGHT, NOW, Turn.NOTHING_DUE),
        (MIDNIGHT - MINUTE, NOW, {"ledger", "log"}),
        (MIDNIGHT - MINUTE, EARLY, Turn.NOT_YET),
        (MIDNIGHT - DAY - MINUTE, EARLY, {"ledger", "log"}),
        (None, NOW, {"ledger", "log"}),
    ],
)
def test_a_node_looks_at_its_own_files_every_day_whatever_others_did(purged_at: datetime | None, now: datetime, expected: object) -> None:
    workers = (Heartbeat("n2", now, 0.0, False, now), Heartbeat("n1", now, 0.0, False, purged_at))
    found = stands(a_class("call_log"), a_class("ledger"), a_class("log"), now=now, workers=workers)
    assert choose(found, "n1", BEGIN) == expected


def test_files_are_looked_at_together_or_not_at_all() -> None:
    failed = a_class("ledger", outcome="failed", tried_at=NOW - MINUTE)
    found = stands(failed, a_class("log"), a_class("call_log", Condition.DUE), workers=())
    assert choose(found, "n1", BEGIN) == frozenset({"call_log"})
    assert choose(stands(failed, a_class("log"), workers=()), "n1", BEGIN) is Turn.POSTPONED


# Incidents that open and close by themselves.


def test_one_incident_for_all_that_is_late() -> None:
    found = stands(a_class("call_log", Condition.LATE), a_class("billing", Condition.OVERDUE), a_class("account", Condition.DUE))
    todo = changes(found, [])
    assert ("2026-11-13T00:00:00Z" in todo.late, "billing, call_log" in todo.late, "account" in todo.late, todo.mended) == (True, True, False, ())
    assert not changes(found, [Known("1", LATE, None, 0.0)])
    assert changes(stands(a_class("call_log")), [Known("1", LATE, None, 0.0)]).mended == ("1",)
    assert changes(stands(a_class("call_log", Condition.NEVER)), []).late == ""  # a new store is not late


@pytest.mark.parametrize(
    ("outcome", "tried", "closed"), [("done", NOW, True), ("held", NOW, True), ("failed", NOW, False), ("done", NOW - DAY, False), (None, NOW, False)]
)
def test_the_incident_of_a_class_closes_when_a_later_run_reached_it(outcome: str | None, tried: datetime, closed: bool) -> None:
    incident = Known("1", CLASS_FAILED, "call_log", (NOW - HOUR).timestamp())
    found = stands(a_class("call_log", outcome=outcome, tried_at=tried), a_class("billing", outcome="failed"))
    assert changes(found, [incident]).mended == (("1",) if closed else ())
    two = stands(a_class("call_log", outcome="done", tried_at=NOW), a_class("call_log", outcome="failed", tried_at=NOW, policy="voipfone"))
    assert changes(two, [incident]).mended == ()


def test_a_brake_is_never_closed_by_the_worker() -> None:
    assert not changes(stands(a_class("call_log")), [Known("1", "volume", "call_log", 0.0)])


# Progress and metrics.


def value(metrics: WorkerMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_progress_is_told_every_ten_seconds_with_rate_and_time_left() -> None:
    clock = FixedClock(NOW)
    metrics = WorkerMetrics(clock)
    progressing = Progressing(clock, metrics)
    structlog.reset_defaults()
    with capture_logs() as said:
        for second in range(1, 26):
            clock.set(NOW + timedelta(seconds=second))
            progressing(Progress("call_log", "recommended", second * 2000, 100_000, 1.0, second * 1000))
    assert [(each["rows"], each["rows_a_second"], each["seconds_left"]) for each in said] == [(10_000, 1000, 90), (20_000, 1000, 80)]
    assert value(metrics, "ringfence_retention_rows_total", data_class="call_log") == 50_000
    assert value(metrics, "ringfence_retention_rows_left") == 75_000
    progressing(Progress("billing", "recommended", 10, 5, 1.0, 10))
    assert value(metrics, "ringfence_retention_rows_total", data_class="billing") == 10
    assert value(metrics, "ringfence_retention_rows_left") == 0
    assert value(metrics, "ringfence_retention_batch_seconds_count") == 26
    assert EVERY == 10.0


def test_metrics_show_where_retention_stood() -> None:
    clock = FixedClock(NOW)
    metrics = WorkerMetrics(clock)
    assert (metrics.retention(), value(metrics, "ringfence_retention_behind")) == ("", None)
    run = RunStanding("1", NOW, NOW, NOW - HOUR, None, 0, 0)
    classes = (a_class("call_log", Condition.LATE), a_class("call_log", policy="voipfone"), a_class("billing", Condition.NEVER))
    metrics.standing = stands(*classes, last_finished=run, incidents=(OpenIncident("1", "late", None, NOW, ""),))
    assert metrics.retention() == "late: call_log"
    assert value(metrics, "ringfence_retention_late_seconds", data_class="call_log") == 27 * 3600
    assert value(metrics, "ringfence_retention_late_seconds", data_class="billing") == 0
    assert value(metrics, "ringfence_retention_behind") == 2
    assert value(metrics, "ringfence_retention_incidents") == 1
    assert value(metrics, "ringfence_retention_finished_age_seconds") == 3600


def test_a_clock_that_stands_still_is_a_fault() -> None:
    clock = FixedClock(NOW)
    metrics = WorkerMetrics(clock)
    assert metrics.turning() == ""
    clock.set(NOW + timedelta(seconds=TURNS_WITHIN))
    assert metrics.turning() == "no job had its turn for 120 s"
    metrics.turned()
    assert metrics.turning() == ""
