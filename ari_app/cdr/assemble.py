"""Ledger records come in one by one; calls come out when they are complete. Pure, and bounded in memory.

Asterisk writes all records of a call when the caller's channel ends, so a call waits here for milliseconds. Records may come in any order
and calls may interleave; a call is complete when the record with its end has come.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ari_app.cdr.line import LedgerRecord, call_epoch
from ringfence.queries.ledger import Micros


class Place(NamedTuple):
    """Where a line is."""

    file_id: str
    offset: int
    length: int
    line: int  # lines before it in the file


class Waiting(NamedTuple):
    """A call whose end has not come, or that is just complete."""

    linkedid: str
    records: list[LedgerRecord]
    places: list[Place]
    since: float  # monotonic seconds

    @property
    def booked_near(self) -> Micros:
        """About when its row would begin, for a look-up in the store."""
        return call_epoch(self.linkedid) * 1_000_000


class Assembler:
    """The calls that wait for their end."""

    def __init__(self, *, capacity: int = 50_000, remember: int = 20_000) -> None:
        self._waiting: dict[str, Waiting] = {}
        self._capacity = capacity
        self._ended: set[str] = set()
        self._ended_order: deque[str] = deque()
        self._remember = remember
        self._late = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, record: LedgerRecord, place: Place, now: float) -> Waiting | None:
        """Take a record; return its call when that is complete now."""
        linkedid = record.linkedid
        if linkedid in self._ended:
            self._late += 1
            return None
        call = self._waiting.get(linkedid)
        if not record.rf_end:
            if call is None:
                call = self._waiting[linkedid] = Waiting(linkedid, [], [], now)
            call.records.append(record)
            call.places.append(place)
            return None
        self._remember_ended(linkedid)
        if call is None:
            return Waiting(linkedid, [record], [place], now)
        del self._waiting[linkedid]
        call.records.append(record)
        call.places.append(place)
        return call

    def get(self, linkedid: str) -> Waiting | None:
        """Return a call that waits."""
        return self._waiting.get(linkedid)

    def forget(self, linkedid: str) -> None:
        """Let a call go: another source said that it has ended, and it is booked."""
        self._waiting.pop(linkedid, None)

    def take_late(self) -> int:
        """Return how many records came after the end of their call since this was asked last; they change nothing."""
        late, self._late = self._late, 0
        return late

    def overdue(self, before: float) -> list[Waiting]:
        """Return and forget the calls that have waited since before a moment, and the oldest of those beyond the capacity."""
        found: list[Waiting] = []
        for call in list(self._waiting.values()):
            if call.since >= before and len(self._waiting) <= self._capacity:
                break
            found.append(self._waiting.pop(call.linkedid))
        return found

    def first_places(self) -> dict[str, Place]:
        """Return for each file the first line that still waits: a reader that starts again must begin there."""
        first: dict[str, Place] = {}
        for call in self._waiting.values():
            for place in call.places:
                known = first.get(place.file_id)
                if known is None or place.offset < known.offset:
                    first[place.file_id] = place
        return first

    def _remember_ended(self, linkedid: str) -> None:
        self._ended.add(linkedid)
        self._ended_order.append(linkedid)
        if len(self._ended_order) > self._remember:
            self._ended.discard(self._ended_order.popleft())
