"""Workers on a test's store, with a clock that is moved by hand."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, text

from retention.worker.job import Context, make_context
from ringfence.clock import FixedClock
from ringfence.settings import Settings


def worker(engine: Engine, settings: Settings, clock: FixedClock, **changes: Any) -> Context:
    """Return what a worker's jobs work on; the store keeps the same time."""
    at = make_context(engine, settings, clock)
    at.store_now = lambda _session: clock.now()
    for name, value in changes.items():
        setattr(at, name, value)
    return at


def incidents_of(engine: Engine) -> list[tuple[str, str | None, str | None]]:
    """Return every incident: its cause, how it was closed, by whom."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT cause, outcome, closed_by FROM incident ORDER BY opened_at, id"))
        return [(row[0], row[1], row[2]) for row in rows]


def logged(engine: Engine, kind: str) -> int:
    """Return how many entries of a kind the audit log has."""
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM audit_entry WHERE kind = :kind"), {"kind": kind}).scalar_one())
