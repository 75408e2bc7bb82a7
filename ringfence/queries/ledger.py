"""Booking: the rows that a ledger becomes, and how far each ledger is booked. The hot path goes round the ORM.

A call is booked once: its id is looked up before it is inserted, so that neither a replay nor a crafted line with another start
can make a second row, and the insert ignores a key that is there. On PostgreSQL rows go through COPY into a temporary table.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import msgspec
from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from ringfence.models import Call, LedgerOffset, Leg, SetAsideLine
from ringfence.models.base import UtcDateTime
from ringfence.values import Direction, Disposition, ForwardingStatus, HungUpBy, RoutedBy, TargetKind

LONGEST_CALL = timedelta(days=31)  # bounds where a call's row can be, for partitions by month
_CLOCK_STEP = timedelta(days=1)
_IN_CHUNK = 500  # parameters of one IN list


class CallRow(msgspec.Struct, frozen=True, gc=False):
    """One call as it is booked; the fields are those of `models.Call`, in its order."""

    call_id: str
    started_at: datetime
    node: str
    linkedid: str
    direction: Direction
    account_id: int | None
    did: str | None
    caller: str | None
    caller_withheld: bool
    called: str
    inbound_trunk: str | None
    forwarded_to: str | None
    trunk: str | None
    ringing_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime
    end_estimated: bool
    billable_seconds: int
    disposition: Disposition
    forwarding_status: ForwardingStatus
    hangup_cause: int | None
    sip_status: int | None
    hung_up_by: HungUpBy
    routed_by: RoutedBy
    refusal: str | None
    plan_version: int | None


class LegRow(msgspec.Struct, frozen=True, gc=False):
    """One leg as it is booked; the fields are those of `models.Leg`, in its order."""

    call_id: str
    started_at: datetime
    number: int
    attempt: int
    kind: TargetKind
    address: str
    trunk: str | None
    dialled_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    disposition: Disposition
    hangup_cause: int | None
    sip_status: int | None


class Booking(msgspec.Struct, frozen=True):
    """A call with its legs."""

    call: CallRow
    legs: tuple[LegRow, ...]


class SetAside(msgspec.Struct, frozen=True):
    """Where a line is that could not be booked, and why."""

    file_id: str
    offset: int
    length: int
    reason: str


class Position(msgspec.Struct, frozen=True):
    """How far a file is booked: everything before `offset` is settled."""

    file_id: str
    kind: str  # 'ledger' or 'journal'
    name: str  # the file's name when last seen
    offset: int
    lines: int


def begin_booking(session: Session, node: str) -> None:
    """Open the transaction that books for `node`; waits at most about a second for another one, then the driver's error is raised."""
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA busy_timeout=1000")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    connection.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
    connection.exec_driver_sql("SET LOCAL statement_timeout = '30s'")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({zlib.crc32(node.encode())}, 0)")


def find_known_calls(session: Session, call_ids: Sequence[str], started: Iterable[datetime]) -> set[str]:
    """Return which of these calls are in the store.

    Args:
        session: the session.
        call_ids: the calls.
        started: when they (or some like them) began; says which months are looked at.
    """
    moments = list(started)
    if not call_ids or not moments:
        return set()
    earliest, latest = min(moments) - LONGEST_CALL - _CLOCK_STEP, max(moments) + LONGEST_CALL
    known: set[str] = set()
    for first in range(0, len(call_ids), _IN_CHUNK):
        chunk = call_ids[first : first + _IN_CHUNK]
        known.update(session.scalars(select(Call.call_id).where(Call.call_id.in_(chunk), Call.started_at.between(earliest, latest))))
    return known


def insert_bookings(session: Session, bookings: Sequence[Booking]) -> int:
    """Insert the calls that the store does not have, with their legs; return how many were new."""
    known = find_known_calls(session, [booking.call.call_id for booking in bookings], (booking.call.started_at for booking in bookings))
    fresh: dict[str, Booking] = {}
    for booking in bookings:
        if booking.call.call_id not in known:
            fresh.setdefault(booking.call.call_id, booking)
    if fresh:
        _insert(session, _CALLS, [booking.call for booking in fresh.values()])
        _insert(session, _LEGS, [leg for booking in fresh.values() for leg in booking.legs])
    return len(fresh)


def insert_set_aside(session: Session, node: str, lines: Sequence[SetAside], now: datetime) -> None:
    """Note lines that could not be booked; a line noted before stays as it is."""
    if not lines:
        return
    rows = [(node, line.file_id, line.offset, line.length, line.reason[:200], now) for line in lines]
    _execute(session, _SET_ASIDE, rows)


def upsert_positions(session: Session, node: str, positions: Sequence[Position], now: datetime) -> None:
    """Move the offsets of files."""
    if positions:
        rows = [(node, at.file_id, at.kind, at.name[:255], at.offset, at.lines, now) for at in positions]
        _execute(session, _OFFSETS, rows)


def upsert_booker_seen(session: Session, node: str, now: datetime) -> None:
    """Note that the node's booker is alive."""
    mark = _mark(session)
    moment = _for_driver(session)(now)
    sql = f"INSERT INTO node (name, booker_seen_at) VALUES ({mark}, {mark}) ON CONFLICT (name) DO UPDATE SET booker_seen_at = excluded.booker_seen_at"  # noqa: S608
    session.connection().exec_driver_sql(sql, (node, moment))


def list_positions(session: Session, node: str) -> dict[str, Position]:
    """Return how far each file of a node is booked, by file id."""
    rows = session.scalars(select(LedgerOffset).where(LedgerOffset.node == node))
    return {row.file_id: Position(row.file_id, row.kind, row.path, row.offset, row.lines) for row in rows}


def list_set_aside(session: Session, node: str, since: datetime) -> list[SetAside]:
    """Return the lines of a node that were set aside since a moment."""
    query = select(SetAsideLine).where(SetAsideLine.node == node, SetAsideLine.seen_at >= since).order_by(SetAsideLine.seen_at, SetAsideLine.offset)
    return [SetAside(row.file_id, row.offset, row.length, row.reason) for row in session.scalars(query)]


class _Target:
    """A table that rows go into, and the statements for it."""

    def __init__(self, table: Table, *, update: tuple[str, ...] = ()) -> None:
        self.name = table.name
        self.columns = [column.name for column in table.columns]
        self.quoted = ", ".join(f'"{name}"' for name in self.columns)
        key = ", ".join(f'"{column.name}"' for column in table.primary_key)
        changes = ", ".join(f'"{name}" = excluded."{name}"' for name in update)
        self.on_conflict = f"ON CONFLICT ({key}) DO UPDATE SET {changes}" if update else "ON CONFLICT DO NOTHING"
        self.moments = {index for index, column in enumerate(table.columns) if isinstance(column.type, UtcDateTime)}

    def insert(self, mark: str) -> str:
        """Return the statement for `executemany`."""
        return f'INSERT INTO "{self.name}" ({self.quoted}) VALUES ({", ".join([mark] * len(self.columns))}) {self.on_conflict}'  # noqa: S608


_CALLS = _Target(Call.__table__)  # type: ignore[arg-type]
_LEGS = _Target(Leg.__table__)  # type: ignore[arg-type]
_SET_ASIDE = _Target(SetAsideLine.__table__)  # type: ignore[arg-type]
_OFFSETS = _Target(LedgerOffset.__table__, update=("path", "offset", "lines", "updated_at"))  # type: ignore[arg-type]


def _insert(session: Session, target: _Target, rows: Sequence[msgspec.Struct]) -> None:
    if session.connection().dialect.name == "sqlite":
        _execute(session, target, [msgspec.structs.astuple(row) for row in rows])
    elif rows:
        _copy(session, target, rows)


def _execute(session: Session, target: _Target, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        convert = _for_driver(session)
        session.connection().exec_driver_sql(target.insert(_mark(session)), [tuple(map(convert, row)) for row in rows])


def _copy(session: Session, target: _Target, rows: Sequence[msgspec.Struct]) -> None:
    connection = session.connection()
    staging = f"booking_{target.name}"
    connection.exec_driver_sql(f'CREATE TEMPORARY TABLE IF NOT EXISTS {staging} (LIKE "{target.name}") ON COMMIT DELETE ROWS')
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {staging} ({target.quoted}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(tuple(map(_plain, msgspec.structs.astuple(row))))
    cursor.close()
    connection.exec_driver_sql(f'INSERT INTO "{target.name}" ({target.quoted}) SELECT {target.quoted} FROM {staging} {target.on_conflict}')  # noqa: S608
    connection.exec_driver_sql(f"DELETE FROM {staging}")  # noqa: S608


def _mark(session: Session) -> str:
    return "?" if session.connection().dialect.name == "sqlite" else "%s"


def _for_driver(session: Session) -> Callable[[Any], Any]:
    return _sqlite_value if session.connection().dialect.name == "sqlite" else _plain


def _sqlite_value(value: Any) -> Any:
    """Return a value as SQLAlchemy stores it in SQLite; plain types, so that the driver looks for no adapter."""
    kind = type(value)
    if kind is datetime:
        return value.astimezone(UTC).isoformat(" ", "microseconds")[:26]
    return value.value if isinstance(value, Enum) else value


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
