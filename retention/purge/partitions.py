"""Months of calls on PostgreSQL: made ahead, and given up when they are over, past every window, and empty. SQLite has none."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from ringfence.queries import partitions
from ringfence.queries.partitions import Month, Part
from ringfence.session import make_sessions

AHEAD = 3  # months made ahead; booking makes one in a hurry if it must
_PATIENCE = "SET lock_timeout = '2s'"

log = structlog.get_logger()


class Fate(StrEnum):
    """What became of a month's part."""

    DROPPED = "dropped"
    HOLDS_ROWS = "holds_rows"  # legal holds keep some
    CONTENDED = "contended"  # somebody read it for too long; the next run goes on
    ATTACHED = "attached"  # a row came in while it was detached: it went back


def make_ahead(engine: Engine, now: datetime) -> list[Month]:
    """Make this month and the next ones where they are missing; return those that were made."""
    if engine.dialect.name != "postgresql":
        return []
    this = Month.of(now)
    with make_sessions(engine).begin() as session:
        return partitions.ensure_months(session, [this.plus(months).begins for months in range(AHEAD + 1)])


def drop_empty(engine: Engine, before: datetime) -> list[tuple[Part, Fate]]:
    """Give up the months that were over at `before`, the earliest of all cutoffs, and are empty. Finishes what an interrupted run began."""
    if engine.dialect.name != "postgresql":
        return []
    with make_sessions(engine).begin() as session:
        parts = [part for part in partitions.list_parts(session) if part.month.plus(1).begins <= before or not part.attached]
    return [(part, _give_up(engine, part)) for part in parts]


def _give_up(engine: Engine, part: Part) -> Fate:
    try:
        if part.attached or part.pending:
            with make_sessions(engine).begin() as session:
                if not part.pending and not partitions.is_empty(session, part):
                    return Fate.HOLDS_ROWS
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql(_PATIENCE)
                partitions.detach(connection, part)
        with make_sessions(engine).begin() as session:
            session.connection().exec_driver_sql(_PATIENCE.replace("SET", "SET LOCAL"))
            if partitions.is_empty(session, part):
                partitions.drop(session, part)
                return Fate.DROPPED
            partitions.attach(session, part)
            return Fate.ATTACHED
    except DBAPIError as error:
        log.warning("month_not_dropped", month=part.month.table(part.of), error=type(error.orig).__name__)
        return Fate.CONTENDED
