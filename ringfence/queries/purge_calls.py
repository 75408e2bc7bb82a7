"""Deleting a window of calls and legs, counted where they are: bringing every row back by RETURNING takes twice as long.

First what must stay is found, then what goes is counted, then it is deleted; all of one moment, so that the three agree. On PostgreSQL that is a snapshot
(REPEATABLE READ): a row that is booked into the window meanwhile is in none of them, and goes the next time. On SQLite nobody else writes meanwhile.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, DateTime, Executable, Select, String, and_, bindparam, case, delete, func, select, type_coerce
from sqlalchemy.orm import Session

from ringfence.destinations import LONGEST_PREFIX, destination_of
from ringfence.models import Base, Call, Leg
from ringfence.queries import holds
from ringfence.queries.due import BOUNDS, Count, Due, due_where
from ringfence.queries.gone import Cell, Days, Gone, sorted_keys
from ringfence.queries.holds import Opened, Shape, Window

_CALL, _LEG = Base.metadata.tables[Call.__tablename__], Base.metadata.tables[Leg.__tablename__]
_HOURS: ColumnElement[Any] = bindparam("hours", type_=ARRAY(DateTime(timezone=True), as_tuple=True))
_APART = "\n"  # between the ids of one group


def delete_calls(session: Session, due: Due, opened: Opened, window: Window, days: Days) -> tuple[list[Gone], list[Cell]]:
    """Delete the window's calls that are due and that no open hold keeps, and legs without a call; return what went."""
    connection = session.connection()
    sqlite = connection.dialect.name == "sqlite"
    hour_of = _named(days, sqlite=sqlite)
    values: dict[str, Any] = {"lo": window.lo, "hi": window.hi, "oldest": window.oldest, "hours": days.hours}
    rung = list(connection.scalars(_rung(due.data_class), values)) if opened.shape.number else []
    values["kept"] = _kept(rung, sqlite=sqlite)
    calls, cells, kept = _calls(connection.execute(_count_calls(due, opened.shape, sqlite=sqlite), values), hour_of)
    values["kept"] = _kept(kept, sqlite=sqlite)
    if calls.count.rows:
        _agree(calls, connection.execute(_delete_others(_CALL.name, sqlite=sqlite), values).rowcount)
    legs = _legs(connection.execute(_count_legs(sqlite=sqlite), values), hour_of)
    if legs.count.rows:
        _agree(legs, connection.execute(_delete_others(_LEG.name, sqlite=sqlite), values).rowcount)
    return [calls, legs], cells


def _within(table: Any) -> list[ColumnElement[bool]]:
    return [table.c.started_at >= BOUNDS.oldest, table.c.started_at < BOUNDS.hi]


def _kept(ids: list[str], *, sqlite: bool) -> Any:
    return json.dumps(ids) if sqlite else ids


def _is_kept(table: Any, *, sqlite: bool) -> ColumnElement[bool]:
    """Return the condition that a row's call is one of `kept`: as a query, because the server hashes its answer and would walk a parameter for each row."""
    if sqlite:
        each = func.json_each(bindparam("kept", type_=String)).table_valued("value")
        return table.c.call_id.in_(select(each.c.value))  # type: ignore[no-any-return]
    return table.c.call_id.in_(select(func.unnest(bindparam("kept", type_=ARRAY(String)))))  # type: ignore[no-any-return]


def _others(table: Any, *, sqlite: bool) -> ColumnElement[bool]:
    return and_(*_within(table), ~_is_kept(table, sqlite=sqlite))


@lru_cache(maxsize=64)
def _rung(data_class: str) -> Executable:
    """Return the statement that finds the calls in which a held number was rung."""
    # IS TRUE keeps it from being made a join, which PostgreSQL does in nested loops: it takes holds for fewer than they are.
    return select(_LEG.c.call_id).where(*_within(_LEG), holds.rung(data_class, BOUNDS).is_(True)).distinct()


@lru_cache(maxsize=64)
def _count_calls(due: Due, shape: Shape, *, sqlite: bool) -> Executable:
    """Return the statement that counts the window's calls by whether they go, by hour, trunk and the beginning of the target; with their ids."""
    goes = and_(*due_where(due, BOUNDS, sqlite=sqlite), ~_is_kept(_CALL, sqlite=sqlite))
    if shape:
        goes = and_(goes, ~holds.held(due.source.columns, due.data_class, shape, BOUNDS, legs=False))
    trunk, begins = func.coalesce(_CALL.c.trunk, "").label("trunk"), _beginning(_CALL.c.forwarded_to).label("begins")
    sums = (func.count(_CALL.c.answered_at), func.sum(_CALL.c.billable_seconds))
    return _counted(_CALL, goes.label("goes"), trunk, begins, *sums, grouped=3, sqlite=sqlite).where(*_within(_CALL))


@lru_cache(maxsize=2)
def _count_legs(*, sqlite: bool) -> Executable:
    return _counted(_LEG, sqlite=sqlite).where(_others(_LEG, sqlite=sqlite))


def _counted(table: Any, *columns: Any, grouped: int = 0, sqlite: bool) -> Select[Any]:
    """Return a count by hour and the first `grouped` columns, as (columns, hour, rows, oldest, newest, ids)."""
    at = table.c.started_at
    hour = (func.substr(type_coerce(at, String), 1, 13) if sqlite else func.width_bucket(at, _HOURS)).label("hour")
    ids = func.aggregate_strings(table.c.call_id, _APART)
    return select(*columns, hour, func.count(), func.min(at), func.max(at), ids).group_by(hour, *columns[:grouped])


@lru_cache(maxsize=4)
def _delete_others(table: str, *, sqlite: bool) -> Executable:
    of = Base.metadata.tables[table]
    return delete(of).where(_others(of, sqlite=sqlite))


def _calls(rows: Iterable[Any], hour_of: Callable[[Any], tuple[date, int]]) -> tuple[Gone, list[Cell], list[str]]:
    found: dict[tuple[date, int, str, str], list[int]] = {}
    count, keys, kept = Count(), list[str](), list[str]()
    for goes, trunk, begins, answered, seconds, hour, calls, oldest, newest, ids in rows:
        if not goes:
            kept += ids.split(_APART)
            continue
        cell = found.setdefault((*hour_of(hour), trunk, destination_of(begins).value), [0, 0, 0])
        for place, amount in enumerate((calls, answered, seconds)):
            cell[place] += amount
        count = count.plus(Count(calls, oldest, newest))
        keys += ids.split(_APART)
    by_day = Counter[date]()
    for (name, *_), (calls, _, _) in found.items():
        by_day[name] += calls
    cells = [Cell(*cell, *amounts) for cell, amounts in sorted(found.items())]
    return Gone(_CALL.name, count, tuple(sorted(by_day.items())), sorted_keys(keys)), cells, kept


def _legs(rows: Iterable[Any], hour_of: Callable[[Any], tuple[date, int]]) -> Gone:
    count, by_day, keys = Count(), Counter[date](), list[str]()
    for hour, legs, oldest, newest, ids in rows:
        count = count.plus(Count(legs, oldest, newest))
        by_day[hour_of(hour)[0]] += legs
        keys += ids.split(_APART)
    return Gone(_LEG.name, count, tuple(sorted(by_day.items())), sorted_keys(keys))


def _named(days: Days, *, sqlite: bool) -> Callable[[Any], tuple[date, int]]:
    """Return what names the day and hour in London of an hour as it was counted: on PostgreSQL its place among `days.hours`, on SQLite its text in UTC."""
    if not sqlite:
        return lambda place: days.hour_names[place - 1]
    return lambda text: days.hour_names[bisect_right(days.hours, datetime.fromisoformat(f"{text}:00").replace(tzinfo=UTC)) - 1]


def _beginning(address: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return as much of an address as its kind can be told from: few groups, and no look at ten prefixes for each row."""
    return case((address.startswith("+4476", autoescape=True), func.substr(address, 1, LONGEST_PREFIX)), else_=func.substr(address, 1, 5))


def _agree(gone: Gone, deleted: int) -> None:
    if gone.count.rows != deleted:
        raise AssertionError(f"{gone.count.rows} rows of {gone.table} were counted, {deleted} deleted")
