"""Files that end by age; and that a deleted number cannot be found again: not in SQLite's file, its log, or a rotated ledger."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from retention import holds
from retention.purge.files import newest_datum
from retention.purge.outcome import Outcome, Result
from ringfence.clock import FixedClock
from ringfence.ledgerfile import file_identity
from ringfence.models import FileTombstone
from ringfence.queries import ledger
from ringfence.queries.holds import Scope
from ringfence.queries.ledger import Position
from ringfence.settings import Settings
from tests.database.purging import CUTOFF, NOW, book, booking, purge, scalar, spread, verified

CANARY = "+447700900987"
OLD = NOW - timedelta(days=100)  # ledgers are kept three months


def write(path: Path, content: str, at: datetime) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="ascii")
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def booked(sessions: sessionmaker[Session], settings: Settings, path: Path) -> None:
    """Note a ledger as booked to its end."""
    content = path.read_bytes()
    identity = file_identity(content)
    assert identity is not None
    with sessions.begin() as session:
        ledger.begin_booking(session, settings.node)
        ledger.upsert_positions(session, settings.node, [Position(identity, "ledger", path.name, len(content), content.count(b"\n"))], NOW)


def run(engine: Engine, settings: Settings) -> dict[str, Result]:
    report = purge(engine, settings, FixedClock(NOW)).run()
    assert report is not None
    return {result.data_class: result for result in report.results}


def test_rotated_ledgers_and_journals_go_as_whole_files(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings, tmp_path: Path) -> None:
    folder, journal = store_settings.ledger_path.parent, store_settings.journal_dir
    gone = [
        write(folder / "ledger.json.1", f'{{"n":1,"caller":"{CANARY}"}}\n', OLD),
        write(journal / f"decisions-{OLD.date()}-ari.jsonl", CANARY, OLD),
        write(store_settings.log_dir / "messages.1", "error\n", NOW - timedelta(days=40)),
    ]
    stay = [
        write(folder / "ledger.json.2", '{"n":2}\n', NOW - timedelta(days=80)),
        write(folder / "ledger.json", '{"n":3}\n', OLD - timedelta(days=300)),  # live: Asterisk may write to it any moment
        write(journal / f"decisions-{NOW.date()}-ari.jsonl", "{}", OLD),  # touched back, but its name says today
        write(journal / "asterisk.jsonl", "{}", OLD - timedelta(days=900)),
        write(store_settings.home_path / "secrets" / "ari", "secret", OLD - timedelta(days=900)),
        write(store_settings.home_path / "notes.txt", "not ours", OLD - timedelta(days=900)),
    ]
    for path in (folder / "ledger.json.1", folder / "ledger.json.2"):
        booked(sessions, store_settings, path)
    found = run(engine, store_settings)
    assert [path.exists() for path in gone] == [False] * 3
    assert [path.exists() for path in stay] == [True] * 6
    assert (found["ledger"].files, found["log"].files) == (2, 1)
    assert scalar(engine, "SELECT count(*) FROM file_tombstone WHERE removed_at IS NOT NULL") == 3
    assert scalar(engine, "SELECT count(*) FROM audit_entry WHERE kind = 'file.removed'") == 2
    assert verified(engine, FixedClock(NOW), tmp_path / "bundle") == 0
    assert run(engine, store_settings)["log"].outcome is Outcome.NOTHING_DUE


def test_messages_and_recordings_go_and_greetings_stay(engine: Engine, store_settings: Settings) -> None:
    """VF-14: voicemails are deleted regularly."""
    spool = store_settings.home_path / "asterisk" / "spool"
    box, old, fresh = spool / "voicemail" / "default" / "100", NOW - timedelta(days=40), NOW - timedelta(days=20)
    gone = [
        write(box / "INBOX" / "msg0000.wav", "RIFF", old),
        write(box / "INBOX" / "msg0000.txt", f"callerid={CANARY}", old),
        write(spool / "monitor" / "one.wav", "RIFF", old),
        write(spool / "monitor" / "service" / "one.wav", "RIFF", NOW - timedelta(days=100)),
    ]
    stay = [
        write(box / "INBOX" / "msg0001.wav", "RIFF", fresh),
        write(box / "unavail.wav", "RIFF", old),
        write(spool / "monitor" / "service" / "two.wav", "RIFF", old),
    ]
    found = run(engine, store_settings)
    assert [path.exists() for path in gone] == [False] * 4
    assert [path.exists() for path in stay] == [True] * 3
    assert [(found[name].outcome, found[name].files) for name in ("voicemail", "recording", "service_recording")] == [
        (Outcome.DONE, 2),
        (Outcome.DONE, 1),
        (Outcome.DONE, 1),
    ]


def test_a_ledger_that_nobody_has_booked_stays_and_is_an_incident(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    path = write(store_settings.ledger_path.parent / "ledger.json.1", '{"n":1}\n{"n":2}\n', OLD)
    found = run(engine, store_settings)
    assert (path.exists(), found["ledger"].outcome, found["ledger"].reason) == (True, Outcome.FAILED, "not_booked")
    assert scalar(engine, "SELECT count(*) FROM incident WHERE data_class = 'ledger'") == 1
    booked(sessions, store_settings, path)
    assert (run(engine, store_settings)["ledger"].outcome, path.exists()) == (Outcome.DONE, False)


def test_a_hold_on_the_class_keeps_files_and_one_on_an_account_does_not(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    """A file is many customers': what a hold on one of them needs is in the rows."""
    clock, review = FixedClock(NOW), date(2027, 1, 1)
    path = write(store_settings.journal_dir / f"decisions-{OLD.date()}-agi.jsonl", "{}", OLD)
    with sessions.begin() as session:
        hold = holds.place(session, clock, Scope(data_class="ledger"), reason="a claim", owner="kim", review_by=review).id
    assert (run(engine, store_settings)["ledger"].outcome, path.exists()) == (Outcome.HELD, True)
    with sessions.begin() as session:
        holds.release(session, clock, hold, by="kim")
    with sessions.begin() as session:
        holds.place(session, clock, Scope(account_id=1), reason="a claim", owner="kim", review_by=review)
    assert (run(engine, store_settings)["ledger"].outcome, path.exists()) == (Outcome.DONE, False)


def test_a_file_that_was_given_up_goes_at_the_next_run_whatever_happened(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    """The worker died between the tombstone and the unlink; of two others one was written to again, and one lies outside."""
    left = write(store_settings.journal_dir / "decisions-2020-01-01-ari.jsonl", "12345", OLD)
    grown = write(store_settings.journal_dir / "decisions-x-ari.jsonl", "123456789", NOW)
    outside = write(store_settings.home_path.parent / "outside", "12345", OLD)
    common = {"node": store_settings.node, "run_id": "a" * 32, "data_class": "ledger", "folder": "home", "bytes": 5, "newest_at": OLD, "made_at": OLD}
    with sessions.begin() as session:
        for path in (f"journal/{left.name}", f"journal/{grown.name}", "../outside", "journal/gone-already"):
            session.add(FileTombstone(path=path, **common))
        session.add(FileTombstone(path="journal/elsewhere", **{**common, "node": "another"}))
    run(engine, store_settings)
    assert (left.exists(), grown.exists(), outside.exists()) == (False, True, True)
    assert scalar(engine, "SELECT count(*) FROM file_tombstone WHERE removed_at IS NULL") == 3


def test_symlinks_are_not_followed(engine: Engine, store_settings: Settings, tmp_path: Path) -> None:
    target = write(tmp_path / "elsewhere" / "precious", "12345", OLD)
    store_settings.journal_dir.mkdir(parents=True, exist_ok=True)
    (store_settings.journal_dir / f"decisions-{OLD.date()}-ari.jsonl").symlink_to(target)
    run(engine, store_settings)
    assert target.exists()


@pytest.mark.parametrize(
    ("name", "newest"),
    [
        ("ledger.json.1", OLD),
        ("decisions-2026-11-19-ari.jsonl", datetime(2026, 11, 20, tzinfo=UTC)),
        ("ledger.json-20261119", datetime(2026, 11, 20, tzinfo=UTC)),
        ("decisions-2020-01-01-ari.jsonl", OLD),
        ("decisions-2026-13-77-ari.jsonl", OLD),
    ],
)
def test_a_file_is_as_new_as_the_newest_thing_that_may_be_in_it(name: str, newest: datetime) -> None:
    assert newest_datum(name, OLD.timestamp()) == newest


@pytest.mark.parametrize("engine_kind", ["sqlite"])
def test_a_deleted_number_is_nowhere_in_the_files_of_sqlite(engine: Engine, store_settings: Settings) -> None:
    """Canary numbers on rows among others, long ones that overflow pages among them; a reader and later writers stir the file."""
    path = store_settings.home_path / "ringfence.db"
    book(engine, spread(CUTOFF - timedelta(days=30), 60, 40))
    canaries: dict[str, Any] = {"caller": CANARY, "called": "+447700900988", "forwarded_to": "+447700900989", "did": "+442079460990"}
    book(engine, [booking(10_000 + number, CUTOFF - timedelta(days=20, minutes=number), account=None, legs=3, **canaries) for number in range(200)])
    with engine.connect() as connection:
        connection.execute(text("SELECT count(*) FROM call")).all()
    present = [bytes_in(path, number) for number in canaries.values()]
    assert all(present), "the search must be able to find them"
    report = purge(engine, store_settings, FixedClock(NOW)).run()
    assert report is not None
    assert [bytes_in(path, number) for number in canaries.values()] == [False] * 4
    assert path.with_name(path.name + "-wal").stat().st_size < 1 << 20  # what the end of the run wrote
    assert scalar(engine, "PRAGMA freelist_count") == 0
    assert scalar(engine, "SELECT count(*) FROM call") == 30 * 40


def bytes_in(path: Path, number: str) -> bool:
    return any(number.encode() in each.read_bytes() for each in path.parent.glob(path.name + "*"))
