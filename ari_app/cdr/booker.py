"""Books the ledger: read, assemble, one transaction, again. Exactly once, whatever dies, because rows and offset move together.

Store away, or its disk full: it is asked again and again how far it came, and the ledger waits on the disk. A line that cannot be booked is set
aside and counted; it never stops the rest.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from ari_app.cdr.batch import Batch, Complete, Reader
from ari_app.cdr.departed import FILE_ID, MARKS_ID, Start, find_departed, starts_to_look_at_again, unhandled_starts
from ari_app.cdr.emergency import Alarm, book_emergencies, tell
from ari_app.cdr.stats import BookerStats
from ari_app.cdr.tail import Tail
from ringfence.clock import Clock
from ringfence.queries import ledger
from ringfence.queries.ledger import SetAside
from ringfence.session import make_sessions

COMMIT_EVERY = 0.3  # seconds between transactions while calls come steadily
IDLE_POLL = 0.1
_SEEN_EVERY = 5.0
_LONGEST_WAIT = 5.0
_SLICE = 0.5

log = structlog.get_logger()


class _StoreWentBackError(Exception):
    """The store has not the transactions that it confirmed to us."""


def _nothing() -> None:
    return


class Booker:
    """Books one node's ledger; there must be only one of it (see `main`)."""

    def __init__(self, engine: Engine, *, node: str, ledger_path: Path, journal_dir: Path, clock: Clock, alive: Callable[[], None] = _nothing) -> None:
        """Begin.

        Args:
            engine: the store.
            node: this node's name, with which its linkedids begin.
            ledger_path: the live ledger.
            journal_dir: the decision journals.
            clock: the clock.
            alive: called at least every half second, for a watchdog.
        """
        self.stats = BookerStats()
        self._sessions = make_sessions(engine)
        self._node = node
        self._ledger_path = ledger_path
        self._journal_dir = journal_dir
        self._clock = clock
        self._alive = alive
        self._reader: Reader | None = None
        self._batch = Batch()
        self._batches = 0  # transactions that the store has confirmed
        self._handled = {FILE_ID: 0, MARKS_ID: 0}  # calls that went down with an Asterisk are settled so far
        self._told_at = float("-inf")  # that this booker is there
        self._caught_up = clock.monotonic()

    def run(self, stop: Event) -> None:
        """Book until `stop` is set; ends within one batch."""
        failures = 0
        while not stop.is_set():
            self._alive()
            try:
                pause = self.step()
            except (DBAPIError, OSError) as error:
                failures += 1
                self._away(error, failures)
                self._wait(stop, min(_LONGEST_WAIT, 0.1 * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0))  # noqa: S311  jitter
                continue
            if failures:
                log.info("store_back", failures=failures)
            failures, self.stats.store_up = 0, True
            self._wait(stop, pause)

    def step(self) -> float:
        """Do one round; return the seconds to wait until the next.

        Raises:
            DBAPIError: the store is away. Nothing read since is taken for booked: the next call asks the store how far it came, because one that
                comes back from a crash or a replica may have lost what it had confirmed.
            OSError: the ledger cannot be read.
        """
        try:
            return self._round(self._reader or self._open())
        except DBAPIError:
            self._reader, self._batch = None, Batch()
            raise
        except _StoreWentBackError:
            log.warning("store_went_back")
            self._reader, self._batch = None, Batch()
            return 0.0

    def _round(self, reader: Reader) -> float:
        if not self._batch:
            self._batch = reader.read(self._clock.now().timestamp(), self._clock.monotonic())
            self.stats.lines += self._batch.lines
        busy, new = bool(self._batch), self._batch.read
        if busy or self._clock.monotonic() - self._told_at >= _SEEN_EVERY:
            self._commit(reader)
        behind = new and reader.lag > 0
        self._measure(reader, behind=behind)
        if behind:
            return 0.0
        if new or busy:
            return COMMIT_EVERY
        self._book_departed(reader)
        return IDLE_POLL

    def _open(self) -> Reader:
        with self._sessions() as session:
            stored = ledger.list_positions(session, self._node)
        batches = stored.pop(ledger.BATCHES, None)
        self._batches = batches.lines if batches else 0
        self._handled = {file_id: at.offset if (at := stored.pop(file_id, None)) else 0 for file_id in self._handled}
        tail = Tail(self._ledger_path, {file_id: at.offset for file_id, at in stored.items()})
        self._reader = Reader(tail, self._node, stored)
        return self._reader

    def _commit(self, reader: Reader) -> None:
        batch, now = self._batch, self._clock.monotonic()
        tells = now - self._told_at >= _SEEN_EVERY
        try:
            new, set_aside = self._book(batch, self._insert_all, tells=tells)
        except (DataError, IntegrityError) as error:
            log.warning("batch_refused", error=type(error.orig).__name__, calls=len(batch.calls))
            new, set_aside = self._book(batch, self._insert_one_by_one, tells=tells)
        self._batches += 1
        reader.settle(batch.positions)
        self._batch = Batch()
        if tells:
            self._told_at = now
        stats = self.stats
        stats.batches += 1
        stats.calls += new
        stats.repeated += len(batch.calls) - new
        stats.set_aside += len(set_aside)
        for line in set_aside:
            log.warning("ledger_line_set_aside", file=line.file_id, offset=line.offset, length=line.length, reason=line.reason)

    def _book(self, batch: Batch, insert: Callable[[Session, list[Complete]], tuple[int, list[SetAside]]], *, tells: bool) -> tuple[int, list[SetAside]]:
        now = self._clock.now()
        with self._sessions.begin() as session:
            self._begin(session)
            new, refused = insert(session, batch.calls)
            set_aside = [*batch.set_aside, *refused, *self._orphans(session, batch)]
            ledger.insert_set_aside(session, self._node, set_aside, now)
            ledger.upsert_positions(session, self._node, batch.positions, now)
            if tells:
                ledger.upsert_booker_seen(session, self._node, now)
            alarms = book_emergencies(session, self._clock, self._node, [call.booking for call in batch.calls])
        self._sound(alarms)
        return new, set_aside

    def _sound(self, alarms: Sequence[Alarm]) -> None:
        """Tell of emergency calls that are booked, and count them."""
        tell(alarms)
        self.stats.emergency_calls += len(alarms)
        self.stats.emergency_failures += sum(1 for alarm in alarms if not alarm.connected)

    def _begin(self, session: Session) -> None:
        ledger.begin_booking(session, self._node)
        if not ledger.count_batch(session, self._node, self._batches, self._clock.now()):
            raise _StoreWentBackError

    @staticmethod
    def _insert_all(session: Session, calls: list[Complete]) -> tuple[int, list[SetAside]]:
        return ledger.insert_bookings(session, [call.booking for call in calls]), []

    @staticmethod
    def _insert_one_by_one(session: Session, calls: list[Complete]) -> tuple[int, list[SetAside]]:
        """Insert each call by itself, so that one the store refuses takes no other with it."""
        new, refused = 0, []
        for call in calls:
            try:
                with session.begin_nested():
                    new += ledger.insert_bookings(session, [call.booking])
            except (DataError, IntegrityError):
                refused += [SetAside(place.file_id, place.offset, place.length, "the store refuses its values") for place in call.places]
        return new, refused

    def _orphans(self, session: Session, batch: Batch) -> list[SetAside]:
        """Return the lines of calls whose end never came; those of calls that are booked came late and are only counted."""
        if not batch.orphans:
            return []
        known = ledger.find_known_calls(session, [call.linkedid for call in batch.orphans], (call.booked_near for call in batch.orphans))
        lines = []
        for call in batch.orphans:
            if call.linkedid in known:
                self.stats.late += len(call.places)
            else:
                lines += [SetAside(place.file_id, place.offset, place.length, "the end of its call never came") for place in call.places]
        return lines

    def _book_departed(self, reader: Reader) -> None:
        """Book the calls that went down with an earlier Asterisk; only when the ledger is booked to its end."""
        for start in unhandled_starts(self._journal_dir, self._handled[FILE_ID]):
            self._book_lost(reader, start)
        for start in starts_to_look_at_again(self._journal_dir, self._handled[MARKS_ID]):
            self._book_lost(reader, start)

    def _book_lost(self, reader: Reader, start: Start) -> None:
        with self._sessions() as session:
            bookings = find_departed(session, self._journal_dir, self._ledger_path, start, reader.assembler, self._node)
        with self._sessions.begin() as session:
            self._begin(session)
            lost = ledger.insert_bookings(session, bookings)
            ledger.upsert_positions(session, self._node, [start.position], self._clock.now())
            alarms = book_emergencies(session, self._clock, self._node, bookings)
        self._batches += 1
        self._sound(alarms)
        for booking in bookings:
            reader.assembler.forget(booking.call.call_id)
        self._handled[start.position.file_id] = start.position.offset
        self.stats.lost += lost
        if lost:
            log.warning("calls_lost", count=lost)

    def _measure(self, reader: Reader, *, behind: bool) -> None:
        now, stats = self._clock.monotonic(), self.stats
        if not behind:
            self._caught_up = now
        stats.lag_bytes, stats.lag_seconds = reader.lag, now - self._caught_up
        stats.late += reader.assembler.take_late()
        stats.waiting = len(reader.assembler)

    def _away(self, error: Exception, failures: int) -> None:
        self.stats.lag_seconds = self._clock.monotonic() - self._caught_up
        if failures == 1:
            self.stats.outages += 1
            self.stats.store_up = isinstance(error, OSError)
            cause = error.orig if isinstance(error, DBAPIError) else error
            log.error("store_away" if isinstance(error, DBAPIError) else "ledger_unreadable", error=type(cause).__name__)

    def _wait(self, stop: Event, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        while (left := until - self._clock.monotonic()) > 0 and not stop.wait(min(left, _SLICE)):
            self._alive()
