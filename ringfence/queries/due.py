"""What is due: which rows of a table a policy makes due, the windows they are walked in, and how many there are."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Integer, Select, String, Table, and_, bindparam, case, func, literal, or_, select, true, type_coerce
from sqlalchemy.orm import Session

from ringfence.models import Account, AccountPolicy, Base, PurgeReceipt, PurgeReceiptDay, SealedDay
from ringfence.models.base import UtcDateTime
from ringfence.queries import holds
from ringfence.queries.holds import Columns, Opened, Window

EVER = datetime(1, 1, 1, tzinfo=UTC)
# Of statements that are made once and used often.
BOUNDS = Window(*(bindparam(name, type_=UtcDateTime()) for name in ("lo", "hi", "oldest")))
_WITHOUT_INDEX = frozenset({"call.account_id"})  # on SQLite: read once, and not for each row
CLOSED = "account.closed_at"  # the moment of a row whose account was closed then


class Needed(StrEnum):
    """Why a row of the purge's own proof stays past its window."""

    UNTIL_RECEIPTED = "until_receipted"  # a sealed day whose rows have not all gone with a receipt
    WHILE_SEALED = "while_sealed"  # a receipt's rows of a day that is still sealed


class Source(msgspec.Struct, frozen=True, dict=True):
    """A table whose rows end by age.

    Args:
        table: its name.
        time: the column of the rows' own time, by which they are walked, counted and receipted; or `CLOSED`.
        key: the columns that tell rows apart.
        account: the column with the account, whose policy and holds count.
        numbers: the columns with numbers that holds can be on.
        legs: a call's legs go with it.
        hidden: a column that is true in rows nobody may know of: they are in no count, and go without a receipt.
        unless: columns of other tables, 'table.column'; a row whose first key stands there stays until those are gone.
        needed: what else keeps a row past its window.
    """

    table: str
    time: str
    key: tuple[str, ...]
    account: str | None = None
    numbers: tuple[str, ...] = ()
    legs: bool = False
    hidden: str | None = None
    unless: tuple[str, ...] = ()
    needed: Needed | None = None

    @cached_property
    def of(self) -> Table:
        """The table."""
        return Base.metadata.tables[self.table]

    def moment(self, name: str) -> ColumnElement[datetime]:
        """Return the expression of a moment: a column, or when the row's account was closed."""
        if name != CLOSED:
            return self.of.c[name]
        account = self.of.c[self.account or "id"]
        if self.table == Account.__tablename__:
            return self.of.c.closed_at
        return select(Account.closed_at).where(Account.id == account).scalar_subquery()  # type: ignore[return-value]

    @property
    def waits(self) -> bool:
        """Whether its rows stay while others are there."""
        return bool(self.unless or self.needed)

    @property
    def columns(self) -> Columns:
        """Where it says what holds are about."""
        return Columns(self.of, self.moment(self.time), self.account, self.numbers, legs=self.legs)


class Due(msgspec.Struct, frozen=True):
    """Which of a table's rows one policy makes due."""

    source: Source
    data_class: str
    policy: str
    default: bool  # the policy of every account that has no other
    cutoff: datetime
    event: str  # the moment that the window runs from: a column, or CLOSED
    minimum: datetime | None = None  # what began later must stay, whatever the window says
    minimum_event: str = ""


class Count(msgspec.Struct, frozen=True):
    """Rows, and their times."""

    rows: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None

    def plus(self, other: Count) -> Count:
        """Return both together."""
        times = [moment for moment in (self.oldest, self.newest, other.oldest, other.newest) if moment is not None]
        return Count(self.rows + other.rows, min(times, default=None), max(times, default=None))


def due_where(due: Due, window: Window, *, sqlite: bool) -> list[ColumnElement[bool]]:
    """Return the conditions of what a policy makes due in a window that ends at the cutoff or before; legal holds come on top."""
    source = due.source
    own = source.moment(source.time)
    conditions = [own < window.hi]
    if window.lo is not None:
        conditions.append(own >= window.lo)
    if due.event != source.time:
        conditions.append(_passed(source, due.event, due.cutoff))
    if due.minimum is not None and not (due.minimum_event == source.time and due.minimum >= due.cutoff):
        conditions.append(_passed(source, due.minimum_event, due.minimum))
    if source.hidden is not None:
        conditions.append(source.of.c[source.hidden].is_(False))
    conditions += [_unreferenced(source, column, listed=sqlite and column in _WITHOUT_INDEX) for column in source.unless]
    if source.needed is not None:
        conditions.append(_not_needed(source))
    return [*conditions, *_governed(due)]


def next_window(session: Session, due: Due, opened: Opened, lo: datetime | None, size: int) -> Window | None:
    """Return the next window of about `size` rows, from `lo` on (None = since ever); None when there is no row before the cutoff.

    Rows of one moment are never parted.
    """
    first_one, place, later = _walk(due)
    connection = session.connection()
    first = connection.scalar(first_one, {"lo": lo or EVER})
    if first is None:
        return None
    last = connection.scalar(place, {"lo": lo or EVER, "size": size})
    if last is not None and last <= first:
        last = connection.scalar(later, {"lo": first})
    hi = due.cutoff if last is None else last
    window = Window(lo or EVER, hi, first)
    bound = opened.next_bound(window)
    return window if bound is None else Window(window.lo, bound, first)


@lru_cache(maxsize=64)
def _walk(due: Due) -> tuple[Select[Any], Select[Any], Select[Any]]:
    own = due.source.moment(due.source.time)
    lo = bindparam("lo", type_=UtcDateTime())
    rows = select(own).select_from(due.source.of).where(own < due.cutoff).order_by(own)
    return rows.where(own >= lo).limit(1), rows.where(own >= lo).limit(1).offset(bindparam("size", type_=Integer())), rows.where(own > lo).limit(1)


def count_past(session: Session, due: Due) -> Count:
    """Return what is past its window, held or not: quicker than `count_due`."""
    own = due.source.moment(due.source.time)
    where = due_where(due, Window(None, due.cutoff), sqlite=_is_sqlite(session))
    counted = select(func.count(), func.min(own), func.max(own)).select_from(due.source.of).where(*where)
    return Count(*session.execute(counted).one())


def count_due(session: Session, due: Due) -> tuple[Count, int]:
    """Return what is due now, and how many rows open holds keep beyond that. Secret holds show in neither."""
    total, kept, lo = Count(), 0, None
    opened = holds.opened(session, due.data_class)
    own, sqlite = due.source.moment(due.source.time), _is_sqlite(session)
    while True:
        hi = opened.next_bound(Window(lo, due.cutoff)) or due.cutoff
        window = Window(lo, hi)
        held = holds.held(due.source.columns, due.data_class, opened.shape, window) if opened.shape else literal(value=False)
        free = case((held, None), else_=own)
        rows, unheld, oldest, newest = session.execute(
            select(func.count(), func.count(free), func.min(free), func.max(free)).select_from(due.source.of).where(*due_where(due, window, sqlite=sqlite))
        ).one()
        total, kept = total.plus(Count(unheld, oldest, newest)), kept + rows - unheld
        if hi >= due.cutoff:
            return total, kept
        lo = hi


def count_due_by_hour(session: Session, due: Due) -> list[tuple[datetime, int]]:
    """Return how many rows are due now, without those that open holds keep, by the hour in UTC of their own time: a day in London is whole hours."""
    found: list[tuple[datetime, int]] = []
    lo, opened = None, holds.opened(session, due.data_class)
    own = due.source.moment(due.source.time)
    sqlite = _is_sqlite(session)
    hour = func.substr(type_coerce(own, String), 1, 13) if sqlite else func.date_trunc("hour", own)
    while True:
        hi = opened.next_bound(Window(lo, due.cutoff)) or due.cutoff
        window = Window(lo, hi)
        conditions = due_where(due, window, sqlite=sqlite)
        if opened.shape:
            conditions.append(~holds.held(due.source.columns, due.data_class, opened.shape, window))
        of_hours = select(hour, func.count()).select_from(due.source.of).where(*conditions).group_by(hour)
        found += [(datetime.fromisoformat(f"{row[0]}:00").replace(tzinfo=UTC) if sqlite else row[0], row[1]) for row in session.execute(of_hours)]
        if hi >= due.cutoff:
            return found
        lo = hi


def newest_row(session: Session, source: Source) -> datetime | None:
    """Return the time of a table's newest row."""
    return session.scalar(select(func.max(source.moment(source.time))).select_from(source.of))


def _is_sqlite(session: Session) -> bool:
    return session.connection().dialect.name == "sqlite"


def _passed(source: Source, event: str, cutoff: datetime) -> ColumnElement[bool]:
    if event != CLOSED or source.table == Account.__tablename__:
        return source.moment(event) < cutoff
    account = source.of.c[source.account or "id"]
    still = select(Account.id).where(or_(Account.closed_at.is_(None), Account.closed_at >= cutoff))
    return or_(account.is_(None), account.not_in(still))  # an account that is gone was closed long ago


def _unreferenced(source: Source, column: str, *, listed: bool) -> ColumnElement[bool]:
    table, _, name = column.partition(".")
    other = Base.metadata.tables[table].c[name]
    if listed:
        return source.of.c[source.key[0]].not_in(select(other).where(other.is_not(None)))
    return ~select(other).where(other == source.of.c[source.key[0]]).exists()


def _not_needed(source: Source) -> ColumnElement[bool]:
    """Return the condition that the proof has no more use for a row."""
    row = source.of.c
    if source.needed is Needed.UNTIL_RECEIPTED:
        of_day = (PurgeReceiptDay.day == row.day, PurgeReceipt.data_class == row.data_class)
        receipted = select(func.coalesce(func.sum(PurgeReceiptDay.rows), 0)).join(PurgeReceipt, PurgeReceipt.id == PurgeReceiptDay.receipt_id)
        return row.rows + row.late == receipted.where(*of_day).scalar_subquery()
    sealed = select(SealedDay.day).join(PurgeReceipt, PurgeReceipt.data_class == SealedDay.data_class)
    return ~sealed.where(PurgeReceipt.id == row.receipt_id, SealedDay.day == row.day).exists()


def _governed(due: Due) -> list[ColumnElement[bool]]:
    """Return the condition that the policy is the one of the row's account."""
    if due.source.account is None:
        return [true()] if due.default else [~true()]
    account = due.source.of.c[due.source.account]
    if due.default:
        others = select(AccountPolicy.account_id).where(AccountPolicy.policy != due.policy)
        return [or_(account.is_(None), account.not_in(others))]
    return [and_(account.is_not(None), account.in_(select(AccountPolicy.account_id).where(AccountPolicy.policy == due.policy)))]
