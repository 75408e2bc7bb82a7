"""Booking: the rows that a ledger becomes, and how far each ledger is booked. The hot path goes round the ORM.

A call is booked once: its id is looked up before it is inserted, so that neither a replay nor a crafted line with another start
can make a second row, and the insert ignores a key that is there. On PostgreSQL rows go through COPY into a temporary table.

With a new call go its invoice line and, when its day is sealed already, its count as a late arrival: in the same transaction.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Table, select, update
from sqlalchemy.orm import Session

from ringfence.destinations import Destination, destination_of
from ringfence.models import Call, InvoiceLine, LedgerOffset, Leg, SetAsideLine
from ringfence.models.base import DataClass, UtcDateTime
from ringfence.queries.intake import count_late, let_intake
from ringfence.queries.partitions import ensure_months
from ringfence.values import Direction, Disposition, ForwardingStatus, HungUpBy, RoutedBy, TargetKind

Micros = int  # microseconds since 1970 in UTC: about eight are made for each call, and integers are cheaper than datetimes
BATCHES = "batches"  # the key under which a node's transactions are counted
LONGEST_CALL = timedelta(days=31)  # bounds where a call's row can be, for partitions by month
_BEFORE = LONGEST_CALL + timedelta(days=1)
# A look-up by key for each row. The planner does not know yet what a new month's table holds, and would read it whole.
_ONE_BY_ONE = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
_TURN = 0x4C454447  # 'LEDG': the advisory locks of booking, one for each node
_IN_CHUNK = 500  # parameters of one IN list
_builtins = msgspec.to_builtins
_DAY = 86_400_000_000  # microseconds
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class CallRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One call as it is booked; the fields are those of `models.Call`, in its order."""

    call_id: str
    started_at: Micros
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
    ringing_at: Micros | None
    answered_at: Micros | None
    ended_at: Micros
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


class LegRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One leg as it is booked; the fields are those of `models.Leg`, in its order."""

    call_id: str
    started_at: Micros
    number: int
    attempt: int
    kind: TargetKind
    address: str
    trunk: str | None
    dialled_at: Micros | None
    answered_at: Micros | None
    ended_at: Micros | None
    disposition: Disposition
    hangup_cause: int | None
    sip_status: int | None


class InvoiceRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What is billed of one call; the fields are those of `models.InvoiceLine` that are known then, in its order."""

    account_id: int
    did: str | None
    started_at: Micros
    direction: Direction
    destination: Destination
    billable_seconds: int


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
        connection.exec_driver_sql("PRAGMA cache_size=-32768")  # KiB; the indexes by number and account are hit all over
        connection.exec_driver_sql("PRAGMA wal_autocheckpoint=4000")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '30s'; {_ONE_BY_ONE}")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN << 32 | zlib.crc32(node.encode())})")


def count_batch(session: Session, node: str, batches: int, now: datetime) -> bool:
    """Count one more transaction of a node's booker; False when the store has not exactly `batches` of them.

    A store that came back from a crash or a replica may have lost transactions it had confirmed; then the ledger must be read again from the offset it has.
    """
    key, counter = (LedgerOffset.node == node, LedgerOffset.file_id == BATCHES), LedgerOffset.lines
    if batches:
        done = session.execute(update(LedgerOffset).where(*key, counter == batches).values(lines=batches + 1, updated_at=now))
        return bool(done.rowcount)  # type: ignore[attr-defined]
    if session.scalar(select(counter).where(*key)) is not None:
        return False
    upsert_positions(session, node, [Position(BATCHES, "count", "", 0, 1)], now)
    return True


def find_known_calls(session: Session, call_ids: Sequence[str], started: Iterable[Micros]) -> set[str]:
    """Return which of these calls are in the store.

    Args:
        session: the session.
        call_ids: the calls.
        started: when they (or some like them) began; says which months are looked at.
    """
    moments = list(started)
    if not call_ids or not moments:
        return set()
    if session.connection().dialect.name == "postgresql":
        session.connection().exec_driver_sql(_ONE_BY_ONE)
        earliest, latest = _datetime(min(moments)) - _BEFORE, _datetime(max(moments)) + LONGEST_CALL
        query = (
            "SELECT id FROM unnest(%s::text[]) AS asked(id) WHERE EXISTS"
            " (SELECT 1 FROM call WHERE call.call_id = asked.id AND call.started_at BETWEEN %s AND %s)"
        )
        return {row[0] for row in session.connection().exec_driver_sql(query, (list(call_ids), earliest, latest))}
    known: set[str] = set()
    for first in range(0, len(call_ids), _IN_CHUNK):
        chunk = call_ids[first : first + _IN_CHUNK]
        known.update(session.scalars(select(Call.call_id).where(Call.call_id.in_(chunk))))
    return known


def insert_bookings(session: Session, bookings: Sequence[Booking]) -> int:
    """Insert the calls that the store does not have, with their legs; return how many were new."""
    unique: dict[str, Booking] = {}
    for booking in bookings:
        unique.setdefault(booking.call.call_id, booking)
    if not unique:
        return 0
    let_intake(session)
    if session.connection().dialect.name == "postgresql":
        fresh = _copy_all(session, unique)
    else:
        for call_id in find_known_calls(session, list(unique), [next(iter(unique.values())).call.started_at]):
            del unique[call_id]
        fresh = list(unique.values())
        _execute(session, _CALLS, [booking.call for booking in fresh])
        _execute(session, _LEGS, [leg for booking in fresh for leg in booking.legs])
        _execute(session, _LINES, [line for booking in fresh if (line := invoice_line(booking.call))])
    if fresh:
        count_late(session, _datetime(min(booking.call.started_at for booking in fresh)), lambda end: _rows_before(fresh, micros(end)))
    return len(fresh)


def invoice_line(call: CallRow) -> InvoiceRow | None:
    """Return what is billed of a call: nothing when it was not answered, was nobody's, or was one to 999, or back from there."""
    if not _is_billed(call) or call.account_id is None:
        return None
    return InvoiceRow(call.account_id, call.did, call.started_at, call.direction, destination_of(call.forwarded_to), call.billable_seconds)


def _is_billed(call: CallRow) -> bool:
    return call.answered_at is not None and call.account_id is not None and call.routed_by is not RoutedBy.STATIC


def _rows_before(bookings: Iterable[Booking], end: Micros) -> Iterator[tuple[DataClass, datetime]]:
    """Yield class and time of each row of the calls that began before a moment."""
    for booking in bookings:
        if booking.call.started_at < end:
            at = _datetime(booking.call.started_at)
            yield from [(DataClass.CALL_LOG, at)] * (1 + len(booking.legs))
            if _is_billed(booking.call):
                yield DataClass.BILLING, at


def insert_set_aside(session: Session, node: str, lines: Sequence[SetAside], now: datetime) -> None:
    """Note lines that could not be booked; a line noted before stays as it is."""
    if not lines:
        return
    rows = [[node, line.file_id, line.offset, line.length, line.reason[:200], micros(now)] for line in lines]
    _execute(session, _SET_ASIDE, rows)


def upsert_positions(session: Session, node: str, positions: Sequence[Position], now: datetime) -> None:
    """Move the offsets of files."""
    if positions:
        rows = [[node, at.file_id, at.kind, at.name[:255], at.offset, at.lines, micros(now)] for at in positions]
        _execute(session, _OFFSETS, rows)


def upsert_booker_seen(session: Session, node: str, now: datetime) -> None:
    """Note that the node's booker is alive."""
    sqlite = session.connection().dialect.name == "sqlite"
    mark, moment = ("?", _text(micros(now))) if sqlite else ("%s", now)
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

    def __init__(self, table: Table, *, update: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> None:
        self.name = table.name
        columns = [column for column in table.columns if column.name not in without]
        self.columns = [column.name for column in columns]
        self.quoted = ", ".join(f'"{name}"' for name in self.columns)
        key = ", ".join(f'"{column.name}"' for column in table.primary_key)
        changes = ", ".join(f'"{name}" = excluded."{name}"' for name in update)
        self.on_conflict = f"ON CONFLICT ({key}) DO UPDATE SET {changes}" if update else "ON CONFLICT DO NOTHING"
        self.moments = [index for index, column in enumerate(columns) if isinstance(column.type, UtcDateTime)]

    def insert(self, mark: str) -> str:
        """Return the statement for `executemany`."""
        return f'INSERT INTO "{self.name}" ({self.quoted}) VALUES ({", ".join([mark] * len(self.columns))}) {self.on_conflict}'  # noqa: S608


_CALLS = _Target(Call.__table__)  # type: ignore[arg-type]
_LEGS = _Target(Leg.__table__)  # type: ignore[arg-type]
_LINES = _Target(InvoiceLine.__table__, without=("id", "charge"))  # type: ignore[arg-type]
_SET_ASIDE = _Target(SetAsideLine.__table__)  # type: ignore[arg-type]
_OFFSETS = _Target(LedgerOffset.__table__, update=("path", "offset", "lines", "updated_at"))  # type: ignore[arg-type]


def _execute(session: Session, target: _Target, rows: Sequence[Any]) -> None:
    if rows:
        connection = session.connection()
        sqlite = connection.dialect.name == "sqlite"
        connection.exec_driver_sql(target.insert("?" if sqlite else "%s"), [tuple(row) for row in _driver_rows(target, rows, "" if sqlite else "+00")])


def _copy_all(session: Session, unique: dict[str, Booking]) -> list[Booking]:
    """Insert what the store does not have and return it."""
    days = {booking.call.started_at // _DAY for booking in unique.values()}
    ensure_months(session, (_datetime(day * _DAY) for day in days))
    fresh = [unique[call_id] for call_id in _copy_calls(session, [booking.call for booking in unique.values()])]
    _copy_legs(session, [leg for booking in fresh for leg in booking.legs])
    _copy(session, _LINES, _LINES.name, [line for booking in fresh if (line := invoice_line(booking.call))])
    return fresh


def _copy_calls(session: Session, calls: Sequence[CallRow]) -> list[str]:
    """Insert calls through COPY; return the ids of those that were new."""
    staging = _stage(session, _CALLS, calls)
    known = "SELECT 1 FROM call WHERE call.call_id = staged.call_id AND call.started_at BETWEEN staged.started_at - %s AND staged.started_at + %s"
    query = (
        f"INSERT INTO call ({_CALLS.quoted}) SELECT {_CALLS.quoted} FROM {staging} AS staged"  # noqa: S608
        f" WHERE NOT EXISTS ({known}) {_CALLS.on_conflict} RETURNING call_id"
    )
    return [row[0] for row in session.connection().exec_driver_sql(query, (_BEFORE, LONGEST_CALL))]


def _copy_legs(session: Session, legs: Sequence[LegRow]) -> None:
    if legs:
        staging = _stage(session, _LEGS, legs)
        session.connection().exec_driver_sql(f"INSERT INTO leg ({_LEGS.quoted}) SELECT {_LEGS.quoted} FROM {staging} {_LEGS.on_conflict}")  # noqa: S608


def _stage(session: Session, target: _Target, rows: Sequence[Any]) -> str:
    """COPY rows into a temporary table of this transaction and return its name."""
    staging = f"booking_{target.name}"
    connection = session.connection()
    connection.exec_driver_sql(f'CREATE TEMPORARY TABLE IF NOT EXISTS {staging} (LIKE "{target.name}") ON COMMIT DELETE ROWS')
    connection.exec_driver_sql(f"TRUNCATE {staging}")
    _copy(session, target, staging, rows)
    return staging


def _copy(session: Session, target: _Target, into: str, rows: Sequence[Any]) -> None:
    """COPY rows of a table into it, or into one like it."""
    if rows:
        cursor = session.connection().connection.cursor()
        with cursor.copy(f"COPY {into} ({target.quoted}) FROM STDIN") as copy:
            for row in _driver_rows(target, rows, "+00"):
                copy.write_row(row)
        cursor.close()


def _driver_rows(target: _Target, rows: Sequence[Any], zone: str) -> Iterator[list[Any]]:
    """Yield the rows in plain types, which msgspec makes in C, with moments as the text that SQLAlchemy stores in SQLite, and a zone for PostgreSQL."""
    moments = target.moments
    for row in rows:
        values = _builtins(row)
        for index in moments:
            moment = values[index]
            if moment is not None:
                values[index] = _text(moment) + zone
        yield values


def micros(moment: datetime) -> Micros:
    """Return a moment as microseconds since 1970."""
    return (moment - _1970) // _MICROSECOND


def _datetime(moment: Micros) -> datetime:
    return _1970 + timedelta(microseconds=moment)


def _text(moment: Micros) -> str:
    second, fraction = divmod(moment, 1_000_000)
    return f"{_second(second)}.{fraction:06}"


@lru_cache(maxsize=8192)
def _second(second: int) -> str:
    return (_1970 + timedelta(seconds=second)).isoformat(" ")[:19]
