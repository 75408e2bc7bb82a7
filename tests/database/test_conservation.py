"""Sealed = live + gone: what is changed by hand in a sealed day is named by class and day, in either engine; what is booked late is not taken for it."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from retention.calendar import midnight
from retention.purge import conservation
from retention.purge.conservation import Imbalance
from ringfence.clock import FixedClock
from ringfence.queries.conservation import begin_alone, begin_snapshot
from ringfence.queries.intake import stop_intake
from ringfence.settings import Settings
from tests.database.purging import CUTOFF, NOW, book, booking, purge, scalar, spread, verified

FIRST = date(2026, 10, 20)
START = midnight(FIRST)


def found(sessions: sessionmaker[Session]) -> list[Imbalance]:
    with sessions() as session:
        begin_snapshot(session)
        return conservation.imbalances(conservation.balances(session))


@pytest.fixture
def sealed(engine: Engine) -> FixedClock:
    """A store with ten sealed days of twelve calls."""
    clock = FixedClock(midnight(FIRST + timedelta(days=10)) + timedelta(hours=3))
    book(engine, spread(START, 10, 12))
    assert conservation.seal(engine, clock, clock.now()) == 20  # ten of call_log, ten of billing
    return clock


def test_days_are_of_london_and_sealed_when_they_are_over(engine: Engine, sessions: sessionmaker[Session]) -> None:
    """The clocks go back on 25 October 2026: that day has 25 hours, and one before midnight UTC belongs to the next day in summer."""
    late_evening = midnight(date(2026, 10, 24)) - timedelta(minutes=30)  # 22:30 UTC on the 23rd is 23:30 in London
    book(engine, [booking(1, late_evening), booking(2, late_evening + timedelta(hours=1)), booking(3, midnight(date(2026, 10, 26)) - timedelta(minutes=1))])
    clock = FixedClock(midnight(date(2026, 10, 26)) + timedelta(hours=1, minutes=59))
    assert conservation.seal(engine, clock, clock.now()) == 4  # the 25th has its grace still
    clock.set(clock.now() + timedelta(minutes=1))
    assert conservation.seal(engine, clock, clock.now()) == 2
    assert conservation.seal(engine, clock, clock.now()) == 0
    with sessions() as session:
        counts = {(balance.data_class, balance.day): balance.sealed for balance in conservation.balances(session)}
    assert counts == {
        ("call_log", "2026-10-23"): 2,
        ("call_log", "2026-10-24"): 2,
        ("call_log", "2026-10-25"): 2,
        ("billing", "2026-10-23"): 1,
        ("billing", "2026-10-24"): 1,
        ("billing", "2026-10-25"): 1,
    }


def test_nothing_is_missing_when_nobody_touched_it(sealed: FixedClock, sessions: sessionmaker[Session]) -> None:
    assert sealed.now() > START
    assert found(sessions) == []


@pytest.mark.parametrize(
    ("statement", "data_class", "missing"),
    [
        ("DELETE FROM call WHERE call_id LIKE '%.30'", "call_log", 1),
        ("DELETE FROM leg WHERE call_id LIKE '%.30'", "call_log", 1),
        ("DELETE FROM invoice_line WHERE id = (SELECT id FROM invoice_line ORDER BY started_at LIMIT 1 OFFSET 30)", "billing", 1),
        (("INSERT INTO leg SELECT call_id, started_at, 9, attempt, kind, address, trunk, dialled_at, answered_at, ended_at, disposition, hangup_cause,"
         " sip_status FROM leg WHERE call_id LIKE '%.30'"), "call_log", -1),
    ],
)  # fmt: skip
def test_a_row_changed_by_hand_is_named_by_class_and_day(
    sealed: FixedClock, engine: Engine, sessions: sessionmaker[Session], statement: str, data_class: str, missing: int
) -> None:
    assert sealed.now() > START
    with engine.begin() as connection:
        assert connection.execute(text(statement)).rowcount == 1
    assert found(sessions) == [Imbalance(data_class, FIRST + timedelta(days=2), missing)]


def test_a_row_moved_to_another_day_is_missing_there_and_too_many_here(sealed: FixedClock, engine: Engine, sessions: sessionmaker[Session]) -> None:
    assert sealed.now() > START
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE invoice_line SET started_at = (SELECT max(started_at) FROM invoice_line) WHERE id = (SELECT min(id) FROM invoice_line)")
        )
    assert found(sessions) == [Imbalance("billing", FIRST, 1), Imbalance("billing", FIRST + timedelta(days=9), -1)]


def test_late_arrivals_are_counted_by_who_booked_them(sealed: FixedClock, engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    book(engine, [booking(900, START + timedelta(days=3, hours=5), legs=2), booking(901, START + timedelta(days=3, hours=6), answered=False)])
    book(engine, [booking(900, START + timedelta(days=3, hours=5), legs=2)])  # a replay is no arrival
    assert found(sessions) == []
    with sessions() as session:
        late = {(balance.data_class, balance.day): balance.late for balance in conservation.balances(session) if balance.late}
    assert late == {("call_log", "2026-10-23"): 5, ("billing", "2026-10-23"): 1}
    assert purge(engine, store_settings, sealed).run() is not None
    assert scalar(engine, "SELECT count(*) FROM audit_entry WHERE kind = 'intake.late'") == 2
    assert purge(engine, store_settings, sealed).run() is not None
    assert scalar(engine, "SELECT count(*) FROM audit_entry WHERE kind = 'intake.late'") == 2


def test_older_days_that_come_in_later_are_sealed_too(sealed: FixedClock, engine: Engine, sessions: sessionmaker[Session]) -> None:
    book(engine, [booking(900, START - timedelta(days=4)), booking(901, START + timedelta(days=10))])
    sealed.set(sealed.now() + timedelta(days=1))
    assert conservation.seal(engine, sealed, sealed.now()) == 10  # four days before the first and one after the last, for both classes
    assert found(sessions) == []


def test_what_was_purged_balances_and_the_verifier_agrees(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings, tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    book(engine, spread(CUTOFF - timedelta(days=5), 10, 7))
    purge(engine, store_settings, clock).run()
    assert found(sessions) == []
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM call WHERE started_at = (SELECT min(started_at) FROM call)"))
    assert found(sessions) == [Imbalance("call_log", date(2025, 11, 20), 1)]
    assert verified(engine, clock, tmp_path / "bundle") != 0


def test_sealing_waits_for_who_is_booking_and_booking_for_the_seal(engine: Engine, sessions: sessionmaker[Session]) -> None:
    """A row on its way is in the seal or counted late, never in neither."""
    clock = FixedClock(START + timedelta(days=2))
    book(engine, [booking(1, START)])
    with sessions.begin() as session:
        begin_alone(session)
        stop_intake(session)
        booked: list[int] = []
        thread = Thread(target=lambda: booked.append(_patiently(engine)))
        thread.start()
        thread.join(0.5)
        assert booked == []
    thread.join(60)
    assert booked == [1]
    conservation.seal(engine, clock, clock.now())
    assert found(sessions) == []


def _patiently(engine: Engine) -> int:

    while True:
        try:
            return book(engine, [booking(2, START + timedelta(hours=1))])
        except OperationalError:
            continue
