"""Sealed days, and how many rows of a day there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import ARRAY, DateTime, Table, bindparam, func, insert, literal, select, update
from sqlalchemy.orm import Session

from ringfence.models import Base, SealedDay


def begin_alone(session: Session) -> None:
    """Open the transaction with the store's write lock on SQLite, where a reader that turns writer may fail."""
    if session.connection().dialect.name == "sqlite":
        session.connection().exec_driver_sql("BEGIN IMMEDIATE")


def begin_snapshot(session: Session) -> None:
    """Let everything that the transaction reads be of one moment. Must come first."""
    connection = session.connection()
    connection.exec_driver_sql("BEGIN" if connection.dialect.name == "sqlite" else "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def oldest_row(session: Session, table: str, column: str) -> datetime | None:
    """Return the time of a table's oldest row."""
    oldest: datetime | None = session.scalar(select(func.min(_table(table).c[column])))
    return oldest


def count_by_day(session: Session, table: str, column: str, starts: Sequence[datetime], end: datetime) -> list[int]:
    """Return how many rows lie between each start and the next, the last one ending at `end`."""
    time = _table(table).c[column]
    if not starts:
        return []
    ends = [*starts[1:], end]
    if session.connection().dialect.name == "postgresql":
        moments = ARRAY(DateTime(timezone=True))
        day = func.unnest(literal(list(starts), moments), literal(ends, moments)).table_valued("lo", "hi", with_ordinality="n").render_derived(name="day")
        rows = select(func.count()).select_from(_table(table)).where(time >= day.c.lo, time < day.c.hi).scalar_subquery()
        return list(session.scalars(select(rows).select_from(day).order_by(day.c.n)))
    query = select(func.count()).where(time >= bindparam("start", type_=time.type), time < bindparam("end", type_=time.type))
    spans = zip(starts, ends, strict=True)
    return [session.connection().scalar(query, {"start": lo, "end": hi}) or 0 for lo, hi in spans]


def list_sealed(session: Session, data_class: str) -> list[SealedDay]:
    """Return the sealed days of a class, in order."""
    query = select(SealedDay).where(SealedDay.data_class == data_class).order_by(SealedDay.day)
    return list(session.scalars(query.execution_options(populate_existing=True)))


def sealed_bounds(session: Session, data_class: str) -> tuple[date, date] | None:
    """Return the first and last sealed day of a class."""
    first, last = session.execute(select(func.min(SealedDay.day), func.max(SealedDay.day)).where(SealedDay.data_class == data_class)).one()
    return None if first is None else (first, last)


def add_sealed(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Seal days."""
    if rows:
        session.execute(insert(SealedDay), [dict(row) for row in rows])


def untold(session: Session, *, lock: bool = True) -> list[SealedDay]:
    """Return the days to which rows came late that the audit log does not tell of yet; with `lock` none is told twice."""
    query = select(SealedDay).where(SealedDay.late > SealedDay.late_told).order_by(SealedDay.data_class, SealedDay.day)
    return list(session.scalars((query.with_for_update() if lock else query).execution_options(populate_existing=True)))


def mark_told(session: Session, day: SealedDay) -> None:
    """Note that the audit log tells of a day's late rows."""
    where = (SealedDay.data_class == day.data_class, SealedDay.day == day.day)
    session.execute(update(SealedDay).where(*where).values(late_told=day.late).execution_options(synchronize_session=False))


def _table(name: str) -> Table:
    return Base.metadata.tables[name]
