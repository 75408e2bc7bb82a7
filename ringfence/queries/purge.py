"""The one place that deletes by age: windows over a table's own time, and what went in each.

A window is deleted by its time, never by `LIMIT` over old rows: dead index entries at the left edge would be walked again for every batch. On
PostgreSQL calls are counted where they are; elsewhere the rows' keys come back and are counted here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec
from sqlalchemy import ARRAY, ColumnElement, DateTime, String, case, cast, delete, func, literal, null, or_, select, type_coerce, union_all
from sqlalchemy.orm import Session

from ringfence.destinations import PREFIXES, Destination, destination_of
from ringfence.models import Call, HeldRow, Leg
from ringfence.queries import holds
from ringfence.queries.due import CLOSED, Count, Due, Source, due_where
from ringfence.queries.holds import Window

_CACHE = 200_000  # KiB; the indexes by number and account are hit all over
_FOREVER = datetime(9999, 12, 31, tzinfo=UTC)


class Cell(msgspec.Struct, frozen=True):
    """Calls of one day, trunk and destination."""

    day: date
    trunk: str
    destination: str
    calls: int
    answered: int
    billable_seconds: int


class Gone(msgspec.Struct, frozen=True):
    """What went from one table in one window."""

    table: str
    count: Count
    days: tuple[tuple[date, int], ...]  # London days, in order
    keys: bytes  # the rows' keys, sorted, one a line: hashed for the receipt and forgotten


class Days(msgspec.Struct, frozen=True):
    """The days that a window touches: `starts[n]` is the first moment of `names[n]`."""

    starts: tuple[datetime, ...]
    names: tuple[date, ...]

    def of(self, moment: datetime) -> date:
        """Return the day of a moment."""
        return self.names[bisect_right(self.starts, moment) - 1]


def begin_batch(session: Session) -> None:
    """Open a batch's transaction: no wait and no statement in it is long. On SQLite it has the write lock from the start."""
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA busy_timeout=5000")
        connection.exec_driver_sql(f"PRAGMA cache_size=-{_CACHE}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    connection.exec_driver_sql("SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '10s'; SET LOCAL work_mem = '32MB'; SET LOCAL jit = off")


def delete_window(session: Session, due: Due, window: Window, days: Days) -> tuple[list[Gone], list[Cell]]:
    """Delete what is due in a window and no hold keeps; return what went from each table, and the calls' cells.

    What only a secret hold covers leaves its table too, for the hold's keeper. The caller has locked the version of the holds, and no open hold begins
    or ends inside the window.
    """
    shape = holds.shape_of(session, due.data_class)
    conditions = due_where(due, window)
    if shape:
        conditions.append(~holds.held(due.source.columns, due.data_class, shape, window))
    _keep_secretly(session, due, conditions)
    if due.source.legs and session.connection().dialect.name == "postgresql":
        calls, cells = _delete_calls(session, conditions, days)
    else:
        calls, cells = _delete_rows(session, due.source, conditions, days)
    return ([calls, _delete_legs(session, window, days)] if due.source.legs else [calls]), cells


def sweep_legs(session: Session, before: datetime, days_of: Callable[[datetime], Days]) -> Gone | None:
    """Delete legs of before a moment whose call is gone: somebody removed it by hand. None when there is none."""
    window = Window(None, before)
    first = session.scalar(select(func.min(Leg.started_at)).where(*_orphaned(window)))
    return None if first is None else _delete_legs(session, window, days_of(first))


def _delete_rows(session: Session, source: Source, conditions: Sequence[ColumnElement[bool]], days: Days) -> tuple[Gone, list[Cell]]:
    own = source.moment(source.time)
    wanted = [_raw(session, own), *(source.of.c[name] for name in source.key)]
    if source.legs:
        wanted += [Call.trunk, Call.forwarded_to, _raw(session, Call.answered_at), Call.billable_seconds]
    rows = session.execute(delete(source.of).where(*conditions).returning(*wanted).execution_options(synchronize_session=False)).all()
    keys = len(source.key)
    cells = _cells(session, rows, days, 1 + keys) if source.legs else []
    return _gone(session, source.table, [(row[0], _key(row[1 : 1 + keys])) for row in rows], days), cells


def _delete_legs(session: Session, window: Window, days: Days) -> Gone:
    """Delete the window's legs that have no call any more."""
    wanted = (_raw(session, Leg.started_at), Leg.call_id, Leg.number)
    if session.connection().dialect.name == "postgresql":
        return _counted(session, delete(Leg).where(*_orphaned(window)).returning(Leg.started_at, Leg.call_id, Leg.number).cte("gone"), days)
    rows = session.execute(delete(Leg).where(*_orphaned(window)).returning(*wanted).execution_options(synchronize_session=False)).all()
    return _gone(session, Leg.__tablename__, [(row[0], _key(row[1:])) for row in rows], days)


def _orphaned(window: Window) -> list[ColumnElement[bool]]:
    within = [Leg.started_at < window.hi] if window.lo is None else [Leg.started_at >= window.lo, Leg.started_at < window.hi]
    call = select(Call.call_id).where(Call.started_at == Leg.started_at, Call.call_id == Leg.call_id)
    # Said twice, so that the calls of other months are not looked at.
    near = [Call.started_at < window.hi] if window.lo is None else [Call.started_at >= window.lo, Call.started_at < window.hi]
    return [*within, ~call.where(*near).exists()]


def _counted(session: Session, gone: Any, days: Days) -> Gone:
    """Count deleted legs in the server."""
    day = func.width_bucket(gone.c.started_at, literal(list(days.starts), ARRAY(DateTime(timezone=True))))
    key = gone.c.call_id + ":" + cast(gone.c.number, String)
    query = select(day, func.count(), func.min(gone.c.started_at), func.max(gone.c.started_at), func.string_agg(key, "\n")).group_by(day)
    count, by_day, keys = Count(), Counter[date](), []
    for bucket, rows, oldest, newest, listed in session.execute(query):
        count = count.plus(Count(rows, oldest, newest))
        by_day[days.names[bucket - 1]] += rows
        keys.append(listed)
    return Gone(Leg.__tablename__, count, tuple(sorted(by_day.items())), _sorted("\n".join(keys).split("\n") if keys else []))


def _delete_calls(session: Session, conditions: Sequence[ColumnElement[bool]], days: Days) -> tuple[Gone, list[Cell]]:
    """Delete calls on PostgreSQL and count them there, in one statement."""
    wanted = (Call.call_id, Call.started_at, Call.trunk, Call.forwarded_to, Call.answered_at, Call.billable_seconds)
    gone = delete(Call).where(*conditions).returning(*wanted).cte("gone")
    day = func.width_bucket(gone.c.started_at, literal(list(days.starts), ARRAY(DateTime(timezone=True)))).label("day")
    trunk, kind = func.coalesce(gone.c.trunk, "").label("trunk"), _destination(gone.c.forwarded_to).label("kind")
    sums = (func.count(), func.count(gone.c.answered_at), func.sum(gone.c.billable_seconds), func.min(gone.c.started_at), func.max(gone.c.started_at))
    cells = select(day, trunk, kind, *sums, null()).group_by(day, trunk, kind)
    keys = select(null(), null(), null(), null(), null(), null(), null(), null(), func.string_agg(gone.c.call_id, "\n"))
    found, by_day, count, listed = [], Counter[date](), Count(), ""
    for bucket, of_trunk, of_kind, rows, answered, seconds, oldest, newest, ids in session.execute(union_all(cells, keys)):
        if bucket is None:
            listed = ids or ""
            continue
        name = days.names[bucket - 1]
        found.append(Cell(name, of_trunk, of_kind, rows, answered, seconds))
        by_day[name] += rows
        count = count.plus(Count(rows, oldest, newest))
    return Gone(Call.__tablename__, count, tuple(sorted(by_day.items())), _sorted(listed.split("\n") if listed else [])), found


def _cells(session: Session, rows: Iterable[Any], days: Days, first: int) -> list[Cell]:
    day_of = _day_of(session, days)
    calls, answered, seconds = Counter[Any](), Counter[Any](), Counter[Any]()
    for row in rows:
        cell = (day_of(row[0]), row[first] or "", destination_of(row[first + 1]).value)
        calls[cell] += 1
        seconds[cell] += row[first + 3]
        if row[first + 2] is not None:
            answered[cell] += 1
    return [Cell(cell[0], cell[1], cell[2], calls[cell], answered[cell], seconds[cell]) for cell in sorted(calls)]


def _gone(session: Session, table: str, rows: Sequence[tuple[Any, str]], days: Days) -> Gone:
    if not rows:
        return Gone(table, Count(), (), b"")
    day_of, moment = _day_of(session, days), _moment(session)
    by_day = Counter(day_of(at) for at, _ in rows)
    times = (min(at for at, _ in rows), max(at for at, _ in rows))
    return Gone(table, Count(len(rows), moment(times[0]), moment(times[1])), tuple(sorted(by_day.items())), _sorted([key for _, key in rows]))


def _raw(session: Session, column: Any) -> Any:
    """Return a moment's column as the driver gives it: on SQLite a text, which need not be parsed for each row."""
    return type_coerce(column, String) if session.connection().dialect.name == "sqlite" else column


def _moment(session: Session) -> Callable[[Any], datetime]:
    if session.connection().dialect.name != "sqlite":
        return lambda at: at
    return lambda at: datetime.fromisoformat(at).replace(tzinfo=UTC)


def _day_of(session: Session, days: Days) -> Callable[[Any], date]:
    if session.connection().dialect.name != "sqlite":
        return days.of
    starts, names = [start.replace(tzinfo=None).isoformat(" ", "microseconds") for start in days.starts], days.names
    return lambda at: names[bisect_right(starts, at) - 1]


def _key(values: Sequence[Any]) -> str:
    return str(values[0]) if len(values) == 1 else ":".join(map(str, values))


def _sorted(keys: list[str]) -> bytes:
    keys.sort()
    return "\n".join(keys).encode()


def _destination(address: ColumnElement[Any]) -> ColumnElement[str]:
    known = [(address.startswith(prefix, autoescape=True), literal(kind.value, literal_execute=True)) for prefix, kind in PREFIXES]
    nothing = (or_(address.is_(None), address == ""), literal(Destination.NONE.value, literal_execute=True))
    return case(nothing, *known, else_=literal(Destination.PHONE.value, literal_execute=True))


def _keep_secretly(session: Session, due: Due, conditions: Sequence[ColumnElement[bool]]) -> None:
    for hold in holds.secret_holds(session, due.data_class):
        source = due.source
        rows = session.execute(select(source.of).where(*conditions, holds.matches(source.columns, hold))).mappings().all()
        kept = [_kept(hold.id, due.data_class, source.table, row[source.time] if source.time != CLOSED else _FOREVER, row) for row in rows]
        if source.legs:
            for row in rows:
                legs = session.execute(select(Leg.__table__).where(Leg.started_at == row["started_at"], Leg.call_id == row["call_id"])).mappings()
                kept += [_kept(hold.id, due.data_class, Leg.__tablename__, leg["started_at"], leg) for leg in legs]
        holds.keep_rows(session, kept)


def _kept(hold_id: str, data_class: str, table: str, at: datetime, row: Any) -> HeldRow:
    return HeldRow(hold_id=hold_id, data_class=data_class, table_name=table, at=at, row=msgspec.json.encode(dict(row)).decode())


def drop_hidden(session: Session, due: Due) -> None:
    """Delete the rows that are due and that nobody may know of: without count and receipt."""
    source = due.source
    if source.hidden is not None:
        where = (source.moment(source.time) < due.cutoff, source.of.c[source.hidden].is_(True))
        session.execute(delete(source.of).where(*where).execution_options(synchronize_session=False))


def drop_held_rows(session: Session, hold_id: str) -> int:
    """Delete what a secret hold kept; return how many rows that were."""
    done = session.execute(delete(HeldRow).where(HeldRow.hold_id == hold_id).execution_options(synchronize_session=False))
    return int(done.rowcount)  # type: ignore[attr-defined]
