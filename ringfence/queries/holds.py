"""Legal holds: placing, releasing and reading them, and the condition that every deletion carries so that it passes them by.

A hold is placed and a batch is deleted under the same lock, so a hold either is seen by the batch, or begins after it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, FromClause, and_, false, func, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from ringfence.errors import NotFound
from ringfence.models import HeldRow, HoldState, Leg, LegalHold


class Scope(msgspec.Struct, frozen=True):
    """What a hold covers; what is None does not narrow it."""

    data_class: str | None = None
    account_id: int | None = None
    number: str | None = None  # E.164, as rows hold it
    since: datetime | None = None  # rows of this moment and later
    until: datetime | None = None  # rows before this moment


class Shape(msgspec.Struct, frozen=True):
    """Which kinds of holds there are; a statement asks for no others."""

    account: bool = False
    number: bool = False
    both: bool = False
    neither: bool = False

    def __bool__(self) -> bool:
        return self.account or self.number or self.both or self.neither


class Window(msgspec.Struct, frozen=True):
    """Rows from a moment (None = since ever) to before another. In statements that are made once and used often the moments are parameters."""

    lo: Any
    hi: Any
    oldest: Any = None  # no row in it is older than this, which may be later than `lo`

    @property
    def begins(self) -> Any:
        """Where a hold must have begun to cover it wholly."""
        return self.lo if self.oldest is None else self.oldest


class Opened(msgspec.Struct, frozen=True):
    """What deletions must know of the open holds over a class; it changes only with their version."""

    shape: Shape
    bounds: tuple[datetime, ...]  # where one begins or ends, in order

    def next_bound(self, window: Window) -> datetime | None:
        """Return the first bound inside a window. A window that ends there is wholly covered by each hold, or not at all."""
        place = bisect_right(self.bounds, window.begins) if window.begins is not None else 0
        return self.bounds[place] if place < len(self.bounds) and self.bounds[place] < window.hi else None


class Columns(msgspec.Struct, frozen=True):
    """Where a table says what holds are about."""

    table: FromClause
    time: ColumnElement[datetime]
    account: str | None
    numbers: tuple[str, ...]
    legs: bool  # numbers that the call's legs rang count too


def lock_version(session: Session, *, change: bool = False) -> int:
    """Return the version of the holds and keep it so until the transaction ends; with `change`, alone and one higher.

    SQLite's transaction must hold the write lock already.
    """
    if change:
        raised = update(HoldState).where(HoldState.id == 1).values(version=HoldState.version + 1).returning(HoldState.version)
        version = session.scalar(raised.execution_options(synchronize_session=False))
        if version is None:
            _make_state(session)
            return lock_version(session, change=True)
        return version
    found = session.scalar(select(HoldState.version).where(HoldState.id == 1).with_for_update(read=True))
    if found is None:
        _make_state(session)
        return lock_version(session)
    return found


def lock_alone(session: Session) -> None:
    """Keep every deletion away until the transaction ends, and leave the version as it is: what a secret hold does."""
    session.execute(update(HoldState).where(HoldState.id == 1).values(version=HoldState.version).execution_options(synchronize_session=False))


def read_version(session: Session) -> int:
    """Return the version of the holds."""
    return session.scalar(select(HoldState.version).where(HoldState.id == 1)) or 0


def add_hold(session: Session, hold: LegalHold) -> None:
    """Write a hold."""
    session.add(hold)
    session.flush()


def find_hold(session: Session, hold_id: str, viewer: str | None, *, lock: bool = False) -> LegalHold:
    """Return a hold that `viewer` may know of; with `lock` nobody else changes it until the transaction ends.

    Raises:
        NotFound: there is none, or it is somebody else's secret: the answer is the same.
    """
    query = select(LegalHold).where(LegalHold.id == hold_id, _visible(viewer))
    hold = session.scalar(query.with_for_update().execution_options(populate_existing=True) if lock else query)
    if hold is None:
        raise NotFound(f"there is no legal hold {hold_id}", hint="'ringfence hold list' shows those that you may know of")
    return hold


def list_holds(session: Session, viewer: str | None, *, released: bool = False) -> list[LegalHold]:
    """Return the holds that `viewer` may know of, oldest first; with `released`, ended ones too."""
    query = select(LegalHold).where(_visible(viewer)).order_by(LegalHold.placed_at, LegalHold.id)
    return list(session.scalars(query if released else query.where(LegalHold.released_at.is_(None))))


def overdue_reviews(session: Session, today: date, viewer: str | None) -> list[LegalHold]:
    """Return the holds whose review is overdue, of those that `viewer` may know of."""
    return [hold for hold in list_holds(session, viewer) if hold.review_by < today]


def secret_holds(session: Session, data_class: str) -> list[LegalHold]:
    """Return the secret holds over a class. For whoever deletes, never for display."""
    query = select(LegalHold).where(LegalHold.secret, LegalHold.released_at.is_(None), _of_class(data_class)).order_by(LegalHold.id)
    return list(session.scalars(query))


def opened(session: Session, data_class: str) -> Opened:
    """Return what there is of open holds over a class."""
    query = select(LegalHold.account_id.is_not(None), LegalHold.number.is_not(None), LegalHold.since, LegalHold.until).where(*_open(data_class)).distinct()
    rows = session.execute(query).all()
    kinds = {(bool(row[0]), bool(row[1])) for row in rows}
    shape = Shape((True, False) in kinds, (False, True) in kinds, (True, True) in kinds, (False, False) in kinds)
    return Opened(shape, tuple(sorted({moment for row in rows for moment in (row[2], row[3]) if moment is not None})))


def held(columns: Columns, data_class: str, shape: Shape, window: Window, *, legs: bool = True) -> ColumnElement[bool]:
    """Return the condition that a row of the window is kept by an open hold. The holds are read by the statement itself.

    No hold may begin or end inside the window (see `Opened.next_bound`). Without `legs` the caller looks for held numbers among the legs (see `rung`).
    """
    covering = (*_open(data_class), _covers(window))
    column = columns.table.c
    parts: list[ColumnElement[bool]] = []
    if shape.neither:
        wide = select(LegalHold.id).where(*covering, LegalHold.account_id.is_(None), LegalHold.number.is_(None))
        parts.append(wide.exists().correlate(None))
    if shape.account and columns.account:
        accounts = select(LegalHold.account_id).where(*covering, LegalHold.account_id.is_not(None), LegalHold.number.is_(None))
        parts.append(and_(column[columns.account].is_not(None), column[columns.account].in_(accounts)))
    if shape.number:
        numbers = select(LegalHold.number).where(*covering, LegalHold.account_id.is_(None), LegalHold.number.is_not(None))
        parts += [and_(column[name].is_not(None), column[name].in_(numbers)) for name in columns.numbers]
        if columns.legs and legs:
            calls = select(Leg.started_at, Leg.call_id).where(*_within(Leg.started_at, window), rung(data_class, window))
            parts.append(tuple_(column.started_at, column.call_id).in_(calls))
    if shape.both and columns.account:
        account = column[columns.account]
        pairs = select(LegalHold.account_id, LegalHold.number).where(*covering, LegalHold.account_id.is_not(None), LegalHold.number.is_not(None))
        parts += [and_(account.is_not(None), column[name].is_not(None), tuple_(account, column[name]).in_(pairs)) for name in columns.numbers]
        if columns.legs:
            known = select(LegalHold.account_id, Leg.started_at, Leg.call_id).join(Leg, Leg.address == LegalHold.number)
            rung_of = known.where(*covering, LegalHold.account_id.is_not(None), *_within(Leg.started_at, window))
            parts.append(and_(account.is_not(None), tuple_(account, column.started_at, column.call_id).in_(rung_of)))
    return or_(false(), *parts)


def rung(data_class: str, window: Window) -> ColumnElement[bool]:
    """Return the condition that a leg of the window rang a number that an open hold is on."""
    numbers = select(LegalHold.number).where(*_open(data_class), _covers(window), LegalHold.account_id.is_(None), LegalHold.number.is_not(None))
    return Leg.address.in_(numbers)


def covers_files(session: Session, data_class: str) -> bool:
    """Tell whether an open hold keeps the files of a class: one that names the class, or that is not about one account or number.

    A file holds many customers' data. What a hold on one of them needs is in the rows.
    """
    wide = and_(LegalHold.account_id.is_(None), LegalHold.number.is_(None))
    query = select(LegalHold.id).where(*_open(data_class), or_(wide, LegalHold.data_class.is_not(None))).limit(1)
    return session.scalar(query) is not None


def matches(columns: Columns, hold: LegalHold) -> ColumnElement[bool]:
    """Return the condition that a row is covered by one hold, for secret ones: nothing else may show where one begins."""
    column = columns.table.c
    parts: list[ColumnElement[bool]] = []
    if hold.account_id is not None:
        parts.append(column[columns.account] == hold.account_id if columns.account else false())
    if hold.number is not None:
        sides: list[ColumnElement[bool]] = [column[name] == hold.number for name in columns.numbers]
        if columns.legs:
            sides.append(select(Leg.call_id).where(Leg.started_at == column.started_at, Leg.call_id == column.call_id, Leg.address == hold.number).exists())
        parts.append(or_(false(), *sides))
    if hold.since is not None:
        parts.append(columns.time >= hold.since)
    if hold.until is not None:
        parts.append(columns.time < hold.until)
    return and_(*parts) if parts else func.coalesce(columns.time == columns.time, True)


def keep_rows(session: Session, rows: Iterable[HeldRow]) -> None:
    """Keep rows for the keeper of a secret hold."""
    session.add_all(rows)
    session.flush()


def held_rows(session: Session, hold_id: str) -> list[HeldRow]:
    """Return the rows kept for a hold. The caller has asked `find_hold` first."""
    return list(session.scalars(select(HeldRow).where(HeldRow.hold_id == hold_id).order_by(HeldRow.at, HeldRow.id)))


def _visible(viewer: str | None) -> ColumnElement[bool]:
    open_one = LegalHold.secret.is_(False)
    return open_one if viewer is None else or_(open_one, LegalHold.keeper == viewer)


def _open(data_class: str) -> tuple[ColumnElement[bool], ...]:
    return (LegalHold.secret.is_(False), LegalHold.released_at.is_(None), _of_class(data_class))


def _of_class(data_class: str) -> ColumnElement[bool]:
    return or_(LegalHold.data_class.is_(None), LegalHold.data_class == data_class)


def _covers(window: Window) -> ColumnElement[bool]:
    begun: ColumnElement[bool] = LegalHold.since.is_(None)
    if window.begins is not None:
        begun = or_(begun, LegalHold.since <= window.begins)
    return and_(begun, or_(LegalHold.until.is_(None), LegalHold.until >= window.hi))


def _within(column: Any, window: Window) -> list[ColumnElement[bool]]:
    return [column < window.hi] if window.lo is None else [column >= window.lo, column < window.hi]


def _make_state(session: Session) -> None:
    make = postgresql.insert(HoldState) if session.get_bind().dialect.name == "postgresql" else sqlite.insert(HoldState)
    session.execute(make.values(id=1, version=0).on_conflict_do_nothing())
