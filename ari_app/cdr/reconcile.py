"""Compares what was decided, what the ledger has, and what the store has, per day; every difference has a call's id.

Only calls that the app or the route server decided are in the journal, so others in the ledger are no difference. A call that was decided by the
present Asterisk's app and has not ended is open. The day of a call is that of its linkedid, the same in all three.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import msgspec

from ari_app.cdr.assemble import Place
from ari_app.cdr.journal import read_asterisk_starts, read_decided
from ari_app.cdr.line import call_epoch, parse_line
from ari_app.cdr.tail import ledger_files, read_lines
from dialplan.call import parse_routed
from ringfence.clock import from_epoch
from ringfence.errors import Invalid
from ringfence.values import Disposition, RoutedBy

_DECIDED, _BEGUN, _ENDED, _STORED, _LOST, _UNJOURNALLED, _JUST_NOW = 1, 2, 4, 8, 16, 32, 64
_BOOKED_WITHIN = 5.0  # seconds; a call that ended later than that before the start may still be on its way
_DAY = timedelta(days=1)


class DayCount(msgspec.Struct):
    """How many calls of one node and day are where."""

    node: str
    day: str
    decided: int = 0  # in the journal
    ledger: int = 0  # ended, in the ledger
    store: int = 0
    lost: int = 0  # in the store as lost with their Asterisk: not in the ledger
    open: int = 0  # not ended yet


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


class Ids:
    """Where each call was seen. About 150 bytes a call of the period."""

    def __init__(self, since: float) -> None:
        self._since = since
        self.marks: dict[str, int] = {}

    def mark(self, call_id: str, mark: int) -> None:
        """Note that a call was seen; calls before the period are passed over."""
        if call_epoch(call_id) >= self._since:
            self.marks[call_id] = self.marks.get(call_id, 0) | mark


def reconcile(*, node: str, since: float, now: float, journal_dir: Path, ledger_path: Path, stored: Iterable[tuple[str, Disposition]]) -> Reconciliation:
    """Compare the three for one node.

    The store is read first and the journal last: what happens meanwhile then shows as open, or as ended and waiting to be booked.

    Args:
        node: the node, whose journal and ledger are on this machine.
        since: seconds since 1970 of the first day.
        now: seconds since 1970.
        journal_dir: its decision journals.
        ledger_path: its live ledger.
        stored: id and disposition of its calls in the store.
    """
    ids = Ids(since)
    for call_id, disposition in stored:
        ids.mark(call_id, _STORED | (_LOST if disposition is Disposition.LOST else 0))
    unreadable = _mark_ledger(ids, node, ledger_path, now - _BOOKED_WITHIN)
    starts = read_asterisk_starts(journal_dir)
    present = max((line.started for line in starts), default=0.0)
    alive: set[str] = set()
    for decided in read_decided(journal_dir, since):
        ids.mark(decided.id, _DECIDED)
        if decided.at >= present:
            alive.add(decided.id)
    return _compare(ids, node, alive, unreadable)


def _mark_ledger(ids: Ids, node: str, ledger_path: Path, settled: float) -> list[Place]:
    unreadable: list[Place] = []
    for path in ledger_files(ledger_path):
        for number, (line, offset) in enumerate(read_lines(path)):
            try:
                record = parse_line(line, node)
                routed = parse_routed(record.rf_end.split("|")[1]) if record.rf_end else None
            except (Invalid, IndexError):
                unreadable.append(Place(path.name, offset, len(line), number))
                continue
            mark = _JUST_NOW if record.end > settled else 0
            if routed is None:
                ids.mark(record.linkedid, mark | _BEGUN)
            else:
                ids.mark(record.linkedid, mark | _ENDED | (_UNJOURNALLED if routed.by in {RoutedBy.ASTDB, RoutedBy.DIALPLAN} else 0))
    return unreadable


def _compare(ids: Ids, node: str, alive: set[str], unreadable: list[Place]) -> Reconciliation:
    days: dict[str, DayCount] = {}
    differences: list[Difference] = []
    open_calls: list[str] = []
    for call_id, marks in sorted(ids.marks.items()):
        day = from_epoch(call_epoch(call_id)).date().isoformat()
        count = days.setdefault(day, DayCount(node, day))
        count.decided += bool(marks & _DECIDED)
        count.ledger += bool(marks & _ENDED)
        count.store += bool(marks & _STORED)
        count.lost += bool(marks & _LOST)
        is_open = call_id in alive and not marks & (_ENDED | _STORED | _BEGUN)
        if is_open or (marks & _JUST_NOW and not marks & _STORED):
            count.open += 1
            open_calls.append(call_id)
        elif problem := _problem(marks):
            differences.append(Difference(call_id, day, problem))
    return Reconciliation(sorted(days.values(), key=lambda count: count.day), differences, open_calls, unreadable)


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
