"""The audit log in the store, on both engines: with the act or not at all, in order without gaps, and never changed."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from ringfence.audit import log
from ringfence.audit.check import Checked, check_log
from ringfence.audit.log import Draft
from ringfence.audit.notes import Signer
from ringfence.audit.publish import publish
from ringfence.clock import FixedClock
from ringfence.errors import Conflict, Invalid
from ringfence.queries import accounts, audit
from tests.unit.bundles import SIGNER, STRANGER, story

CLOCK = FixedClock(datetime(2026, 3, 29, 0, 59, 59, 999_999, tzinfo=UTC))
TABLES = ("audit_entry", "audit_checkpoint", "audit_head")


def seal(rows: int) -> Draft:
    return Draft("intake.sealed", {"data_class": "call_log", "day": "2026-03-28", "rows": rows})


def fill(sessions: sessionmaker[Session], count: int = 7) -> None:
    with sessions.begin() as session:
        log.append_all(session, CLOCK, (seal(number) for number in range(count)))


def checked(sessions: sessionmaker[Session], tmp_path: Path, signer: Signer = SIGNER) -> Checked:
    with sessions() as session:
        return check_log(session, signer.verifier_key, tmp_path / "published")


def problems(sessions: sessionmaker[Session], tmp_path: Path) -> list[tuple[str, str]]:
    return [(problem.where, problem.what) for problem in checked(sessions, tmp_path).problems]


def by_force(engine: Engine, *statements: str) -> None:
    """Change the log as somebody can who owns the database: without its triggers."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        else:
            for name in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all():
                connection.execute(text(f"DROP TRIGGER {name}"))
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_entries_count_from_0_and_the_log_holds(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    with sessions.begin() as session:
        assert [log.append(session, CLOCK, draft.kind, actor=draft.actor, **draft.fields) for draft in story()] == list(range(15))
    found = checked(sessions, tmp_path)
    assert (found.size, found.problems) == (15, ())
    with sessions() as session:
        entry = audit.get_entry(session, 6)
        assert (entry.kind, entry.actor, entry.at) == ("purge.started", "worker", CLOCK.now())


def test_an_act_that_fails_leaves_no_entry_and_no_gap(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    fill(sessions, 2)
    with sessions() as session:
        accounts.add_account(session, CLOCK, "ACME", "Acme Plumbing Ltd", None)
        log.append(session, CLOCK, "purge.key_destroyed", run=log.new_id())
        session.rollback()
    fill(sessions, 1)
    assert checked(sessions, tmp_path).size == 3
    assert problems(sessions, tmp_path) == []


def test_an_entry_that_is_refused_takes_the_act_with_it(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    def act() -> None:
        with sessions.begin() as session:
            accounts.add_account(session, CLOCK, "ACME", "Acme Plumbing Ltd", None)
            log.append(session, CLOCK, "purge.key_destroyed", run="+447700900123")

    with pytest.raises(Invalid) as refused:
        act()
    assert "7700900123" not in f"{refused.value.message} {refused.value.hint}"
    with sessions() as session:
        assert accounts.list_accounts(session) == []
    assert checked(sessions, tmp_path).size == 0


def test_an_entry_that_cannot_be_written_takes_the_act_with_it(engine: Engine, sessions: sessionmaker[Session]) -> None:
    """Somebody wrote past the head: the next entry's place is taken."""
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO audit_entry VALUES (0, '2026-01-01 00:00:00', 'x', 'system', '{}', :leaf)"), {"leaf": bytes(32)})

    def act() -> None:
        with sessions.begin() as session:
            accounts.add_account(session, CLOCK, "ACME", "Acme Plumbing Ltd", None)
            log.append(session, CLOCK, "purge.key_destroyed", run=log.new_id())

    with pytest.raises(DBAPIError):
        act()
    with sessions() as session:
        assert accounts.list_accounts(session) == []


def test_writers_at_once_leave_no_gap(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    failures: list[Exception] = []

    def write(number: int) -> None:
        try:
            for turn in range(8):
                with sessions() as session:
                    log.append(session, CLOCK, seal(number).kind, **seal(number).fields)
                    session.commit() if (turn + number) % 4 else session.rollback()
        except Exception as error:  # noqa: BLE001  whatever it is, the test shows it
            failures.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    found = checked(sessions, tmp_path)
    assert (found.size, found.problems) == (24, ())


@pytest.mark.parametrize("table", TABLES)
def test_the_store_refuses_to_forget(engine: Engine, sessions: sessionmaker[Session], table: str) -> None:
    fill(sessions)
    with sessions.begin() as session:
        log.make_checkpoint(session, CLOCK, SIGNER)
    column = {"audit_entry": "kind", "audit_checkpoint": "note", "audit_head": "size"}[table]
    value = "0" if table == "audit_head" else "'x'"
    statements = [f"DELETE FROM {table}", f"UPDATE {table} SET {column} = {value}"]
    if engine.dialect.name == "postgresql":
        statements.append(f"TRUNCATE {table}")
    elif table != "audit_head":
        statements.append(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")
    for statement in statements:
        with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
            connection.execute(text(statement))


def test_a_checkpoint_is_made_once_for_each_size(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    fill(sessions, 3)
    with sessions.begin() as session:
        made = log.make_checkpoint(session, CLOCK, SIGNER)
        assert log.make_checkpoint(session, CLOCK, SIGNER) == made
    fill(sessions, 1)
    with sessions.begin() as session:
        assert log.make_checkpoint(session, CLOCK, SIGNER).size == 4
        with pytest.raises(Conflict, match="another key"):
            log.make_checkpoint(session, CLOCK, STRANGER)
    found = checked(sessions, tmp_path)
    assert (found.checkpoints, found.problems) == (2, ())


@pytest.mark.parametrize(
    ("statement", "where", "what"),
    [
        ("UPDATE audit_entry SET body = replace(body, '\"rows\":3', '\"rows\":2') WHERE seq = 3", "entry 3", "not the entry that its hash was made of"),
        ("UPDATE audit_entry SET body = '{ }' WHERE seq = 3", "entry 3", "not written in the one proper way"),
        ("UPDATE audit_entry SET body = 'nothing' WHERE seq = 3", "entry 3", "not JSON"),
        ("UPDATE audit_entry SET actor = 'worker' WHERE seq = 5", "entry 5", "not the entry that its hash was made of"),
        ("UPDATE audit_entry SET at = '2026-03-29 00:59:59.999998' WHERE seq = 2", "entry 2", "not the entry that its hash was made of"),
        ("DELETE FROM audit_entry WHERE seq = 4", "entry 4", "missing"),
        ("DELETE FROM audit_entry WHERE seq = 6", "head", "counts 7 entries, 6 are there"),
        ("UPDATE audit_head SET size = 6", "head", "cannot make a tree of 6"),
        ("UPDATE audit_checkpoint SET note = replace(note, '7', '6')", "checkpoint 7", "not a checkpoint"),
    ],
)
def test_what_was_done_by_force_is_found_and_named(
    engine: Engine, sessions: sessionmaker[Session], tmp_path: Path, statement: str, where: str, what: str
) -> None:
    fill(sessions)
    with sessions.begin() as session:
        log.make_checkpoint(session, CLOCK, SIGNER)
    by_force(engine, statement)
    assert any(place == where and what in problem for place, problem in problems(sessions, tmp_path)), problems(sessions, tmp_path)


def test_a_log_rewritten_whole_does_not_agree_with_what_was_published(engine: Engine, sessions: sessionmaker[Session], tmp_path: Path) -> None:
    fill(sessions)
    with sessions.begin() as session:
        publish(log.make_checkpoint(session, CLOCK, SIGNER), tmp_path / "published")
    assert problems(sessions, tmp_path) == []
    by_force(engine, "DELETE FROM audit_entry", "DELETE FROM audit_checkpoint", "DELETE FROM audit_head")
    fill(sessions, 6)
    assert problems(sessions, tmp_path) == [("000000000007.note", "it is over 7 entries, the log has 6: its tail was cut")]
    with sessions.begin() as session:
        log.append_all(session, CLOCK, [seal(99)])
    assert problems(sessions, tmp_path) == [("000000000007.note", "its root is not that of the first 7 entries")]


def test_a_checkpoint_over_a_long_log_is_quick(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    fill(sessions, 20_000)
    began = time.process_time()  # what it works, not what a busy machine lets it wait
    with sessions.begin() as session:
        made = log.make_checkpoint(session, CLOCK, SIGNER)
    assert time.process_time() - began < 1
    found = checked(sessions, tmp_path)
    assert (found.size, found.root, found.problems) == (20_000, made.root.hex(), ())
