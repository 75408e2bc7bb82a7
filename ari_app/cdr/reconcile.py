"""Compares what was decided, what the ledger has, and what the store has, per day; every difference has a call's id.

Only calls that the app or the route server decided are in the journal, so others in the ledger are no difference. A call that was decided by the
present Asterisk's app and has not ended is open. The day of a call is that of its linkedid, the same in all three.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from ari_app.cdr.assemble import Place
from ari_app.cdr.journal import read_asterisk_starts, read_decided
from ari_app.cdr.line import LedgerRecord, call_epoch, parse_line, to_micros
from ari_app.cdr.record import billable_seconds
from ari_app.cdr.tail import ledger_files, read_lines
from dialplan.call import Routed, parse_facts, parse_routed
from ringfence.clock import from_epoch
from ringfence.errors import Invalid
from ringfence.queries.calls import StoredCall
from ringfence.values import Direction, Disposition, RoutedBy

_DECIDED, _BEGUN, _ENDED, _STORED, _LOST, _UNJOURNALLED, _JUST_NOW, _OUTBOUND = 1, 2, 4, 8, 16, 32, 64, 128
_JOURNALLED = {RoutedBy.ARI, RoutedBy.AGI}  # the others decide in the dialplan alone
_BOOKED_WITHIN = 5.0  # seconds; a call that ended later than that before the start may still be on its way


class DayCount(msgspec.Struct):
    """How many calls of one node and day are where."""

    node: str
    day: str
    decided: int = 0  # in the journal
    ledger: int = 0  # ended, in the ledger
    store: int = 0
    lost: int = 0  # in the store as lost with their Asterisk: not in the ledger
    open: int = 0  # not ended yet


class WayCount(DayCount):
    """The same of the calls of one way, with what the bill rests on."""

    outbound: bool = False  # made by customers' phones
    differences: int = 0
    ledger_seconds: int = 0  # answered time, each call rounded up, of calls that are in both
    store_seconds: int = 0
    seconds_differ: int = 0  # calls


class Difference(msgspec.Struct, frozen=True):
    """A call that is not everywhere it should be."""

    call_id: str
    day: str
    problem: str


class Reconciliation(msgspec.Struct, frozen=True):
    """The whole comparison."""

    days: list[DayCount]
    differences: list[Difference]
    open_calls: list[str]
    unreadable_lines: list[Place]  # lines of the ledger that are no record
    ways: list[WayCount]  # days, by way


class Ids:
    """Where each call was seen. About 150 bytes a call of the period."""

    def __init__(self, since: float) -> None:
        self._since = since
        self.marks: dict[str, int] = {}
        self.answered: dict[str, tuple[float, float]] = {}  # by the ledger: first answer and last end, in seconds since 1970
        self.billed: dict[str, int] = {}  # seconds in the store

    def mark(self, call_id: str, mark: int) -> None:
        """Note that a call was seen; calls before the period are passed over."""
        if call_epoch(call_id) >= self._since:
            self.marks[call_id] = self.marks.get(call_id, 0) | mark

    def time(self, record: LedgerRecord) -> None:
        """Note what a record of the ledger says of when its call was answered and when it ended."""
        if call_epoch(record.linkedid) < self._since:
            return
        answer, end = self.answered.get(record.linkedid, (0.0, 0.0))
        self.answered[record.linkedid] = (min(answer, record.answer) if answer and record.answer else answer or record.answer, max(end, record.end))

    def ledger_seconds(self, call_id: str) -> int:
        """Return a call's billable seconds, worked out from the ledger's records alone."""
        answer, end = self.answered.get(call_id, (0.0, 0.0))
        return billable_seconds(to_micros(answer) if answer else None, to_micros(end))


def reconcile(*, node: str, since: float, now: float, journal_dir: Path, ledger_path: Path, stored: Iterable[StoredCall]) -> Reconciliation:
    """Compare the three for one node.

    The store is read first and the journal last: what happens meanwhile then shows as open, or as ended and waiting to be booked.

    Args:
        node: the node, whose journal and ledger are on this machine.
        since: seconds since 1970 of the first day.
        now: seconds since 1970.
        journal_dir: its decision journals.
        ledger_path: its live ledger.
        stored: its calls in the store.
    """
    ids = Ids(since)
    for call in stored:
        lost = _LOST if call.disposition is Disposition.LOST else 0
        ids.mark(call.call_id, _STORED | lost | _way(call.direction))
        ids.billed[call.call_id] = call.billable_seconds
    unreadable = _mark_ledger(ids, node, ledger_path, since, now - _BOOKED_WITHIN)
    starts = read_asterisk_starts(journal_dir)
    present = max((line.started for line in starts), default=0.0)
    alive: set[str] = set()
    for decided in read_decided(journal_dir, since):
        ids.mark(decided.id, _DECIDED | (0 if decided.id in ids.marks else _decided_way(decided.facts)))
        if decided.at >= present:
            alive.add(decided.id)
    return _compare(ids, node, alive, unreadable)


def _mark_ledger(ids: Ids, node: str, ledger_path: Path, since: float, settled: float) -> list[Place]:
    unreadable: list[Place] = []
    for path in ledger_files(ledger_path):
        if path != ledger_path and path.stat().st_mtime < since:  # rotated away before: no call of the period is in it
            continue
        for number, (line, offset) in enumerate(read_lines(path)):
            try:
                record = parse_line(line, node)
                routed, way = _ended(record.rf_end)
            except (Invalid, IndexError):
                unreadable.append(Place(path.name, offset, len(line), number))
                continue
            ids.time(record)
            mark = way | (_JUST_NOW if record.end > settled else 0)
            if routed is None:
                ids.mark(record.linkedid, mark | _BEGUN)
            else:
                ids.mark(record.linkedid, mark | _ENDED | (_UNJOURNALLED if routed.by not in _JOURNALLED else 0))
    return unreadable


def _ended(text: str) -> tuple[Routed | None, int]:
    """Return who decided a call, and its way, from the end of its last record; nothing from another record.

    Raises:
        Invalid, IndexError: it is not such an end.
    """
    if not text:
        return None, 0
    fields = text.split("|")
    return parse_routed(fields[1]), _way(parse_facts(fields[0]).direction)


def _decided_way(facts: str) -> int:
    with suppress(Invalid):
        return _way(parse_facts(facts).direction)
    return 0


def _way(direction: Direction) -> int:
    return 0 if direction is Direction.INBOUND else _OUTBOUND


def _compare(ids: Ids, node: str, alive: set[str], unreadable: list[Place]) -> Reconciliation:
    ways: dict[tuple[str, bool], WayCount] = {}
    differences: list[Difference] = []
    open_calls: list[str] = []
    for call_id, marks in sorted(ids.marks.items()):
        day, outbound = from_epoch(call_epoch(call_id)).date().isoformat(), bool(marks & _OUTBOUND)
        count = ways.setdefault((day, outbound), WayCount(node, day, outbound=outbound))
        count.decided += bool(marks & _DECIDED)
        count.ledger += bool(marks & _ENDED)
        count.store += bool(marks & _STORED)
        count.lost += bool(marks & _LOST)
        if marks & _ENDED and marks & _STORED:
            _add_seconds(count, ids.ledger_seconds(call_id), ids.billed.get(call_id, 0))
        is_open = call_id in alive and not marks & (_ENDED | _STORED | _BEGUN)
        if is_open or (marks & _JUST_NOW and not marks & _STORED):
            count.open += 1
            open_calls.append(call_id)
        elif problem := _problem(marks):
            count.differences += 1
            differences.append(Difference(call_id, day, problem))
    found = sorted(ways.values(), key=lambda count: (count.day, count.outbound))
    return Reconciliation(_by_day(found), differences, open_calls, unreadable, found)


def _add_seconds(count: WayCount, in_ledger: int, in_store: int) -> None:
    count.ledger_seconds += in_ledger
    count.store_seconds += in_store
    count.seconds_differ += in_ledger != in_store


def _by_day(ways: Iterable[WayCount]) -> list[DayCount]:
    days: dict[str, DayCount] = {}
    for way in ways:
        day = days.setdefault(way.day, DayCount(way.node, way.day))
        for name in ("decided", "ledger", "store", "lost", "open"):
            setattr(day, name, getattr(day, name) + getattr(way, name))
    return list(days.values())


def _problem(marks: int) -> str:
    """Return what is wrong with a call that is not open; empty = nothing."""
    if not marks & _STORED:
        if marks & _ENDED:
            return "in the ledger, not in the store"
        return "its end is not in the ledger, and it is not in the store" if marks & _BEGUN else "decided, but neither in the ledger nor in the store"
    if marks & _LOST:
        return "booked as lost, but its end is in the ledger" if marks & _ENDED else ""
    if not marks & _ENDED:
        return "in the store, its end is not in the ledger"
    return "" if marks & (_DECIDED | _UNJOURNALLED) else "in the ledger as decided by us, but not in the journal"
