"""Months on PostgreSQL: made ahead and in a hurry, given up when empty, whatever interrupts it; the migration keeps what was there. SQLite has none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread, Timer

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.orm import Session

from retention.purge import partitions
from retention.purge.partitions import Fate
from ringfence import migrate
from ringfence.clock import FixedClock
from ringfence.queries import partitions as stored
from ringfence.queries.partitions import Month, Part
from ringfence.session import make_engine, make_sessions
from ringfence.settings import Database, Settings
from tests.database.purging import NOW, book, booking, purge, scalar, spread, verified
from tests.postgres import PostgresServer

MARCH = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture
def postgres(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Engine]:
    """An engine on a fresh, migrated PostgreSQL database."""
    engine = make_engine(Settings(home=str(tmp_path), database=Database(url=postgres_server.fresh_database("months"))))
    migrate.upgrade(engine)
    yield engine
    engine.dispose()


def parts(engine: Engine) -> dict[str, bool]:
    with make_sessions(engine)() as session:
        return {part.month.table(part.of): part.attached for part in stored.list_parts(session)}


def test_months_count_across_years() -> None:
    assert [Month(2025, 11).plus(months) for months in (0, 1, 2, 14, -11)] == [
        Month(2025, 11),
        Month(2025, 12),
        Month(2026, 1),
        Month(2027, 1),
        Month(2024, 12),
    ]
    assert Month.of(datetime(2026, 3, 31, 23, 30, tzinfo=UTC)) == Month(2026, 3)
    assert Month(2026, 2).begins == datetime(2026, 2, 1, tzinfo=UTC)


def test_sqlite_has_no_months(tmp_path: Path) -> None:
    engine = make_engine(Settings(home=str(tmp_path)))
    migrate.upgrade(engine)
    with make_sessions(engine)() as session:
        assert (stored.ensure_months(session, [NOW]), stored.list_parts(session)) == ([], [])
    assert (partitions.make_ahead(engine, NOW), partitions.drop_empty(engine, NOW)) == ([], [])


def test_booking_never_fails_for_want_of_a_month(postgres: Engine) -> None:
    """A call of the last moment of one month, of the first of another, of years ago, of months ahead: in one batch."""
    moments = [MARCH - timedelta(microseconds=1), MARCH, datetime(2019, 7, 4, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)]
    assert book(postgres, [booking(number, moment) for number, moment in enumerate(moments)]) == 4
    found = parts(postgres)
    assert {"call_2024_02", "leg_2024_02", "call_2024_03", "call_2019_07", "leg_2031_01"} <= set(found)
    assert all(found.values())
    assert scalar(postgres, "SELECT count(*) FROM parts.call_2024_02") == scalar(postgres, "SELECT count(*) FROM parts.leg_2024_03") == 1
    assert book(postgres, [booking(0, moments[0])]) == 0


def test_two_bookers_make_the_same_month_at_once(postgres: Engine) -> None:
    booked: list[int] = []
    threads = [Thread(target=lambda number=number: booked.append(book(postgres, [booking(number, MARCH)]))) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert booked == [1] * 4
    assert scalar(postgres, "SELECT count(*) FROM call") == 4


def test_months_are_made_ahead_once(postgres: Engine) -> None:
    far = datetime(2040, 11, 30, 23, 59, tzinfo=UTC)
    assert partitions.make_ahead(postgres, far) == [Month(2040, 11), Month(2040, 12), Month(2041, 1), Month(2041, 2)]
    assert partitions.make_ahead(postgres, far) == []


def test_a_purge_trims_the_boundary_month_and_drops_the_empty_ones(postgres: Engine, tmp_path: Path) -> None:
    """At NOW calls of 20 November 2025 and later stay: October goes as a table, November by rows."""
    clock = FixedClock(NOW)
    book(postgres, spread(datetime(2025, 9, 25, tzinfo=UTC), 80, 4))
    report = purge(postgres, Settings(home=str(tmp_path)), clock).run()
    assert report is not None
    assert {"call_2025_09", "leg_2025_09", "call_2025_10", "leg_2025_10"} <= set(report.months)
    left = parts(postgres)
    assert "call_2025_10" not in left
    assert left["call_2025_11"]
    assert scalar(postgres, "SELECT min(started_at) FROM call") == datetime(2025, 11, 20, tzinfo=UTC)
    assert verified(postgres, clock, tmp_path / "bundle") == 0


def test_a_month_that_legal_holds_keep_rows_in_stays(postgres: Engine) -> None:
    book(postgres, [booking(1, MARCH)])
    fates = {part.month.table(part.of): fate for part, fate in partitions.drop_empty(postgres, NOW)}
    assert (fates["call_2024_03"], fates["leg_2024_03"]) == (Fate.HOLDS_ROWS, Fate.HOLDS_ROWS)
    assert scalar(postgres, "SELECT count(*) FROM call") == 1


def test_a_month_that_is_not_over_at_the_cutoff_stays(postgres: Engine) -> None:
    with make_sessions(postgres).begin() as session:
        stored.ensure_months(session, [MARCH])
    assert partitions.drop_empty(postgres, datetime(2024, 3, 31, 23, 59, tzinfo=UTC)) == []
    fates = partitions.drop_empty(postgres, datetime(2024, 4, 1, tzinfo=UTC))
    assert [(part.month, fate) for part, fate in fates] == [(Month(2024, 3), Fate.DROPPED)] * 2


def test_a_row_that_comes_in_between_brings_its_month_back(postgres: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Booked after the month was seen to be empty, before it was detached: the row is there afterwards."""
    with make_sessions(postgres).begin() as session:
        stored.ensure_months(session, [MARCH])
    really = stored.is_empty
    asked: list[str] = []

    def then_a_call_comes_in(session: Session, part: Part) -> bool:
        empty = really(session, part)
        if part.of == "call" and not asked:
            asked.append(part.of)
            assert book(postgres, [booking(1, MARCH)]) == 1
        return empty

    monkeypatch.setattr(stored, "is_empty", then_a_call_comes_in)
    fates = {part.of: fate for part, fate in partitions.drop_empty(postgres, NOW) if part.month == Month(2024, 3)}
    assert fates["call"] is Fate.ATTACHED
    assert scalar(postgres, "SELECT count(*) FROM call") == 1


def test_a_detached_month_comes_back_when_a_call_needs_it(postgres: Engine) -> None:
    book(postgres, [booking(1, MARCH)])
    with postgres.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ALTER TABLE call DETACH PARTITION parts.call_2024_03 CONCURRENTLY")
    assert parts(postgres)["call_2024_03"] is False
    assert book(postgres, [booking(2, MARCH + timedelta(days=1))]) == 1
    assert parts(postgres)["call_2024_03"] is True
    assert scalar(postgres, "SELECT count(*) FROM call") == 2


def test_an_interrupted_detach_is_finished(postgres: Engine) -> None:
    """A reader keeps the month from being detached; what it leaves behind is finished by the next run, and by booking."""
    with make_sessions(postgres).begin() as session:
        stored.ensure_months(session, [MARCH, MARCH - timedelta(days=1)])
    with postgres.connect() as reader:
        reader.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute(text("SELECT count(*) FROM call")).all()
        fates = {part.month.table(part.of): fate for part, fate in partitions.drop_empty(postgres, datetime(2024, 4, 1, tzinfo=UTC))}
        assert fates["call_2024_02"] is Fate.CONTENDED
        with make_sessions(postgres)() as session:
            assert any(part.pending for part in stored.list_parts(session))
    assert book(postgres, [booking(1, MARCH - timedelta(days=1))]) == 1
    fates = {part.month.table(part.of): fate for part, fate in partitions.drop_empty(postgres, datetime(2024, 4, 1, tzinfo=UTC))}
    assert (fates["call_2024_02"], fates["call_2024_03"]) == (Fate.HOLDS_ROWS, Fate.DROPPED)


def test_dropping_a_month_stops_nobody_from_booking(postgres: Engine) -> None:
    with make_sessions(postgres).begin() as session:
        stored.ensure_months(session, [MARCH + timedelta(days=31 * number) for number in range(6)])
    stop, longest = Event(), [0.0]

    def insert() -> None:
        number = 0
        while not stop.is_set():
            began = time.perf_counter()
            book(postgres, [booking(number, NOW)])
            longest[0] = max(longest[0], time.perf_counter() - began)
            number += 1

    thread = Thread(target=insert)
    thread.start()
    with postgres.connect() as reader:  # somebody reads for a while: a plain DROP would make every booking wait for it
        reader.execute(text("SELECT count(*) FROM call")).all()
        release = Timer(2.5, reader.rollback)
        release.start()
        fates = partitions.drop_empty(postgres, NOW - timedelta(days=366))
        release.join()
    stop.set()
    thread.join(60)
    assert {fate for _, fate in fates} <= {Fate.DROPPED, Fate.CONTENDED}
    assert longest[0] < 1.5  # and not as long as the reader


def test_the_migration_keeps_what_is_there_up_and_down(blank_engine: Engine) -> None:
    migrate.upgrade(blank_engine, "0002")
    with blank_engine.begin() as connection:
        for number, month in enumerate(("2019-12-31 23:59:59.999999", "2020-01-01 00:00:00.000000", "2026-03-29 01:30:00.000000")):
            values = {"id": f"n1-{number}", "at": datetime.fromisoformat(f"{month}+00:00") if blank_engine.dialect.name == "postgresql" else month, "no": False}
            connection.execute(
                text(
                    "INSERT INTO call (call_id, started_at, node, linkedid, direction, caller_withheld, called, ended_at, end_estimated, billable_seconds,"
                    " disposition, forwarding_status, hung_up_by, routed_by) VALUES (:id, :at, 'n1', :id, 'inbound', :no, '+442079460001', :at, :no, 0,"
                    " 'busy', 'not_answered', 'callee', 'ari')"
                ),
                values,
            )
            leg = "INSERT INTO leg (call_id, started_at, number, attempt, kind, address, disposition) VALUES (:id, :at, 1, 1, 'mobile', 'x', 'busy')"
            connection.execute(text(leg), values)
    before = _content(blank_engine)
    migrate.upgrade(blank_engine)
    assert _content(blank_engine) == before
    with make_sessions(blank_engine)() as session:
        assert len(stored.list_parts(session)) == (0 if blank_engine.dialect.name == "sqlite" else 2 * (3 + 5))  # theirs, and last month to three ahead
    book(blank_engine, [booking(9, NOW)])
    migrate.downgrade(blank_engine, "0002")
    assert len(_content(blank_engine)) == len(before) + 2
    assert set(inspect(blank_engine).get_table_names()) >= {"call", "leg"}
    assert "invoice_line" not in inspect(blank_engine).get_table_names()
    if blank_engine.dialect.name == "postgresql":
        assert "parts" not in inspect(blank_engine).get_schema_names()


def _content(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return [str(row) for table in ("call", "leg") for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY call_id"))]
