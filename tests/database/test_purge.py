"""Purging calls and their kin, on both engines: what is due goes with a receipt, what is not stays, and the verifier agrees."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import msgspec
import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session, sessionmaker

from retention.calendar import local_date, midnight, parse_period
from retention.policies.load import shipped_policy
from retention.purge import barrier
from retention.purge.governing import Governing
from retention.purge.outcome import Outcome
from ringfence.clock import FixedClock, SystemClock
from ringfence.errors import Misconfigured, NotFound
from ringfence.models import ReadBarrier
from ringfence.models.base import DataClass
from ringfence.queries import calls, policies
from ringfence.queries.calls import CallFilter
from ringfence.settings import Settings
from tests.database.purging import CUTOFF, NOW, book, booking, older, purge, scalar, spread, verified


def test_what_is_due_goes_and_nothing_else(engine: Engine, store_settings: Settings, tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    book(engine, spread(CUTOFF - timedelta(days=40), 60, 20))
    assert older(engine, "call", CUTOFF) == 40 * 20
    it = purge(engine, store_settings, clock)
    plan = it.plan()
    report = it.run()
    assert report is not None
    found = {result.data_class: result for result in report.results}
    assert (plan.rows, found["call_log"].rows, found["call_log"].outcome) == (800, 1600, Outcome.DONE)
    assert {older(engine, table, CUTOFF) for table in ("call", "leg")} == {0}
    assert [scalar(engine, f"SELECT count(*) FROM {table}") for table in ("call", "leg", "invoice_line")] == [400, 400, 1200]
    assert scalar(engine, "SELECT sum(calls) FROM call_aggregate") == 800
    assert verified(engine, clock, tmp_path / "bundle") == 0


def test_what_went_is_counted_by_the_hour_of_the_clock(engine: Engine, store_settings: Settings) -> None:
    """Summer time: 20:10 UTC is nine in the evening, and 23:30 UTC is the next day in London."""
    evening = datetime(2025, 7, 1, 20, 10, tzinfo=UTC)
    late = datetime(2025, 7, 1, 23, 30, tzinfo=UTC)
    book(engine, [booking(n, evening + timedelta(minutes=n)) for n in range(12)])
    book(engine, [booking(100 + n, late + timedelta(minutes=n)) for n in range(6)])
    book(engine, [booking(200 + n, evening - timedelta(hours=2 + n)) for n in range(3)])
    assert purge(engine, store_settings, FixedClock(NOW)).run() is not None
    with engine.connect() as connection:
        query = "SELECT day, hour, trunk, destination, calls, answered, billable_seconds FROM call_aggregate ORDER BY day, hour"
        found = [(str(row[0]), *row[1:]) for row in connection.execute(text(query))]
    assert found == [("2025-07-01", -1, "trunk-a", "mobile", 15, 15, 15 * 56), ("2025-07-02", 0, "trunk-a", "mobile", 6, 6, 6 * 56)]
    book(engine, [booking(300 + n, evening - timedelta(days=20, minutes=-n)) for n in range(12)])
    book(engine, [booking(400 + n, evening - timedelta(days=20, hours=3, minutes=-n)) for n in range(5)])
    assert purge(engine, store_settings, FixedClock(NOW + timedelta(hours=1))).run() is not None
    with engine.connect() as connection:
        hours = connection.execute(text("SELECT hour, calls FROM call_aggregate WHERE day = '2025-06-11' ORDER BY hour")).all()
    assert [tuple(row) for row in hours] == [(18, 5), (21, 12)]


def test_what_is_past_its_window_is_shown_to_nobody_before_the_purge_has_reached_it(engine: Engine, sessions: sessionmaker[Session]) -> None:
    now = SystemClock().now()
    today = local_date(now)
    ends = midnight(today - timedelta(days=365))
    old, new = booking(1, ends - timedelta(days=3)), booking(2, now - timedelta(days=30))
    theirs = booking(3, now - timedelta(days=400), account=5)
    book(engine, [old, new, theirs])
    with sessions.begin() as session:
        policies.assign(session, 5, "longer", now)
        rules = shipped_policy("recommended")
        rule = msgspec.structs.replace(rules.rules[DataClass.CALL_LOG], window=parse_period("P2Y"))
        longer = msgspec.structs.replace(rules, key="longer", rules={**rules.rules, DataClass.CALL_LOG: rule})
        barrier.write_ahead(session, lambda _at: Governing(rules, (longer,)), now)
    with sessions() as session:
        shown = [row["call_id"] for row in calls.stream_calls(session, CallFilter(), reveal=True)]
        assert shown == [theirs.call.call_id, new.call.call_id]
        with pytest.raises(NotFound):
            calls.get_call(session, old.call.call_id, reveal=True)
        assert calls.get_call(session, new.call.call_id)[0]["call_id"] == new.call.call_id
    assert scalar(engine, "SELECT count(*) FROM call") == 3
    with sessions.begin() as session:  # nobody ran since: the barrier moves by itself
        barrier.write_ahead(session, lambda _at: Governing(rules, (longer,)), now - timedelta(days=50))
        assert session.scalar(select(func.max(ReadBarrier.valid_from))) >= now  # type: ignore[operator]


def test_every_policy_deletes_its_own_accounts_rows(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings, tmp_path: Path) -> None:
    """An account under Voipfone's policy beside the operator's others; recommended keeps registrations 30 days, both keep calls 12 months."""
    clock = FixedClock(NOW)
    book(engine, [booking(number, CUTOFF - timedelta(days=1, minutes=number), account=number % 3 or None) for number in range(9)])
    with sessions.begin() as session:
        policies.assign(session, 2, "voipfone", NOW)
    plan = {item.key: item.due.rows for item in purge(engine, store_settings, clock).plan().items if item.data_class is DataClass.CALL_LOG}
    assert plan == {("call_log", "recommended"): 6, ("call_log", "voipfone"): 3}
    report = purge(engine, store_settings, clock).run()
    assert report is not None
    assert {result.policy: result.rows for result in report.results if result.data_class == "call_log"} == {"recommended": 12, "voipfone": 6}
    assert scalar(engine, "SELECT count(*) FROM call") == 0
    assert verified(engine, clock, tmp_path / "bundle") == 0
    with sessions.begin() as session:
        policies.assign(session, 2, "nobody-knows", NOW)
    with pytest.raises(Misconfigured, match="nobody-knows"):
        purge(engine, store_settings, clock).run()


def test_one_failing_class_never_stops_another(engine: Engine, store_settings: Settings, tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    book(engine, spread(CUTOFF - timedelta(days=5), 5, 5))
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO plan_change VALUES (1, 'did', '+442079460001', '2020-01-01 00:00:00')"))
        broken = "CREATE TRIGGER broken BEFORE DELETE ON plan_change "
        if engine.dialect.name == "sqlite":
            connection.execute(text(broken + "BEGIN SELECT RAISE(ABORT, 'broken'); END"))
        else:
            connection.execute(text("CREATE OR REPLACE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$"))
            connection.execute(text(broken + "FOR EACH ROW EXECUTE FUNCTION broken()"))
    report = purge(engine, store_settings, clock).run()
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER broken" + (" ON plan_change" if engine.dialect.name == "postgresql" else "")))
    assert report is not None
    outcomes = {result.data_class: result.outcome for result in report.results}
    assert (outcomes["plan_change"], outcomes["call_log"], outcomes["billing"]) == (Outcome.FAILED, Outcome.DONE, Outcome.NOTHING_DUE)
    assert scalar(engine, "SELECT count(*) FROM incident WHERE cause = 'class_failed' AND data_class = 'plan_change'") == 1
    assert verified(engine, clock, tmp_path / "failed") == 0
    report = purge(engine, store_settings, clock).run()
    assert report is not None
    assert {result.data_class: result.outcome for result in report.results}["plan_change"] is Outcome.DONE
    assert verified(engine, clock, tmp_path / "mended") == 0


def test_who_is_told_to_stop_ends_within_a_batch(engine: Engine, store_settings: Settings, tmp_path: Path) -> None:
    clock, stop = FixedClock(NOW), Event()
    book(engine, spread(CUTOFF - timedelta(days=10), 10, 20))
    report = purge(engine, store_settings, clock, largest=20, progress=lambda _progress: stop.set()).run(stop)
    assert report is not None
    result = next(result for result in report.results if result.data_class == "call_log")
    assert (result.outcome, result.reason, result.batches) == (Outcome.CONTENDED, "stopped", 1)
    assert 0 < scalar(engine, "SELECT count(*) FROM call") < 200
    assert purge(engine, store_settings, clock).run() is not None
    assert scalar(engine, "SELECT count(*) FROM call") == 0
    assert verified(engine, clock, tmp_path / "bundle") == 0
