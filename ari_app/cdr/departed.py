"""Finds the calls that went down with an earlier Asterisk, from the journal and the store.

Once for each Asterisk that started, and once more when the journal got calls of the one before afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
import structlog
from sqlalchemy.orm import Session

from ari_app.cdr.assemble import Assembler
from ari_app.cdr.journal import ASTERISK_FILE, Decided, read_asterisk_starts, read_decided, read_marks_settled
from ari_app.cdr.line import to_micros
from ari_app.cdr.lost import build_lost
from ari_app.cdr.tail import ledger_files, read_lines
from ringfence.errors import Invalid
from ringfence.queries.ledger import Booking, Position, find_known_calls
from ringfence.values import RoutedBy

FILE_ID = "asterisk"  # the key under which the store notes the last start that was handled, in microseconds
MARKS_ID = "asterisk-marks"  # and how many lines of settled marks were handled
_IN_CHUNK = 5000
_ID_AT = len(b'{"linkedid":"')
_NO_END = b'"rf_end":""}'

log = structlog.get_logger()


class Start(msgspec.Struct, frozen=True):
    """An Asterisk that started, and the one before."""

    began: float  # when the one before started; its calls were decided from then on
    ended: float  # when this one started
    seen: float  # when the one before was last known to be alive
    position: Position  # to be stored when its lost calls are booked
    by: RoutedBy | None = None  # only calls that this routed are looked for; None = all


def unhandled_starts(folder: Path, handled: int) -> list[Start]:
    """Return the starts whose lost calls have not been booked, oldest first.

    Args:
        folder: the journal's folder.
        handled: the last start that was handled, in microseconds since 1970.
    """
    return [start for start in _starts(folder) if start.position.offset > handled]


def starts_to_look_at_again(folder: Path, handled: int) -> list[Start]:
    """Return the starts for which AstDB's calls have come into the journal, perhaps after their lost calls were booked; oldest first.

    No others are looked for again: one that was booked as lost and deleted since must not come back.

    Args:
        folder: the journal's folder.
        handled: how many lines of settled marks have been handled.
    """
    settled = read_marks_settled(folder)
    fresh = settled[handled if handled <= len(settled) else 0 :]  # there are fewer when the journal began anew
    if not fresh:
        return []
    since = min(line.since for line in fresh)
    starts = [start for start in _starts(folder) if start.ended > since]
    done = [handled] * (len(starts) - 1) + [len(settled)]  # handled when the last start is
    positions = (Position(MARKS_ID, "journal", ASTERISK_FILE, lines, 0) for lines in done)
    return [msgspec.structs.replace(start, position=position, by=RoutedBy.ASTDB) for start, position in zip(starts, positions, strict=False)]


def _starts(folder: Path) -> list[Start]:
    starts = sorted({line.started: line for line in read_asterisk_starts(folder)}.values(), key=lambda line: line.started)
    return [
        Start(before.started if before else 0.0, line.started, line.seen, Position(FILE_ID, "journal", ASTERISK_FILE, round(line.started * 1_000_000), 0))
        for before, line in zip([None, *starts], starts, strict=False)
    ]


def find_departed(session: Session, folder: Path, ledger_path: Path, start: Start, assembler: Assembler, node: str) -> list[Booking]:
    """Return the CDRs of the calls that were decided before `start`, have no end in the ledger, and are not in the store.

    Call it only when the ledger has been booked to its end. What the ledger has of such a call without its end is taken from the assembler. A call with
    its end in the ledger is never lost: if the store has it not, it was deleted there, and must not come back.
    """
    missing: dict[str, list[Decided]] = {}
    decisions = (decided for decided in _before(folder, start) if start.by is None or decided.by == start.by)
    while chunk := list(islice(decisions, _IN_CHUNK)):
        ids = list({decided.id for decided in chunk})
        known = find_known_calls(session, ids, (to_micros(decided.at) for decided in (chunk[0], chunk[-1])))
        missing.update((call_id, []) for call_id in ids if call_id not in known)
    for path in ledger_files(ledger_path) if missing else ():
        for line, _ in read_lines(path):
            call_id = line[_ID_AT : line.find(b'"', _ID_AT)].decode("ascii", "replace")
            if call_id in missing and not line.endswith(_NO_END):
                del missing[call_id]
    if missing:
        for decided in _before(folder, start):
            if decided.id in missing:
                missing[decided.id].append(decided)
    return [booking for call_id, attempts in missing.items() if (booking := _lost(call_id, attempts, start, assembler, node))]


def _before(folder: Path, start: Start) -> Iterator[Decided]:
    return (decided for decided in read_decided(folder, start.began) if decided.at < start.ended)


def _lost(call_id: str, attempts: list[Decided], start: Start, assembler: Assembler, node: str) -> Booking | None:
    waiting = assembler.get(call_id)
    try:
        return build_lost(sorted(attempts, key=lambda decided: (decided.n, decided.at)), waiting.records if waiting else [], start.seen, node)
    except Invalid as error:
        log.error("lost_call_not_booked", linkedid=call_id, reason=error.message)  # noqa: TRY400  the trace says nothing more
        return None
