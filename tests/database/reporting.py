"""Stores whose report is known beforehand: sixty days of calls around the window's edge, one run, an open hold, a secret one, hostile texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import Engine, text

from retention import holds, incidents
from retention.report.as_json import document
from retention.report.gather import gather
from retention.report.model import Report
from retention.report.span import parse_span
from ringfence.audit import log
from ringfence.clock import FixedClock
from ringfence.queries.holds import Scope
from ringfence.session import make_sessions
from ringfence.settings import Controller, Settings
from tests.database.purging import CUTOFF, NOW, SIGNER, book, booking, purge, spread

HOSTILE = "<script>hacked=1</script><img src=x onerror=hacked=1>\"'>=1+1"
CANARIES = ("Secretary", "moonlight", "+447700900987")  # keeper, reason and number of the secret hold
FIRST = CUTOFF - timedelta(days=40)
HELD = CUTOFF - timedelta(days=30)  # the day that the open hold keeps
PER_DAY = 20
AFTER = NOW + timedelta(hours=1)  # when reports are made


def seeded(engine: Engine) -> None:
    """Book the calls, place the open hold and write an account with a hostile name."""
    book(engine, spread(FIRST, 60, PER_DAY))
    clock = FixedClock(NOW - timedelta(days=5))
    scope = Scope(account_id=1, since=HELD, until=HELD + timedelta(days=1))
    with make_sessions(engine).begin() as session:
        holds.place(session, clock, scope, reason=f"police {HOSTILE}", owner=HOSTILE, review_by=(NOW + timedelta(days=60)).date())
    with make_sessions(engine).begin() as session:
        incidents.raise_incident(session, clock, "run_late", f"detail {HOSTILE}", data_class="call_log")


def keep_secretly(engine: Engine) -> None:
    """Book calls of a number past their window, and place a secret hold on it."""
    keeper, reason, number = CANARIES
    with make_sessions(engine).begin() as session:
        holds.place(
            session,
            FixedClock(NOW - timedelta(days=5)),
            Scope(number=number),
            reason=reason,
            owner=keeper,
            review_by=NOW.date() + timedelta(days=60),
            secret=True,
        )


def calls_of_the_secret(engine: Engine) -> None:
    """Book five calls of that number, a month past their window."""
    book(engine, (booking(90_000 + number, HELD + timedelta(days=3, minutes=number), caller=CANARIES[2]) for number in range(5)))


def run(engine: Engine, settings: Settings) -> str:
    """Purge at `NOW`, sign the log, and return the run's id."""
    clock = FixedClock(NOW)
    report = purge(engine, settings, clock).run()
    assert report is not None
    assert not report.stopped
    with make_sessions(engine).begin() as session:
        log.make_checkpoint(session, clock, SIGNER)
    return report.run


def reported(engine: Engine, settings: Settings, clock: FixedClock | None = None, period: str | None = None) -> Report:
    """Gather the report as of an hour after the run."""
    clock = clock or FixedClock(AFTER)
    with make_sessions(engine)() as session:
        return gather(session, settings, clock, parse_span(period, clock.now()))


def hostile(settings: Settings) -> Settings:
    """Return settings whose controller has a hostile name."""
    return msgspec.structs.replace(settings, controller=Controller(f"Example Numbers {HOSTILE}", "privacy@example.com", "support@example.com"))


def timeless(found: Any) -> Any:
    """Return a report's document without how long its questions took, how far SQLite's log has grown, and what PostgreSQL's statistics know by now."""
    if isinstance(found, str):
        return re.sub(r'"log_bytes": [0-9]+|"dead_rows": {[^}]*}', "", found)
    if isinstance(found, dict):
        return {key: timeless(value) for key, value in found.items() if key != "milliseconds"}
    return [timeless(each) for each in found] if isinstance(found, list) else found


def told(report: Report) -> Any:
    """Return what a report says, but for how long it took."""
    return timeless(document(report))


def by_hand(engine: Engine, statement: str) -> None:
    """Do something to a store by hand."""
    with engine.begin() as connection:
        assert connection.execute(text(statement)).rowcount == 1


def strings(found: Any) -> Iterator[str]:
    """Yield every text in a document."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield key
            yield from strings(value)
    elif isinstance(found, list):
        for each in found:
            yield from strings(each)
    else:
        yield str(found)
