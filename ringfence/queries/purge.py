"""The one place that deletes by age: windows over a table's own time, and what went in each.

A window is deleted by its time, never by `LIMIT` over old rows: dead index entries at the left edge would be walked again for every batch. Calls and
their legs are counted where they are; of other tables the rows' keys come back and are counted here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Executable, String, delete, func, select, type_coerce
from sqlalchemy.orm import Session

from ringfence.models import Base, Call, HeldRow, Leg
from ringfence.queries import holds
from ringfence.queries.due import BOUNDS, CLOSED, Due, due_where
from ringfence.queries.gone import Cell, Days, Gone, gone_of, key_of
from ringfence.queries.holds import Opened, Shape, Window
from ringfence.queries.purge_calls import delete_calls

_CACHE = 200_000  # KiB; the indexes by number and account are hit all over
_LEG = Base.metadata.tables[Leg.__tablename__]
# Without sorts a few groups of many rows are hashed, in half the time.
_PATIENCE = "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '10s'; SET LOCAL work_mem = '32MB'; SET LOCAL jit = off; SET LOCAL enable_sort = off"


def begin_batch(session: Session, *, snapshot: bool = False, lasting: bool = True) -> None:
    """Open a batch's transaction: no wait and no statement in it is long. On SQLite it has the write lock from the start.

    With `snapshot` all its statements see the store as of one moment; one that meets another's change fails (SQLSTATE 40001) and is to be tried again.
    Without `lasting` its commit does not wait for PostgreSQL's disk: a crash may undo it, deletions and receipts together, and the next run does it again.
    The next commit that waits, such as a checkpoint's, makes it last too.
    """
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA busy_timeout=5000")
        connection.exec_driver_sql(f"PRAGMA cache_size=-{_CACHE}")
        connection.exec_driver_sql("PRAGMA wal_autocheckpoint=0")  # the log is written back between batches, not inside a commit
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    isolation = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; " if snapshot else ""
    connection.exec_driver_sql(f"{isolation}{_PATIENCE}{'' if lasting else '; SET LOCAL synchronous_commit = off'}")


def delete_window(session: Session, due: Due, opened: Opened, window: Window, days: Days) -> tuple[list[Gone], list[Cell]]:
    """Delete what is due in a window and no hold keeps; return what went from each table, and the calls' cells.

    What only a secret hold covers leaves its table too, for the hold's keeper. The caller has locked the version of the holds, and no open hold begins
    or ends inside the window. `days` begin with the day of its oldest row.
    """
    connection = session.connection()
    _keep_secretly(session, due, opened, window)
    if due.source.legs:
        return delete_calls(session, due, opened, window, days)
    sqlite = connection.dialect.name == "sqlite"
    rows = connection.execute(_deletion(due, opened.shape, sqlite=sqlite), {"lo": window.lo, "hi": window.hi, "oldest": window.oldest})
    return [gone_of([(row[0], key_of(row[1:])) for row in rows], due.source.table, days, sqlite=sqlite)], []


def sweep_legs(session: Session, before: datetime, days_of: Callable[[datetime], Days]) -> Gone | None:
    """Delete legs of before a moment whose call is gone: somebody removed it by hand. None when there is none."""
    first = session.scalar(select(func.min(Leg.started_at)).where(*_orphaned(Window(None, before))))
    if first is None:
        return None
    connection, days = session.connection(), days_of(first)
    bounds = {"oldest": first, "hi": before}
    rows = connection.execute(_LEGS_RAW, bounds).all()
    return gone_of([(row[0], key_of(row[1:])) for row in rows], Leg.__tablename__, days, sqlite=connection.dialect.name == "sqlite")


@lru_cache(maxsize=256)
def _deletion(due: Due, shape: Shape, *, sqlite: bool) -> Executable:
    """Return the statement that deletes a window: made once, because making it takes longer than running it."""
    source = due.source
    conditions = due_where(due, BOUNDS, sqlite=sqlite)
    if shape:
        conditions.append(~holds.held(source.columns, due.data_class, shape, BOUNDS))
    deletion = delete(source.of).where(*conditions)
    return deletion.returning(_raw(source.moment(source.time), sqlite=sqlite), *(source.of.c[name] for name in source.key))


def _raw(column: Any, *, sqlite: bool) -> Any:
    """Return a moment's column as the driver gives it: on SQLite a text, which need not be parsed for each row."""
    return type_coerce(column, String) if sqlite else column


def _keep_secretly(session: Session, due: Due, opened: Opened, window: Window) -> None:
    source, secret = due.source, holds.secret_holds(session, due.data_class)
    if not secret:
        return
    conditions = due_where(due, window, sqlite=session.connection().dialect.name == "sqlite")
    if opened.shape:
        conditions.append(~holds.held(source.columns, due.data_class, opened.shape, window))
    for hold in secret:
        rows = session.execute(select(source.of).where(*conditions, holds.matches(source.columns, hold))).mappings().all()
        kept = [_kept(hold.id, due.data_class, source.table, row[source.time] if source.time != CLOSED else window.oldest, row) for row in rows]
        if source.legs:
            for row in rows:
                legs = session.execute(select(_LEG).where(Leg.started_at == row["started_at"], Leg.call_id == row["call_id"])).mappings()
                kept += [_kept(hold.id, due.data_class, Leg.__tablename__, leg["started_at"], leg) for leg in legs]
        holds.keep_rows(session, kept)


def _kept(hold_id: str, data_class: str, table: str, at: datetime, row: Any) -> HeldRow:
    return HeldRow(hold_id=hold_id, data_class=data_class, table_name=table, at=at, row=msgspec.json.encode(dict(row)).decode())


def _orphaned(window: Window) -> list[ColumnElement[bool]]:
    call = select(Call.call_id).where(Call.started_at == Leg.started_at, Call.call_id == Leg.call_id, Call.started_at < window.hi)
    if window.lo is None:
        return [Leg.started_at < window.hi, ~call.exists()]
    # Said twice, so that the calls of other months are not looked at.
    return [Leg.started_at >= window.lo, Leg.started_at < window.hi, ~call.where(Call.started_at >= window.lo).exists()]


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


# A call's legs count from 1: its id, once for each, says which went.
_LEGS_RAW = delete(_LEG).where(*_orphaned(Window(BOUNDS.oldest, BOUNDS.hi))).returning(type_coerce(_LEG.c.started_at, String), _LEG.c.call_id)
