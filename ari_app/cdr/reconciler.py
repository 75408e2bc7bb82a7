"""Compares decided, ledger and store every hour and writes the counts into the store, where whoever has not this node's files can see them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from threading import Event, Thread

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ari_app.cdr.reconcile import Reconciliation, reconcile
from ringfence.clock import Clock
from ringfence.queries import calls, reconciled
from ringfence.queries.reconciled import Compared
from ringfence.session import make_sessions
from ringfence.settings import Settings

EVERY = 3600.0  # seconds
_SOON = 30.0  # after the start, and while the booker is behind
_DAY = timedelta(days=1)
_COUNTS = ("decided", "ledger", "store", "lost", "differences", "ledger_seconds", "store_seconds", "seconds_differ")

log = structlog.get_logger()


def compare(session: Session, settings: Settings, since: datetime, now: datetime) -> Reconciliation:
    """Return what this machine's node decided, what its ledger has, and what the store has, for calls from `since` on."""
    return reconcile(
        node=settings.node,
        since=since.timestamp(),
        now=now.timestamp(),
        journal_dir=settings.journal_dir,
        ledger_path=settings.ledger_path,
        stored=calls.stream_ids(session, settings.node, since - _DAY, now + _DAY),
    )


def day_before(now: datetime) -> datetime:
    """Return when the UTC day before today began."""
    return datetime.combine(now.astimezone(UTC).date() - _DAY, time(), UTC)


def note(session: Session, settings: Settings, found: Reconciliation, since: datetime, now: datetime) -> int:
    """Write down what was found for each day from `since` on, days without a call too; return how many rows."""
    known = {(date.fromisoformat(way.day), way.outbound): way for way in found.ways}
    first, last = since.astimezone(UTC).date(), now.astimezone(UTC).date()
    rows = []
    for day in (first + number * _DAY for number in range((last - first).days + 1)):
        for outbound in (False, True):
            way = known.get((day, outbound))
            counts = {name: getattr(way, name) for name in _COUNTS} | {"unfinished": way.open} if way else {}
            rows.append(Compared(settings.node, day, outbound, now, **counts))
    return reconciled.note_days(session, rows)


def keep(engine: Engine, settings: Settings, clock: Clock, stop: Event, ready: Callable[[], bool]) -> Thread:
    """Compare yesterday and today every hour in a thread of its own, until `stop` is set; while the booker is behind it waits."""

    def work() -> None:
        pause = _SOON
        while not stop.wait(pause):
            pause = EVERY if ready() and _once(engine, settings, clock) else _SOON

    thread = Thread(target=work, name="reconciler", daemon=True)
    thread.start()
    return thread


def _once(engine: Engine, settings: Settings, clock: Clock) -> bool:
    now = clock.now()
    since = day_before(now)
    try:
        with make_sessions(engine)() as session:
            found = compare(session, settings, since, now)
        with make_sessions(engine).begin() as session:
            note(session, settings, found, since, now)
    except (DBAPIError, OSError) as error:
        log.warning("not_reconciled", error=type(error).__name__)
        return False
    if found.differences:
        log.warning("calls_differ", count=len(found.differences))
    return True
