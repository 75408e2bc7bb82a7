"""Booking is exactly once: nothing missing, nothing doubled, whatever is replayed, torn, forged, late or refused."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from ari_app.cdr.booker import Booker
from ari_app.cdr.journal import JournalWriter
from ringfence.clock import FixedClock, SystemClock
from ringfence.models import Call, LedgerOffset, Leg, SetAsideLine
from ringfence.models import Node as NodeRow
from ringfence.queries import ledger
from ringfence.queries.ledger import Booking, CallRow, LegRow
from ringfence.settings import Settings
from ringfence.values import Disposition
from tests.database.ledgers import NODE, append, calls_of, stored_ids

START = 1_795_000_000


def booker(engine: Engine, settings: Settings, **kwargs: Any) -> Booker:
    kwargs.setdefault("clock", SystemClock())
    return Booker(engine, node=NODE, ledger_path=settings.ledger_path, journal_dir=settings.journal_dir, **kwargs)


def drain(one: Booker) -> Booker:
    while one.step() != 0.1:
        pass
    return one


def ids(first: int, count: int) -> list[str]:
    return sorted({line.split('"')[3] for line in calls_of(first, count)})


def test_rows_have_the_columns_of_the_models_in_their_order() -> None:
    assert CallRow.__struct_fields__ == tuple(column.name for column in Call.__table__.columns)
    assert LegRow.__struct_fields__ == tuple(column.name for column in Leg.__table__.columns)


def test_calls_and_legs_come_out_as_they_went_in(engine: Engine, store_settings: Settings, session: Session) -> None:
    append(store_settings.ledger_path, calls_of(0, 40, interleaved=True))
    stats = drain(booker(engine, store_settings)).stats
    assert (stats.calls, stats.set_aside, stats.waiting, stats.lag_bytes) == (40, 0, 0, 0)
    calls = {call.call_id: call for call in session.scalars(select(Call))}
    assert sorted(calls) == ids(0, 40)
    answered = next(call for call in calls.values() if call.disposition is Disposition.ANSWERED)
    assert answered.answered_at is not None
    assert answered.answered_at.tzinfo is UTC
    assert answered.billable_seconds >= (answered.ended_at - answered.answered_at).total_seconds() > answered.billable_seconds - 1
    legs = list(session.scalars(select(Leg).where(Leg.call_id == answered.call_id)))
    assert {leg.started_at for leg in legs} == {answered.started_at}
    (offset,) = session.scalars(select(LedgerOffset).where(LedgerOffset.kind == "ledger"))
    assert offset.offset == store_settings.ledger_path.stat().st_size
    assert offset.lines == stats.lines
    (node,) = session.scalars(select(NodeRow))
    assert node.booker_seen_at is not None


def test_a_booker_that_is_never_idle_tells_that_it_is_there_all_the_same(engine: Engine, store_settings: Settings, session: Session) -> None:
    clock = FixedClock(datetime.fromtimestamp(START, UTC))
    one = booker(engine, store_settings, clock=clock)
    for number in range(10):
        clock.set(clock.now() + timedelta(seconds=2))
        append(store_settings.ledger_path, calls_of(number, 1))
        drain(one)
    assert one.stats.calls == 10
    (node,) = session.scalars(select(NodeRow))
    assert node.booker_seen_at is not None
    assert clock.now() - node.booker_seen_at < timedelta(seconds=6)


def test_a_replay_of_everything_changes_nothing(engine: Engine, store_settings: Settings) -> None:
    append(store_settings.ledger_path, calls_of(0, 60))
    drain(booker(engine, store_settings))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM ledger_offset"))
    stats = drain(booker(engine, store_settings)).stats
    assert (stats.calls, stats.repeated) == (0, 60)
    assert stored_ids(engine) == ids(0, 60)


def test_a_restart_goes_on_where_the_last_one_stopped(engine: Engine, store_settings: Settings) -> None:
    append(store_settings.ledger_path, calls_of(0, 20))
    drain(booker(engine, store_settings))
    append(store_settings.ledger_path, calls_of(20, 20))
    stats = drain(booker(engine, store_settings)).stats
    assert (stats.calls, stats.repeated) == (20, 0)
    assert stored_ids(engine) == ids(0, 40)


def test_a_call_cut_in_two_by_a_restart_is_booked_whole_and_its_neighbours_once(engine: Engine, store_settings: Settings, session: Session) -> None:
    lines = calls_of(0, 30)
    by_call: dict[str, list[str]] = {}
    for line in lines:
        by_call.setdefault(line.split('"')[3], []).append(line)
    two = [parts for parts in by_call.values() if len(parts) == 2]
    (a1, a2), (b1, b2) = two[0], two[1]
    append(store_settings.ledger_path, [b1, a1, b2])  # b ends after a's first line: a reader that starts there sees only half of b
    drain(booker(engine, store_settings))
    append(store_settings.ledger_path, [a2])
    stats = drain(booker(engine, store_settings)).stats
    assert (stats.calls, stats.repeated) == (1, 1)
    assert len(stored_ids(engine)) == 2
    cut = session.scalars(select(Call).where(Call.call_id == a1.split('"')[3])).one()
    assert cut.started_at.timestamp() == pytest.approx(float(a1.split('"start":')[1].split(",")[0]), abs=1e-5)


def test_a_torn_line_waits_and_a_poisoned_one_is_set_aside(engine: Engine, store_settings: Settings, session: Session) -> None:
    good = calls_of(0, 5)
    poison = '{"linkedid":"' + NODE + '-1795000000.0","caller":"+447700900999 \\"\t\n'
    append(store_settings.ledger_path, [*good[:2], poison, "\n", *good[2:], "torn"])
    stats = drain(booker(engine, store_settings)).stats
    assert stored_ids(engine) == ids(0, 5)
    (aside,) = session.scalars(select(SetAsideLine))
    assert (aside.offset, aside.length) == (len(good[0]) + len(good[1]), len(poison) - 1)
    assert "447700900999" not in aside.reason
    assert stats.set_aside == 1
    assert stats.lag_bytes == 4
    drain(booker(engine, store_settings))
    assert len(list(session.scalars(select(SetAsideLine)))) == 1


def test_no_line_can_change_or_double_a_call_that_is_booked(engine: Engine, store_settings: Settings, session: Session) -> None:
    append(store_settings.ledger_path, calls_of(0, 3))
    drain(booker(engine, store_settings))
    before = [(call.call_id, call.started_at, call.billable_seconds, call.disposition) for call in session.scalars(select(Call).order_by(Call.call_id))]
    session.rollback()
    forged = [
        line.replace('"start":1795000000', '"start":1795000007').replace('"sequence":1', '"sequence":9').replace("|16|", "|17|") for line in calls_of(0, 3)
    ]
    append(store_settings.ledger_path, forged)
    one = drain(booker(engine, store_settings))
    assert one.stats.calls == 0
    assert one.stats.repeated == 3
    after = [(call.call_id, call.started_at, call.billable_seconds, call.disposition) for call in session.scalars(select(Call).order_by(Call.call_id))]
    assert after == before
    other_node = [line.replace(f'"{NODE}-', '"other-') for line in calls_of(50, 1)]
    append(store_settings.ledger_path, other_node)
    assert drain(booker(engine, store_settings)).stats.set_aside == len(other_node)
    assert len(stored_ids(engine)) == 3


def test_a_call_that_never_ends_is_set_aside_after_a_while(engine: Engine, store_settings: Settings, session: Session) -> None:
    first = next(line for line in calls_of(0, 60) if '"rf_end":""' in line)
    append(store_settings.ledger_path, [first, *calls_of(100, 2)])
    clock = FixedClock(datetime.fromtimestamp(START, UTC))
    one = drain(booker(engine, store_settings, clock=clock))
    assert (one.stats.waiting, one.stats.calls) == (1, 2)
    assert session.scalars(select(LedgerOffset.offset).where(LedgerOffset.kind == "ledger")).all() == []  # the first line still waits
    session.rollback()
    clock.set(datetime.fromtimestamp(START + 601, UTC))
    drain(one)
    assert one.stats.waiting == 0
    assert session.scalars(select(SetAsideLine)).one().reason == "the end of its call never came"
    assert session.scalars(select(LedgerOffset).where(LedgerOffset.kind == "ledger")).one().offset == store_settings.ledger_path.stat().st_size


def test_one_call_that_the_store_refuses_takes_no_other_with_it(
    engine: Engine, store_settings: Settings, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = ids(0, 10)[4]
    insert = ledger.insert_bookings

    def strict(db_session: Session, bookings: list[Booking]) -> int:
        if any(booking.call.call_id == refused for booking in bookings):
            db_session.execute(text("INSERT INTO plan_state (id, version, changed_at) VALUES (1, 1, NULL)"))  # refused by the store itself
        return insert(db_session, bookings)

    monkeypatch.setattr(ledger, "insert_bookings", strict)
    append(store_settings.ledger_path, calls_of(0, 10))
    stats = drain(booker(engine, store_settings)).stats
    assert stored_ids(engine) == [call_id for call_id in ids(0, 10) if call_id != refused]
    assert {aside.reason for aside in session.scalars(select(SetAsideLine))} == {"the store refuses its values"}
    assert stats.calls == 9


def test_a_store_that_lost_what_it_had_confirmed_gets_it_again(engine: Engine, store_settings: Settings) -> None:
    one = booker(engine, store_settings)
    append(store_settings.ledger_path, calls_of(0, 10))
    drain(one)
    with engine.connect() as connection:
        before = connection.execute(text('SELECT file_id, "offset", lines FROM ledger_offset')).mappings().all()
    append(store_settings.ledger_path, calls_of(10, 10))
    drain(one)
    with engine.begin() as connection:  # as a replica that was promoted ten calls behind
        connection.execute(text("DELETE FROM leg WHERE call_id IN (SELECT call_id FROM call ORDER BY started_at DESC LIMIT 10)"))
        connection.execute(text("DELETE FROM call WHERE call_id IN (SELECT call_id FROM call ORDER BY started_at DESC LIMIT 10)"))
        for row in before:
            connection.execute(text('UPDATE ledger_offset SET "offset" = :offset, lines = :lines WHERE file_id = :file_id'), dict(row))
    append(store_settings.ledger_path, calls_of(20, 5))
    drain(one)
    assert stored_ids(engine) == sorted(ids(0, 10) + ids(10, 10) + ids(20, 5))


def test_rotation_in_the_middle_of_a_run(engine: Engine, store_settings: Settings) -> None:
    one = booker(engine, store_settings)
    path = store_settings.ledger_path
    for part in range(6):
        append(path, calls_of(part * 20, 20, interleaved=True))
        if part % 2:
            one.step()
        rotated = path.with_name(f"ledger.json.{part}")
        path.rename(rotated)
        append(rotated, calls_of(1000 + part, 1))  # a writer that still had the old name
    drain(one)
    assert stored_ids(engine) == sorted(ids(0, 120) + [call_id for part in range(6) for call_id in ids(1000 + part, 1)])


def test_two_nodes_share_a_store(engine: Engine, store_settings: Settings, tmp_path: Path) -> None:
    append(store_settings.ledger_path, calls_of(0, 10))
    second = Settings(node="second", home=str(tmp_path / "second"))
    append(second.ledger_path, [line.replace(f'"{NODE}-', '"second-') for line in calls_of(0, 10)])
    other = Booker(engine, node="second", ledger_path=second.ledger_path, journal_dir=second.journal_dir, clock=SystemClock())
    one = booker(engine, store_settings)
    for _ in range(3):
        one.step()
        other.step()
    assert len(stored_ids(engine)) == 20


class TestLost:
    """Calls that went down with their Asterisk."""

    def journal(self, settings: Settings, clock: FixedClock, process: str = "ari") -> JournalWriter:
        return JournalWriter(settings.journal_dir, process, clock)

    def test_they_are_booked_with_an_estimated_end(self, engine: Engine, store_settings: Settings, session: Session) -> None:
        clock = FixedClock(datetime.fromtimestamp(START, UTC))
        journal = self.journal(store_settings, clock)
        facts, routed = "in:+442079460001:+447700900999:allowed:carrier:0:", "ari:7:1:+442079460001:"
        ended = ids(0, 1)[0]
        journal.asterisk_started(clock.now(), None)
        journal.decided(ended, "ari", 1, facts=facts, routed=routed, legs="m:+447700900001:trunk-a")
        lost = f"{NODE}-{START}.77"
        journal.decided(lost, "ari", 1, facts=facts, routed=routed, legs="m:+447700900001:trunk-a")
        self.journal(store_settings, clock, "agi").decided(lost, "agi", 2, facts=facts, routed=routed, legs="m:+447700900001:trunk-b")
        append(store_settings.ledger_path, calls_of(0, 1))
        one = drain(booker(engine, store_settings, clock=clock))
        assert stored_ids(engine) == [ended]  # they may still be up
        clock.set(datetime.fromtimestamp(START + 40, UTC))
        journal.asterisk_started(clock.now(), datetime.fromtimestamp(START + 30, UTC))
        journal.decided(f"{NODE}-{START + 41}.1", "ari", 1, facts=facts, routed=routed, legs="")  # of the new Asterisk
        drain(one)
        assert one.stats.lost == 1
        call = session.scalars(select(Call).where(Call.call_id == lost)).one()
        assert (call.disposition, call.end_estimated, call.did) == (Disposition.LOST, True, "+442079460001")
        assert call.ended_at == datetime.fromtimestamp(START + 30, UTC)
        assert [leg.trunk for leg in session.scalars(select(Leg).where(Leg.call_id == lost).order_by(Leg.number))] == ["trunk-a", "trunk-b"]
        session.rollback()
        stats = drain(booker(engine, store_settings, clock=clock)).stats
        assert (stats.lost, stats.calls) == (0, 0)
        assert len(stored_ids(engine)) == 2

    def test_those_of_astdb_that_come_into_the_journal_after_the_others_were_booked(self, engine: Engine, store_settings: Settings, session: Session) -> None:
        """The app and the manager process find the new Asterisk each at its own pace."""
        began, clock = [datetime.fromtimestamp(START + second, UTC) for second in (0, 40, 80)], FixedClock(datetime.fromtimestamp(START + 90, UTC))
        starts, facts, routed = self.journal(store_settings, clock), "in:+442079460001:+447700900999:allowed:carrier:0:", "astdb:7:1:+442079460001:"
        starts.asterisk_started(began[0], None)
        starts.asterisk_started(began[1], datetime.fromtimestamp(START + 30, UTC))
        starts.asterisk_started(began[2], datetime.fromtimestamp(START + 70, UTC))
        one = drain(booker(engine, store_settings, clock=clock))
        assert stored_ids(engine) == []
        apps = self.journal(store_settings, FixedClock(datetime.fromtimestamp(START + 6, UTC)))  # stands for one that was booked then, and deleted since
        apps.decided(f"{NODE}-{START + 6}.6", "ari", 1, facts=facts, routed="ari:7:1:+442079460001:", legs="m:+447700900001:trunk-a")
        marks = {f"{NODE}-{START + second}.{second}": second for second in (5, 45, 50)}
        for call_id, second in marks.items():
            at = FixedClock(datetime.fromtimestamp(START + second, UTC))
            self.journal(store_settings, at, "astdb").decided(call_id, "astdb", 1, facts=facts, routed=routed, legs="m:+447700900001:trunk-a")
        starts.marks_settled(datetime.fromtimestamp(START + 5, UTC))
        drain(one)
        assert one.stats.lost == 3
        ends = session.execute(select(Call.call_id, Call.ended_at).where(Call.disposition == Disposition.LOST))
        assert {call_id: round(end.timestamp()) - START for call_id, end in ends} == dict(zip(marks, (30, 70, 70), strict=True))
        session.rollback()
        for again in (one, booker(engine, store_settings, clock=clock)):
            before = again.stats.lost
            assert drain(again).stats.lost == before
        starts.marks_settled(datetime.fromtimestamp(START + 45, UTC))  # a manager that died between the journal and AstDB does so
        assert drain(one).stats.lost == 3
        (store_settings.journal_dir / "asterisk.jsonl").unlink()  # and a machine set up anew begins a new one
        starts.asterisk_started(began[2], datetime.fromtimestamp(START + 70, UTC))
        late, at = f"{NODE}-{START + 60}.60", FixedClock(datetime.fromtimestamp(START + 60, UTC))
        self.journal(store_settings, at, "astdb").decided(late, "astdb", 1, facts=facts, routed=routed, legs="")
        starts.marks_settled(at.now())
        assert drain(one).stats.lost == 4
        assert late in stored_ids(engine)

    def test_what_the_ledger_has_of_them_is_used(self, engine: Engine, store_settings: Settings, session: Session) -> None:
        clock = FixedClock(datetime.fromtimestamp(START, UTC))
        journal = self.journal(store_settings, clock)
        line = next(line for line in calls_of(0, 200) if '"disposition":"ANSWERED"' in line and '"rf_end":""' in line)
        call_id = line.split('"')[3]
        answered, ended = (float(line.split(f'"{key}":')[1].split(",")[0]) for key in ("answer", "end"))
        journal.decided(
            call_id,
            "ari",
            1,
            facts="in:+442079460001::allowed:carrier:0:",
            routed="ari:7:1:+442079460001:",
            legs="m:+447700900001:trunk-a&m:+447700900002:trunk-b",
        )
        append(store_settings.ledger_path, [line])
        clock.set(datetime.fromtimestamp(START + 100, UTC))
        journal.asterisk_started(clock.now(), None)
        one = drain(booker(engine, store_settings, clock=clock))
        call = session.scalars(select(Call).where(Call.call_id == call_id)).one()
        assert call.answered_at is not None
        assert call.answered_at.timestamp() == pytest.approx(answered, abs=1e-5)
        assert call.ended_at.timestamp() == pytest.approx(ended, abs=1e-5)
        assert call.billable_seconds > 0
        session.rollback()
        assert drain(one).stats.waiting == 0
        assert len(stored_ids(engine)) == 1


def test_sqlite_locked_by_another_waits_and_loses_nothing(store_settings: Settings, engine: Engine, sessions: sessionmaker[Session]) -> None:
    if engine.dialect.name != "sqlite":
        with sessions.begin() as holder:  # on PostgreSQL: somebody holds the node's turn
            ledger.begin_booking(holder, NODE)
            append(store_settings.ledger_path, calls_of(0, 10))
            one = booker(engine, store_settings)
            with pytest.raises(OperationalError):
                one.step()
    else:
        with engine.connect() as holder:
            holder.exec_driver_sql("BEGIN IMMEDIATE")
            append(store_settings.ledger_path, calls_of(0, 10))
            one = booker(engine, store_settings)
            with pytest.raises(OperationalError):
                one.step()
    drain(one)
    assert stored_ids(engine) == ids(0, 10)


def test_a_running_booker_survives_its_store_going_away(store_settings: Settings, engine: Engine, engine_kind: str, request: pytest.FixtureRequest) -> None:
    stop, beats = Event(), [0]

    def beat() -> None:
        beats[0] += 1

    one = booker(engine, store_settings, alive=beat)
    thread = Thread(target=one.run, args=(stop,))
    thread.start()
    try:
        append(store_settings.ledger_path, calls_of(0, 10))
        _until(lambda: one.stats.calls == 10)
        if engine_kind == "postgresql":
            server = request.getfixturevalue("postgres_server")
            server.stop(immediate=True)
            bring_back = server.start
        else:
            lock = engine.connect()
            lock.exec_driver_sql("BEGIN EXCLUSIVE")
            bring_back = lock.close
        try:
            append(store_settings.ledger_path, calls_of(10, 30))
            _until(lambda: one.stats.outages == 1)
            assert not one.stats.store_up
            before = beats[0]
            _until(lambda: beats[0] > before)  # the watchdog is told that it is alive
        finally:
            bring_back()
        _until(lambda: len(stored_ids(engine)) == 40)  # those too that the server had confirmed and lost in its crash
    finally:
        stop.set()
        thread.join(60)
    assert stored_ids(engine) == ids(0, 40)


def _until(condition: Any, timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.01)
