"""Reading calls: filters, streaming in constant memory, withheld callers, exports, and the comparison with ledger and journal."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

import cli
from ari_app.cdr import reconciler
from ari_app.cdr.booker import Booker
from ari_app.cdr.export import cell, write_csv, write_json_lines
from ari_app.cdr.journal import JournalWriter, read_asterisk_starts, read_decided
from ringfence.clock import FixedClock, SystemClock, from_epoch
from ringfence.commands.installation import Installation
from ringfence.errors import NotFound
from ringfence.models import Account
from ringfence.queries import calls, ledger, reconciled
from ringfence.queries.calls import WITHHELD, CallFilter
from ringfence.queries.ledger import Booking
from ringfence.queries.reconciled import Compared
from ringfence.settings import Settings
from ringfence.values import AccountState, Direction, Disposition, RoutedBy
from tests.database.ledgers import NODE, append, calls_of
from tests.unit.test_cdr_record import BY, CALLER, IN, MOBILE, book, line

START = 1_795_000_000


def booking(number: int, **changes: Any) -> Booking:
    ending = f"{IN}|{BY}|m:{MOBILE}:trunk-b||16|ANSWER|711|704|2|{CALLER}|{CALLER}"
    made = book(line(6, "PJSIP/trunk-b-00000005", start=0.5, answer=0.6, end=1.2, disposition="ANSWERED", ending=ending))
    started = made.call.started_at + number * 1_000_000
    call_id = f"n1-{1795304301 + number}.{number}"
    call = msgspec.structs.replace(made.call, call_id=call_id, linkedid=call_id, started_at=started, **changes)
    return Booking(call, tuple(msgspec.structs.replace(leg, call_id=call_id, started_at=started) for leg in made.legs))


@pytest.fixture
def booked(sessions: sessionmaker[Session]) -> Iterator[Session]:
    with sessions.begin() as session:
        session.add(Account(ref="ACME", name="Acme Ltd", state=AccountState.ACTIVE, concurrency_limit=None, created_at=datetime(2026, 1, 1, tzinfo=UTC)))
    bookings = [
        booking(0),
        booking(1, caller_withheld=True),
        booking(2, disposition=Disposition.BUSY, account_id=None),
        booking(3, direction=Direction.OUTBOUND, did="+442079460002"),
        booking(86_400, node="n2", routed_by=RoutedBy.ASTDB),
    ]
    with sessions.begin() as session:
        ledger.begin_booking(session, "n1")
        assert ledger.insert_bookings(session, bookings) == 5
    with sessions() as session:
        yield session


def numbers(session: Session, **which: Any) -> list[int]:
    return [int(row["call_id"].rsplit(".", 1)[1]) for row in calls.stream_calls(session, CallFilter(**which))]


def test_filters(booked: Session) -> None:
    began = from_epoch(booking(0).call.started_at / 1e6)
    assert numbers(booked) == [0, 1, 2, 3, 86_400]
    assert numbers(booked, account_id=1) == [0, 1, 3, 86_400]
    assert numbers(booked, did="+442079460002") == [3]
    assert numbers(booked, disposition=Disposition.BUSY) == [2]
    assert numbers(booked, direction=Direction.OUTBOUND) == [3]
    assert numbers(booked, node="n2") == numbers(booked, routed_by=RoutedBy.ASTDB) == [86_400]
    assert numbers(booked, since=began + timedelta(seconds=1), until=began + timedelta(seconds=3)) == [1, 2]
    newest = [row["call_id"] for row in calls.stream_calls(booked, CallFilter(), newest_first=True, limit=1)]
    assert newest == ["n1-1795390701.86400"]
    assert calls.count_by_day(booked, began - timedelta(days=1), began + timedelta(days=3)) == [("n1", "2026-11-21", 4), ("n2", "2026-11-22", 1)]
    found = {call.call_id: call for call in calls.stream_ids(booked, "n1", began, began + timedelta(days=3))}
    assert found["n1-1795304303.2"].disposition is Disposition.BUSY


def test_a_withheld_caller_shows_only_when_asked_for_and_cannot_be_guessed(booked: Session) -> None:
    hidden = {row["call_id"]: row["caller"] for row in calls.stream_calls(booked, CallFilter())}
    assert hidden["n1-1795304302.1"] == WITHHELD
    assert list(hidden.values()).count("+447700900999") == 4
    assert numbers(booked, caller="+447700900999") == [0, 2, 3, 86_400]
    revealed = [row["caller"] for row in calls.stream_calls(booked, CallFilter(caller="+447700900999"), reveal=True)]
    assert revealed == ["+447700900999"] * 5
    assert calls.get_call(booked, "n1-1795304302.1")[0]["caller"] == WITHHELD
    call, legs = calls.get_call(booked, "n1-1795304302.1", reveal=True)
    assert (call["caller"], call["account"], [leg["address"] for leg in legs]) == ("+447700900999", "ACME", [MOBILE])
    with pytest.raises(NotFound):
        calls.get_call(booked, "n1-1.1")


def test_exports_say_the_same(booked: Session) -> None:
    rows = list(calls.stream_calls(booked, CallFilter()))
    sheet, lines = io.StringIO(newline=""), io.StringIO()
    assert write_csv(rows, calls.KEYS, sheet) == write_json_lines(rows, lines) == 5
    read = list(csv.DictReader(io.StringIO(sheet.getvalue(), newline="")))
    loaded = [json.loads(text_) for text_ in lines.getvalue().splitlines()]
    assert [row["call_id"] for row in read] == [row["call_id"] for row in loaded] == [row["call_id"] for row in rows]
    assert (read[0]["started_at"], read[0]["did"], read[0]["refusal"]) == ("2026-11-21T23:38:21.500000Z", "+442079460001", "")
    assert loaded[0]["billable_seconds"] == 1


@pytest.mark.parametrize("text_", ["=1+1", "+1+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "+44=1", "+"])
def test_no_cell_is_a_formula(text_: str) -> None:
    assert cell(text_) == "'" + text_


def test_a_number_stays_a_number() -> None:
    assert [cell(value) for value in ("+447700900123", 7, None, True, "a=b")] == ["+447700900123", "7", "", "true", "a=b"]


@pytest.mark.no_cover  # the tracer takes half of its time
def test_an_export_takes_no_more_memory_for_more_calls(sessions: sessionmaker[Session]) -> None:
    class Sink(io.StringIO):
        def write(self, data: str) -> int:
            return len(data)

    def peak() -> int:
        return min(_peak() for _ in range(2))

    def _peak() -> int:
        with sessions() as session:
            tracemalloc.start()
            write_csv(calls.stream_calls(session, CallFilter()), calls.KEYS, Sink())
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return found

    def fill(first: int, count: int) -> None:
        with sessions.begin() as session:
            ledger.insert_bookings(session, [booking(number) for number in range(first, first + count)])

    fill(0, 2500)
    small = peak()
    fill(2500, 5000)
    assert peak() < small * 1.3 + 200_000  # each call kept would be some kilobytes


def time_left(seconds: float = 20.0) -> Callable[[], bool]:
    """Return a function that is true until so many seconds have gone by."""
    clock = SystemClock()
    end = clock.monotonic() + seconds
    return lambda: clock.monotonic() < end


class TestReconcile:
    """`cdr reconcile` lists every difference, and only differences."""

    @pytest.fixture
    def installation(self, store_settings: Settings) -> Iterator[Installation]:
        found = Installation(None)
        found.__dict__["settings"] = msgspec.structs.replace(store_settings, node=NODE)
        found.clock = FixedClock(datetime.fromtimestamp(START + 3600, UTC))
        yield found
        found.engine.dispose()

    def run(self, installation: Installation, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = cli.run(["cdr", "reconcile", "--since", "2026-11-18", *more], installation=installation)
        out = capsys.readouterr().out
        return code, json.loads(out) if "--json" in more else out

    def journal(self, settings: Settings, at: float) -> JournalWriter:
        return JournalWriter(settings.journal_dir, "ari", FixedClock(datetime.fromtimestamp(at, UTC)))

    def test_what_is_found_is_written_down_for_checks(self, installation: Installation, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
        settings = installation.settings
        append(settings.ledger_path, calls_of(0, 12))
        booker = Booker(engine, node=NODE, ledger_path=settings.ledger_path, journal_dir=settings.journal_dir, clock=SystemClock())
        while booker.step() != 0.1:
            pass
        first, last = date(2026, 11, 18), installation.clock.now().date()

        def noted() -> tuple[int, int, int, int, int]:
            with installation.reading() as session:
                days = [day for way in (False, True) for day in reconciled.list_days(session, first, last, outbound=way)]
            names = ("ledger", "store", "differences", "ledger_seconds", "store_seconds")
            every = {(first + timedelta(days=n), way) for n in range((last - first).days + 1) for way in (False, True)}
            assert {(day.day, day.outbound) for day in days} in (set(), every)
            return tuple(sum(getattr(day, name) for day in days) for name in names)

        self.run(installation, capsys)
        assert noted() == (0, 0, 0, 0, 0)  # it only reads
        self.run(installation, capsys, "--note")
        ledger, store, _, by_ledger, by_store = noted()
        assert (ledger, store) == (12, 12)
        assert by_ledger == by_store > 0
        with engine.begin() as connection:
            connection.execute(text("UPDATE call SET billable_seconds = billable_seconds + 7 WHERE call_id = (SELECT min(call_id) FROM call)"))
        self.run(installation, capsys, "--note")
        assert noted()[3:] == (by_ledger, by_store + 7)
        with installation.reading() as session:
            assert sum(day.seconds_differ for day in reconciled.list_days(session, first, last, outbound=False)) == 1

    def test_the_booker_compares_by_itself_once_it_has_caught_up(self, installation: Installation, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reconciler, "_SOON", 0.01)
        asked, stop = [], Event()

        def ready() -> bool:
            asked.append(1)
            return len(asked) > 2

        append(installation.settings.ledger_path, calls_of(0, 3))
        thread = reconciler.keep(engine, installation.settings, installation.clock, stop, ready)
        try:
            until = time_left()
            while not (days := self.noted(installation)) and until():
                stop.wait(0.02)
        finally:
            stop.set()
            thread.join(10)
        assert not thread.is_alive()
        assert len(asked) == 3
        assert {(day.node, day.day) for day in days} == {(NODE, date(2026, 11, 17)), (NODE, date(2026, 11, 18))}
        assert sum(day.differences for day in days) == 3  # nothing is booked

    def noted(self, installation: Installation) -> list[Compared]:
        with installation.reading() as session:
            return reconciled.list_days(session, date(2026, 11, 1), date(2026, 11, 30), outbound=False)

    def test_each_kind_of_difference(self, installation: Installation, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
        settings = installation.settings
        lines = calls_of(0, 12)
        ids = list(dict.fromkeys(text_.split('"')[3] for text_ in lines))
        journal = self.journal(settings, START)
        for call_id in ids[:11]:
            journal.decided(call_id, "ari", 1, facts="in:+442079460001::allowed:t:0:", routed="ari:1:1::", legs="")
        append(settings.ledger_path, lines)
        booker = Booker(engine, node=NODE, ledger_path=settings.ledger_path, journal_dir=settings.journal_dir, clock=SystemClock())
        while booker.step() != 0.1:
            pass
        code, found = self.run(installation, capsys, "--json")
        assert code == 5
        assert found["differences"] == [{"call_id": ids[11], "day": "2026-11-18", "problem": "in the ledger as decided by us, but not in the journal"}]
        journal.decided(ids[11], "ari", 1, facts="", routed="", legs="")
        code, found = self.run(installation, capsys, "--json")
        assert (code, found["differences"], found["open_calls"]) == (0, [], [])
        assert found["days"] == [{"node": NODE, "day": "2026-11-18", "decided": 12, "ledger": 12, "store": 12, "lost": 0, "open": 0}]
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM call WHERE call_id = :id"), {"id": ids[3]})
        open_id = f"{NODE}-{START + 5}.99"
        journal.decided(open_id, "ari", 1, facts="in:+442079460001::allowed:t:0:", routed="ari:1:1::", legs="")
        append(settings.ledger_path, ["not a record\n"])
        code, found = self.run(installation, capsys, "--json")
        assert (code, found["open_calls"], len(found["unreadable_lines"])) == (5, [open_id], 1)
        assert [(one["call_id"], one["problem"]) for one in found["differences"]] == [(ids[3], "in the ledger, not in the store")]
        self.journal(settings, START + 60).asterisk_started(datetime.fromtimestamp(START + 60, UTC), None)
        code, found = self.run(installation, capsys, "--json")
        assert found["open_calls"] == []
        assert [one["problem"] for one in found["differences"]] == ["in the ledger, not in the store", "decided, but neither in the ledger nor in the store"]
        while booker.step() != 0.1:
            pass
        code, found = self.run(installation, capsys, "--json")
        assert [one["call_id"] for one in found["differences"]] == [ids[3]]
        assert found["days"][0]["lost"] == 1
        settings.ledger_path.unlink()
        code, shown = self.run(installation, capsys)
        assert code == 5
        assert "in the store, its end is not in the ledger" in shown

    @pytest.mark.parametrize("by", ["astdb", "dialplan", "static"])
    def test_what_the_dialplan_routed_alone_is_no_difference(
        self, installation: Installation, engine: Engine, by: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        settings = installation.settings
        append(settings.ledger_path, [text_.replace("|ari:", f"|{by}:") for text_ in calls_of(0, 5)])
        booker = Booker(engine, node=NODE, ledger_path=settings.ledger_path, journal_dir=settings.journal_dir, clock=SystemClock())
        while booker.step() != 0.1:
            pass
        code, found = self.run(installation, capsys, "--json")
        assert (code, found["days"][0]["decided"], found["days"][0]["store"]) == (0, 0, 5)

    def test_list_show_and_export(self, installation: Installation, booked: Session, capsys: pytest.CaptureFixture[str]) -> None:
        booked.close()
        assert cli.run(["cdr", "list", "--json", "--account", "ACME", "--limit", "2"], installation=installation) == 0
        listed: list[Mapping[str, Any]] = json.loads(capsys.readouterr().out)
        assert [row["call_id"] for row in listed] == ["n1-1795390701.86400", "n1-1795304304.3"]
        assert cli.run(["cdr", "list", "--since", "2026-11-21", "--until", "2026-11-22"], installation=installation) == 0
        assert "withheld" in capsys.readouterr().out
        assert cli.run(["cdr", "show", "n1-1795304301.0"], installation=installation) == 0
        assert MOBILE in capsys.readouterr().out
        assert cli.run(["cdr", "show", "n1-1795304301.0", "--json"], installation=installation) == 0
        assert json.loads(capsys.readouterr().out)["legs"][0]["address"] == MOBILE
        assert cli.run(["cdr", "show", "n1-1.1"], installation=installation) == 4
        assert cli.run(["cdr", "list", "--account", "NOBODY"], installation=installation) == 4
        capsys.readouterr()
        assert cli.run(["cdr", "export", "--format", "jsonl", "--disposition", "busy"], installation=installation) == 0
        assert len(capsys.readouterr().out.splitlines()) == 1
        assert cli.run(["cdr", "export"], installation=installation) == 0
        assert len(capsys.readouterr().out.splitlines()) == 6


def test_the_journal_reads_what_it_wrote_and_passes_over_what_is_torn(tmp_path: Path) -> None:
    clock = FixedClock(datetime.fromtimestamp(START, UTC))
    journal = JournalWriter(tmp_path / "journal", "ari", clock)
    journal.decided("n1-1.1", "ari", 1, facts="a", routed="b", legs="c")
    clock.set(datetime.fromtimestamp(START + 86_400, UTC))
    journal.decided("n1-1.2", "ari", 2, facts="a", routed="b", legs="c")
    journal.asterisk_started(clock.now(), None)
    journal.close()
    files = sorted(path.name for path in (tmp_path / "journal").iterdir())
    assert files == ["asterisk.jsonl", "decisions-2026-11-18-ari.jsonl", "decisions-2026-11-19-ari.jsonl"]
    assert {(path.stat().st_mode & 0o777) for path in (tmp_path / "journal").iterdir()} == {0o600}
    with (tmp_path / "journal" / files[1]).open("ab") as file:
        file.write(b'\xff\n{"t":"decided"}\n{"t":"deci')
    assert [(one.id, one.n) for one in read_decided(tmp_path / "journal")] == [("n1-1.1", 1), ("n1-1.2", 2)]
    assert [one.id for one in read_decided(tmp_path / "journal", START + 86_400)] == ["n1-1.2"]
    assert [one.started for one in read_asterisk_starts(tmp_path / "journal")] == [START + 86_400]
    assert read_asterisk_starts(tmp_path) == []
