"""Deleting a window of calls and legs on PostgreSQL, counted where they are: bringing every row's key back by RETURNING takes twice as long.

First what must stay is found, then what goes is counted, then it is deleted; all in one snapshot (REPEATABLE READ), so that the three agree. A row that
is booked into the window meanwhile is in none of them, and goes the next time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, DateTime, Executable, String, and_, bindparam, case, delete, func, select
from sqlalchemy.orm import Session

from ringfence.destinations import LONGEST_PREFIX, destination_of
from ringfence.models import Base, Call, Leg
from ringfence.queries import holds
from ringfence.queries.due import BOUNDS, Count, Due, due_where
from ringfence.queries.gone import Cell, Days, Gone, sorted_keys
from ringfence.queries.holds import Opened, Shape, Window

_CALL, _LEG = Base.metadata.tables[Call.__tablename__], Base.metadata.tables[Leg.__tablename__]
_STARTS: ColumnElement[Any] = bindparam("starts", type_=ARRAY(DateTime(timezone=True), as_tuple=True))
_HOURS: ColumnElement[Any] = bindparam("hours", type_=ARRAY(DateTime(timezone=True), as_tuple=True))
# As a query, because the server hashes its answer; an array that is a parameter it walks for each row.
_KEPT = select(func.unnest(bindparam("kept", type_=ARRAY(String))))


def delete_calls(session: Session, due: Due, opened: Opened, window: Window, days: Days) -> tuple[list[Gone], list[Cell]]:
    """Delete the window's calls that are due and that no open hold keeps, and legs without a call; return what went."""
    connection = session.connection()
    values: dict[str, Any] = {"lo": window.lo, "hi": window.hi, "oldest": window.oldest, "starts": days.starts, "hours": days.hours, "kept": []}
    if opened.shape.number:
        values["kept"] = list(connection.scalars(_rung(due.data_class), values))
    calls, cells, kept = _calls(connection.execute(_count_calls(due, opened.shape), values), days)
    values["kept"] = kept
    if calls.count.rows:
        _agree(calls, connection.execute(_DELETE_CALLS, values).rowcount)
    legs = _legs(connection.execute(_COUNT_LEGS, values), days)
    if legs.count.rows:
        _agree(legs, connection.execute(_DELETE_LEGS, values).rowcount)
    return [calls, legs], cells


def _within(table: Any) -> list[ColumnElement[bool]]:
    return [table.c.started_at >= BOUNDS.oldest, table.c.started_at < BOUNDS.hi]


def _others(table: Any) -> ColumnElement[bool]:
    return and_(*_within(table), table.c.call_id.not_in(_KEPT))


@lru_cache(maxsize=64)
def _rung(data_class: str) -> Executable:
    """Return the statement that finds the calls in which a held number was rung."""
    # IS TRUE keeps it from being made a join, which the server does in nested loops: it takes holds for fewer than they are.
    return select(_LEG.c.call_id).where(*_within(_LEG), holds.rung(data_class, BOUNDS).is_(True)).distinct()


@lru_cache(maxsize=64)
def _count_calls(due: Due, shape: Shape) -> Executable:
    """Return the statement that counts the window's calls by whether they go, by hour, trunk and the beginning of the target; with their ids."""
    goes = and_(*due_where(due, BOUNDS, sqlite=False), _CALL.c.call_id.not_in(_KEPT))
    if shape:
        goes = and_(goes, ~holds.held(due.source.columns, due.data_class, shape, BOUNDS, legs=False))
    hour = func.width_bucket(_CALL.c.started_at, _HOURS).label("hour")
    trunk, begins = func.coalesce(_CALL.c.trunk, "").label("trunk"), _beginning(_CALL.c.forwarded_to).label("begins")
    sums = (func.count(), func.count(_CALL.c.answered_at), func.sum(_CALL.c.billable_seconds), func.min(_CALL.c.started_at), func.max(_CALL.c.started_at))
    flag = goes.label("goes")
    return select(flag, hour, trunk, begins, *sums, func.string_agg(_CALL.c.call_id, "\n")).where(*_within(_CALL)).group_by(flag, hour, trunk, begins)


def _count_legs() -> Executable:
    day = func.width_bucket(_LEG.c.started_at, _STARTS)
    times = (func.min(_LEG.c.started_at), func.max(_LEG.c.started_at))
    return select(day, func.count(), *times, func.string_agg(_LEG.c.call_id, "\n")).where(_others(_LEG)).group_by(day)


_DELETE_CALLS = delete(_CALL).where(_others(_CALL))
_COUNT_LEGS = _count_legs()
_DELETE_LEGS = delete(_LEG).where(_others(_LEG))


def _calls(rows: Iterable[Any], days: Days) -> tuple[Gone, list[Cell], list[str]]:
    found: dict[tuple[date, int, str, str], list[int]] = {}
    count, keys, kept = Count(), list[str](), list[str]()
    for goes, bucket, trunk, begins, calls, answered, seconds, oldest, newest, ids in rows:
        if not goes:
            kept += ids.split("\n")
            continue
        cell = found.setdefault((*days.hour_names[bucket - 1], trunk, destination_of(begins).value), [0, 0, 0])
        for place, amount in enumerate((calls, answered, seconds)):
            cell[place] += amount
        count = count.plus(Count(calls, oldest, newest))
        keys += ids.split("\n")
    by_day = Counter[date]()
    for (name, *_), (calls, _, _) in found.items():
        by_day[name] += calls
    cells = [Cell(*cell, *amounts) for cell, amounts in sorted(found.items())]
    return Gone(_CALL.name, count, tuple(sorted(by_day.items())), sorted_keys(keys)), cells, kept


def _legs(rows: Iterable[Any], days: Days) -> Gone:
    count, by_day, keys = Count(), Counter[date](), list[str]()
    for bucket, legs, oldest, newest, listed in rows:
        count = count.plus(Count(legs, oldest, newest))
        by_day[days.names[bucket - 1]] += legs
        keys += listed.split("\n")
    return Gone(_LEG.name, count, tuple(sorted(by_day.items())), sorted_keys(keys))


def _beginning(address: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return as much of an address as its kind can be told from: few groups, and no look at ten prefixes for each row."""
    return case((address.startswith("+4476", autoescape=True), func.left(address, LONGEST_PREFIX)), else_=func.left(address, 5))


def _agree(gone: Gone, deleted: int) -> None:
    if gone.count.rows != deleted:
        raise AssertionError(f"{gone.count.rows} rows of {gone.table} were counted, {deleted} deleted")
