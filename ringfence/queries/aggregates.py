"""Counts of calls that went: by hour, trunk and kind of destination."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache

from sqlalchemy import Executable, delete, func, insert, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from ringfence.models import Base, CallAggregate
from ringfence.queries.gone import Cell

OTHER = "*"  # no trunk is called so; trunk and destination of the cell that small ones are joined in
ANY_HOUR = -1  # of a cell in which several hours are joined, or that is older than hours


def add_cells(session: Session, cells: Iterable[Cell]) -> None:
    """Add calls that went."""
    names = ("day", "hour", "trunk", "destination", "calls", "answered", "billable_seconds")
    rows = [{name: getattr(cell, name) for name in names} for cell in cells]
    if not rows:
        return
    session.connection().execute(_addition(session.get_bind().dialect.name), rows)


@cache
def _addition(dialect: str) -> Executable:
    table = Base.metadata.tables[CallAggregate.__tablename__]
    make = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    sums = {name: table.c[name] + make.excluded[name] for name in ("calls", "answered", "billable_seconds")}
    return make.on_conflict_do_update(index_elements=["day", "hour", "trunk", "destination"], set_=sums)


def days_with_small_cells(session: Session, before: date, smallest: int) -> list[date]:
    """Return the days before a date with a cell of fewer calls than may be shown, or with several joined ones."""
    small = or_(CallAggregate.calls < smallest, CallAggregate.trunk == OTHER)
    cells = select(CallAggregate.day).where(CallAggregate.day < before).group_by(CallAggregate.day)
    unjoined = func.count().filter(small, CallAggregate.trunk != OTHER) > 0
    return list(session.scalars(cells.having(unjoined).order_by(CallAggregate.day)))


def list_cells(session: Session, days: Sequence[date]) -> list[CallAggregate]:
    """Return the cells of days, by day."""
    query = select(CallAggregate).where(CallAggregate.day.in_(days))
    order = (CallAggregate.day, CallAggregate.trunk, CallAggregate.destination, CallAggregate.hour)
    return list(session.scalars(query.order_by(*order).execution_options(populate_existing=True)))


def replace_days(session: Session, days: Mapping[date, Sequence[tuple[int, str, str, int, int | None, int | None]]]) -> None:
    """Write the cells of days anew."""
    session.execute(delete(CallAggregate).where(CallAggregate.day.in_(list(days))).execution_options(synchronize_session=False))
    session.expire_all()
    names = ("hour", "trunk", "destination", "calls", "answered", "billable_seconds")
    table = Base.metadata.tables[CallAggregate.__tablename__]
    session.execute(insert(table), [{"day": day, **dict(zip(names, cell, strict=True))} for day, cells in days.items() for cell in cells])
