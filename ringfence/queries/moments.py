"""What time the store says it is, and when anything of ours was last heard of."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from ringfence.models import Node, PurgeRun


def store_now(session: Session) -> datetime:
    """Return the store's own time; SQLite's is that of the machine."""
    if session.connection().dialect.name == "postgresql":
        moment: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        return moment.astimezone(UTC)
    return datetime.fromisoformat(session.execute(text("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')")).scalar_one()).replace(tzinfo=UTC)


def last_seen(session: Session) -> datetime | None:
    """Return when a run began, or a node's daemon was alive, last; None when nothing ever was. A run that a brake stopped says nothing of the time."""
    last_run = select(func.max(PurgeRun.started_at)).where(PurgeRun.stopped.is_(None))
    found = [session.scalar(query) for query in (last_run, select(func.max(Node.app_seen_at)), select(func.max(Node.booker_seen_at)))]
    return max((moment for moment in found if moment is not None), default=None)
