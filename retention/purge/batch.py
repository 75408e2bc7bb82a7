"""One batch: one transaction that deletes a window's rows and writes receipt, aggregates and audit entries, or does nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import lru_cache
from threading import Event
from typing import TypeVar

import msgspec
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from retention.calendar import hours, local_date, midnight
from retention.purge import receipts
from retention.purge.planner import Item
from retention.purge.receipts import Stamp
from ringfence.audit import log
from ringfence.clock import Clock
from ringfence.queries import aggregates, due, holds, leases, purge
from ringfence.queries.due import Due
from ringfence.queries.gone import Days
from ringfence.queries.holds import Opened, Window
from ringfence.queries.leases import Held
from ringfence.session import make_sessions

_DAY = timedelta(days=1)
_TRIES = 5
_WAIT = 0.2  # seconds before a batch that others were in the way of is tried again; doubled each time
_BUSY = {"55P03", "57014", "40P01", "40001"}  # lock not available, cancelled by time-out, deadlock, serialization failure
_T = TypeVar("_T")


class ContendedError(Exception):
    """Others were in the way for too long."""


class Batch(msgspec.Struct, frozen=True):
    """What one batch came to."""

    hi: datetime  # everything before is dealt with
    rows: int
    receipts: int  # 0: it deleted nothing and wrote nothing
    seconds: float  # that its transaction took
    own: int = 0  # rows of the table itself, without those that went with them


class Batcher:
    """Runs one run's batches."""

    def __init__(self, engine: Engine, clock: Clock, held: Held, run: str, key: bytes, stop: Event) -> None:
        self._sessions = make_sessions(engine)
        self._clock = clock
        self._held = held
        self._run = run
        self._key = key
        self._stop = stop
        self._opened: dict[str, tuple[int, Opened]] = {}

    def delete_next(self, item: Item, table: Due, receipted: datetime | None, lo: datetime | None, size: int) -> Batch | None:
        """Delete the next window of a table and return what that came to; None when nothing is left before the cutoff.

        Args:
            item: the class and its policy.
            table: what is due.
            receipted: up to where receipts go; windows in which nothing went are joined with the next.
            lo: where to look for the next row; not before `receipted`.
            size: about so many rows.

        Raises:
            Conflict: another process has taken the lease.
            ContendedError: others were in the way for too long.
        """
        return self.patiently(lambda session: self._delete(session, item, table, receipted, lo, size), lasting=False)

    def patiently(self, act: Callable[[Session], _T], *, lasting: bool = True) -> _T:
        """Do something in one fenced transaction, again when others were in the way. It lasts when this returns, unless `lasting` is False.

        Raises:
            Conflict: another process has taken the lease.
            ContendedError: others were in the way for too long.
        """
        wait = _WAIT
        for attempt in range(_TRIES):
            try:
                with self._sessions.begin() as session:
                    purge.begin_batch(session, snapshot=True, lasting=lasting)
                    leases.fence(session, self._held, self._clock.now())
                    return act(session)
            except DBAPIError as error:
                if not _is_busy(error):
                    raise
                if attempt + 1 == _TRIES or self._stop.wait(wait):
                    break
                wait *= 2
        raise ContendedError

    def stamp(self, session: Session) -> Stamp:
        """Return what receipts of this transaction say; the version of the holds stays as it is until it ends."""
        return Stamp(self._run, self._held.token, self._key, holds.lock_version(session), self._clock.now())

    def _opened_holds(self, session: Session, data_class: str, version: int) -> Opened:
        """Return the open holds over a class. They change only with their version, which is locked."""
        known = self._opened.get(data_class)
        if known is None or known[0] != version:
            known = self._opened[data_class] = (version, holds.opened(session, data_class))
        return known[1]

    def _delete(self, session: Session, item: Item, table: Due, receipted: datetime | None, lo: datetime | None, size: int) -> Batch | None:
        began = self._clock.monotonic()
        stamp = self.stamp(session)
        opened = self._opened_holds(session, table.data_class, stamp.hold_version)
        window = due.next_window(session, table, opened, lo, size)
        if window is None:
            if receipted is None or receipted >= table.cutoff:
                return None
            window = Window(table.cutoff, table.cutoff, table.cutoff)
        hi = window.hi
        gone, cells = purge.delete_window(session, table, opened, window, days_of(window.oldest, hi))
        rows = sum(part.count.rows for part in gone)
        if not rows and hi < table.cutoff:
            return Batch(hi, 0, 0, self._clock.monotonic() - began)
        if not rows and receipted is None:
            return None  # nothing went from this table in this run: there is nothing to receipt
        drafts = receipts.write(session, stamp, item, Window(receipted, hi), gone)
        aggregates.add_cells(session, cells)
        log.append_all(session, self._clock, drafts)
        return Batch(hi, rows, len(drafts), self._clock.monotonic() - began, gone[0].count.rows)


def days_of(first: datetime, hi: datetime) -> Days:
    """Return the London days from the one of `first` to the one of `hi`, with their hours."""
    day, last = local_date(first), local_date(hi)
    names = tuple(day + n * _DAY for n in range((last - day).days + 1))
    found = [hour for name in names for hour in _hours(name.toordinal())]
    return Days(tuple(_midnight(name.toordinal()) for name in names), names, tuple(start for start, _ in found), tuple(hour for _, hour in found))


@lru_cache(maxsize=4096)
def _midnight(ordinal: int) -> datetime:
    return midnight(datetime.fromordinal(ordinal).date())


@lru_cache(maxsize=4096)
def _hours(ordinal: int) -> tuple[tuple[datetime, tuple[date, int]], ...]:
    day = date.fromordinal(ordinal)
    return tuple((start, (day, hour)) for start, hour in hours(day))


def _is_busy(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    return state in _BUSY or "database is locked" in str(error.orig)
