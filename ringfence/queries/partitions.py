"""Calls and legs by month on PostgreSQL: made ahead, made in a hurry when a call is booked into a month that has none, given up when nothing is left.

Months are of UTC. Their tables are in a schema of their own, `parts`. There is no default partition: rows would hide in it. SQLite has no months; every
function here does nothing there.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

SCHEMA = "parts"
TABLES = ("leg", "call")
_MAKING = 0x5061727473  # 'Parts': the advisory lock of making months


class Month(msgspec.Struct, frozen=True, order=True):
    """A month of UTC."""

    year: int
    number: int

    @classmethod
    def of(cls, moment: datetime) -> Month:
        """Return the month of a moment."""
        at = moment.astimezone(UTC)
        return cls(at.year, at.month)

    def plus(self, months: int) -> Month:
        """Return the month so many later."""
        year, month = divmod(self.year * 12 + self.number - 1 + months, 12)
        return Month(year, month + 1)

    @property
    def begins(self) -> datetime:
        """Its first moment."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    def table(self, of: str) -> str:
        """Return the name of its part of a table, without the schema."""
        return f"{of}_{self.year:04}_{self.number:02}"


class Part(msgspec.Struct, frozen=True):
    """One month's part of a table."""

    of: str  # call or leg
    month: Month
    attached: bool  # False: it was detached, or is being detached, and must be finished
    pending: bool = False  # a concurrent detach was interrupted


def ensure_months(session: Session, moments: Iterable[datetime]) -> list[Month]:
    """Make the months of these moments where they are missing, and return those that were made. Takes no lock that stops readers or writers.

    In the transaction of whoever asks: two who ask for the same month wait for each other.
    """
    connection = session.connection()
    if connection.dialect.name != "postgresql":
        return []
    wanted = {Month.of(moment) for moment in moments}
    if not wanted - _attached(connection):
        return []
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MAKING})
    made = sorted(wanted - _attached(connection))
    for month in made:
        for table in TABLES:
            _make(connection, table, month)
    return made


def list_parts(session: Session) -> list[Part]:
    """Return every month's parts, attached or not, oldest first; none on SQLite."""
    if session.connection().dialect.name != "postgresql":
        return []
    query = """SELECT c.relname, i.inhparent IS NOT NULL, coalesce(i.inhdetachpending, false)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
        WHERE n.nspname = :schema AND c.relkind = 'r' ORDER BY c.relname"""
    parts = []
    for name, attached, pending in session.execute(text(query), {"schema": SCHEMA}):
        of, year, number = name.rsplit("_", 2)
        parts.append(Part(of, Month(int(year), int(number)), attached=attached and not pending, pending=pending))
    return sorted(parts, key=lambda part: (part.month, part.of))


def is_empty(session: Session, part: Part) -> bool:
    """Tell whether a month's part holds no row."""
    return not session.scalar(text(f"SELECT EXISTS (SELECT 1 FROM {_name(part)})"))  # noqa: S608  a name of our own


def detach(connection: Connection, part: Part) -> None:
    """Take a month's part out of its table without stopping anybody. Needs a connection in autocommit; waits for older readers.

    An interrupted one is finished by calling this again.
    """
    how = "FINALIZE" if part.pending else "CONCURRENTLY"
    connection.exec_driver_sql(f'ALTER TABLE "{part.of}" DETACH PARTITION {_name(part)} {how}')


def attach(session: Session, part: Part) -> None:
    """Put a detached part back."""
    session.connection().exec_driver_sql(_attach(part.of, part.month))


def drop(session: Session, part: Part) -> None:
    """Drop a detached part."""
    session.connection().exec_driver_sql(f"DROP TABLE {_name(part)}")


def _attached(connection: Connection) -> set[Month]:
    """Return the months that rows can go into, in both tables."""
    query = """SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent IN (to_regclass('call'), to_regclass('leg')) AND NOT i.inhdetachpending"""
    found: dict[str, set[Month]] = {table: set() for table in TABLES}
    for (name,) in connection.execute(text(query)):
        of, year, number = name.rsplit("_", 2)
        found[of].add(Month(int(year), int(number)))
    return set.intersection(*found.values())


def _make(connection: Connection, table: str, month: Month) -> None:
    """Make a month beside its table and attach it: unlike CREATE … PARTITION OF, that lets everybody go on.

    One that is there already was detached to be dropped; it comes back.
    """
    name = f"{SCHEMA}.{month.table(table)}"
    connection.exec_driver_sql(f'CREATE TABLE IF NOT EXISTS {name} (LIKE "{table}" INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)')
    pending = connection.scalar(text("SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = to_regclass(:name)"), {"name": name})
    if pending:
        connection.exec_driver_sql(f'ALTER TABLE "{table}" DETACH PARTITION {name} FINALIZE')
    if pending is not False:
        connection.exec_driver_sql(_attach(table, month))


def _attach(table: str, month: Month) -> str:
    bounds = f"FROM ('{month.begins.isoformat()}') TO ('{month.plus(1).begins.isoformat()}')"
    return f'ALTER TABLE "{table}" ATTACH PARTITION {SCHEMA}.{month.table(table)} FOR VALUES {bounds}'


def _name(part: Part) -> str:
    return f"{SCHEMA}.{part.month.table(part.of)}"
