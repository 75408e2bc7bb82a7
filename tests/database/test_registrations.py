"""From where phones registered last, on both engines: one row for each phone and node, shown by a look-up, gone with the phone or its window."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from ringfence.clock import FixedClock
from ringfence.models.base import DataClass
from ringfence.queries import accounts, registrations
from ringfence.queries.registrations import Seen
from ringfence.settings import Settings
from tests.database.addressing import DID, START, clock, sessions
from tests.database.installed import Commands, Here
from tests.database.purging import purge

__all__ = ["clock", "sessions"]

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
HOME, CAFE = "192.0.2.7", "2001:db8::7"


def note(sessions: sessionmaker[Session], node: str, *seen: Seen) -> int:
    with sessions.begin() as session:
        return registrations.note(session, node, seen)


def last(sessions: sessionmaker[Session], phones: Sequence[str] = ("desk-1",)) -> list[tuple[str, str]]:
    with sessions() as session:
        return [(one.node, one.address) for one in registrations.last_of(session, phones)]


def test_the_newest_of_each_node_is_kept_and_the_newest_of_all_comes_first(sessions: sessionmaker[Session]) -> None:
    assert note(sessions, "node1", Seen("desk-1", HOME, START, None), Seen("nobody", HOME, START, None)) == 1
    note(sessions, "node2", Seen("desk-1", CAFE, START + HOUR, None))
    assert last(sessions) == [("node2", CAFE), ("node1", HOME)]
    note(sessions, "node1", Seen("desk-1", CAFE, START + 2 * HOUR, START + 3 * HOUR))
    note(sessions, "node1", Seen("desk-1", HOME, START + HOUR, None))  # late
    assert last(sessions) == [("node1", CAFE), ("node2", CAFE)]
    with sessions() as session:
        assert registrations.known(session, "node1") == [Seen("desk-1", CAFE, START + 2 * HOUR, START + 3 * HOUR)]


def test_it_goes_with_the_phone_and_is_not_the_next_owner_s(sessions: sessionmaker[Session], clock: FixedClock) -> None:
    note(sessions, "node1", Seen("desk-1", HOME, START, None))
    with sessions.begin() as session:
        accounts.remove_endpoint(session, clock, "desk-1")
    with sessions() as session:
        assert registrations.known(session, "node1") == []
    with sessions.begin() as session:
        accounts.add_endpoint(session, clock, "desk-1", "OTHER", caller_did=None, ha1="0" * 32)
    assert last(sessions) == []


def test_it_goes_by_its_window(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings, clock: FixedClock) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO node (name) VALUES ('node1')"))
    note(sessions, "node1", Seen("desk-1", HOME, START, None))
    for days, left in ((29, 1), (32, 0)):
        clock.set(START + days * DAY)
        report = purge(engine, store_settings, clock).run(only=[DataClass.REGISTRATION])
        assert report is not None
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM registration")).scalar_one() == left, report


def test_a_look_up_shows_it(sessions: sessionmaker[Session], store_settings: Settings, clock: FixedClock, capsys: pytest.CaptureFixture[str]) -> None:
    here = Here(store_settings, clock)
    ringfence = Commands(here, capsys)
    without = ringfence.ok("emergency", "lookup", DID, "--purpose", "test", "--json").data
    assert (without["last_registered_at"], without["registrations"]) == (None, [])
    note(sessions, "node1", Seen("desk-1", HOME, START, None))
    shown = ringfence.ok("emergency", "lookup", DID, "--purpose", "emergency_services", "--json").data
    assert (shown["last_registered_from"], shown["last_registered_phone"], shown["confirmed_by"]) == (HOME, "desk-1", "Ada Example")
    assert [(one["node"], one["from"]) for one in shown["registrations"]] == [("node1", HOME)]
    assert HOME in ringfence.ok("emergency", "lookup", DID, "--purpose", "emergency_services").out
    entries = ringfence.ok("audit", "show", "--kind", "emergency.looked_up", "--json").data
    assert all(entry["body"]["ms"] < 1000 for entry in entries)
    assert HOME not in str(entries)
    here.engine.dispose()
