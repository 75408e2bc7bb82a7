"""A run that is stopped by a brake deletes nothing, opens one incident, and goes on when a person has confirmed it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from retention import incidents
from ringfence.clock import FixedClock
from ringfence.errors import Conflict, Invalid
from ringfence.models import Node
from ringfence.queries import incidents as stored
from ringfence.settings import Settings
from tests.database.purging import CUTOFF, NOW, book, booking, purge, scalar, spread, verified

DAY = timedelta(days=1)


def confirm(sessions: sessionmaker[Session], clock: FixedClock, cause: str) -> None:
    with sessions.begin() as session:
        (found,) = [incident for incident in stored.list_incidents(session) if incident.cause == cause]
        incidents.close(session, clock, found.id, outcome="confirmed", by="kim")


@pytest.mark.parametrize(("apart", "cause"), [(timedelta(minutes=6), "clock_apart"), (-timedelta(minutes=6), "clock_apart")])
def test_clocks_that_differ(engine: Engine, store_settings: Settings, tmp_path: Path, apart: timedelta, cause: str) -> None:
    clock = FixedClock(NOW)
    book(engine, spread(CUTOFF - 5 * DAY, 5, 5))
    options: dict[str, Any] = {"store_now": lambda _session: NOW + apart}
    for _ in range(2):
        report = purge(engine, store_settings, clock, **options).run()
        assert report is not None
        assert (report.stopped, report.rows) == (cause, 0)
    assert scalar(engine, "SELECT count(*) FROM call") == 25
    assert scalar(engine, f"SELECT count(*) FROM incident WHERE cause = '{cause}'") == 1
    assert scalar(engine, "SELECT count(*) FROM purge_run WHERE stopped = 'clock_apart'") == 2
    assert verified(engine, clock, tmp_path / "bundle") == 0


def test_a_clock_set_ahead_deletes_nothing_until_a_person_says_so(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    """The one fault that would delete everything: a clock a year ahead, on this machine and in its store alike."""
    clock = FixedClock(NOW)
    book(engine, spread(NOW - 30 * DAY, 20, 5))
    with sessions.begin() as session:
        session.add(Node(name="n1", booker_seen_at=NOW))
    assert purge(engine, store_settings, clock).run() is not None
    clock.set(NOW + 400 * DAY)
    for _ in range(2):  # a run that was stopped is no sign that the time is right
        report = purge(engine, store_settings, clock).run()
        assert report is not None
        assert (report.stopped, scalar(engine, "SELECT count(*) FROM call")) == ("clock_ahead", 100)
    confirm(sessions, clock, "clock_ahead")
    report = purge(engine, store_settings, clock).run()
    assert report is not None
    assert (report.stopped, scalar(engine, "SELECT count(*) FROM call")) == ("", 0)


def test_a_clock_set_back(engine: Engine, store_settings: Settings) -> None:
    clock = FixedClock(NOW)
    book(engine, spread(CUTOFF - 5 * DAY, 5, 5))
    assert purge(engine, store_settings, clock).run() is not None
    clock.set(NOW - timedelta(hours=1))
    report = purge(engine, store_settings, clock).run()
    assert report is not None
    assert report.stopped == "clock_back"


def test_a_row_of_the_future(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    clock = FixedClock(NOW)
    book(engine, [*spread(CUTOFF - 5 * DAY, 5, 5), booking(900, NOW + timedelta(hours=2))])
    report = purge(engine, store_settings, clock).run()
    assert report is not None
    assert (report.stopped, scalar(engine, "SELECT count(*) FROM call")) == ("future_rows", 26)
    with sessions() as session:
        (incident, other) = stored.list_incidents(session)
        assert {incident.data_class, other.data_class} == {"call_log", "billing"}
        assert incident.run_id == report.run


def test_far_more_than_usual(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings, tmp_path: Path) -> None:
    """Three quiet days, then a day of two thousand calls: somebody looks first."""
    clock = FixedClock(NOW)
    book(engine, [*spread(CUTOFF - 5 * DAY, 8, 20), *spread(CUTOFF + 3 * DAY, 1, 2000)])
    for day in range(4):
        clock.set(NOW + day * DAY)
        report = purge(engine, store_settings, clock).run()
        assert report is not None
        assert report.stopped == ""
    clock.set(NOW + 4 * DAY)
    report = purge(engine, store_settings, clock).run()
    assert report is not None
    assert (report.stopped, scalar(engine, "SELECT count(*) FROM call")) == ("volume", 2000)
    confirm(sessions, clock, "volume")
    report = purge(engine, store_settings, clock).run()
    assert report is not None
    assert (report.stopped, scalar(engine, "SELECT count(*) FROM call")) == ("", 0)
    assert verified(engine, clock, tmp_path / "bundle") == 0


def test_an_incident_is_closed_once_and_properly(sessions: sessionmaker[Session]) -> None:
    clock = FixedClock(NOW)
    with sessions.begin() as session:
        made = incidents.raise_incident(session, clock, "volume", "5 rows", data_class="call_log").id
        assert incidents.raise_incident(session, clock, "volume", "6 rows", data_class="call_log").id == made
        assert incidents.raise_incident(session, clock, "volume", "6 rows").id != made
    with sessions() as session, pytest.raises(Invalid):
        incidents.close(session, clock, made, outcome="fine", by="kim")
    with sessions.begin() as session:
        incidents.close(session, clock, made, outcome="dismissed", by="kim")
    with sessions() as session, pytest.raises(Conflict):
        incidents.close(session, clock, made, outcome="dismissed", by="kim")
