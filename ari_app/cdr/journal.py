"""The decision journal: what was decided for which call, written before the call is handed over.

It lets a restarted node tell which calls its Asterisk took with it, and `cdr reconcile` compare what was decided with what was booked.
JSON lines, each put into the file by one `write()` on a descriptor opened to append, so that `kill -9` of the writer loses nothing:

    decisions-<UTC date>-<process>.jsonl   {"t":"decided","at":…,"id":…,"by":…,"n":…,"in":…,"rf":…,"legs":…}
    asterisk.jsonl                         {"t":"asterisk","at":…,"started":…,"seen":…}
                                           {"t":"marks","since":…}

Times are seconds since 1970. The files hold phone numbers: they are of mode 0600, and retention covers them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from ringfence.clock import Clock

ASTERISK_FILE = "asterisk.jsonl"
_DAY = 86400
_Line = TypeVar("_Line")
_Text = Annotated[str, Meta(max_length=4096)]


class Decided(msgspec.Struct, frozen=True, gc=False, tag_field="t", tag="decided"):
    """A decision that was about to be handed to Asterisk."""

    at: float
    id: Annotated[str, Meta(max_length=48)]  # linkedid
    by: str  # 'ari' or 'agi'
    n: int  # the attempt, from 1
    facts: _Text = msgspec.field(name="in")  # RF_IN
    rf: _Text  # RF_BY
    legs: _Text  # RF_LEGS; empty when the call was refused


class AsteriskStarted(msgspec.Struct, frozen=True, gc=False, tag_field="t", tag="asterisk"):
    """The node found an Asterisk that was not there before."""

    at: float
    started: float  # when this Asterisk started
    seen: float  # when the one before was last known to be alive; 0 = there was none


class MarksSettled(msgspec.Struct, frozen=True, gc=False, tag_field="t", tag="marks"):
    """Calls that AstDB routed and that went down with their Asterisk have been journalled since, perhaps after its lost calls were booked."""

    since: float  # when the first of them began


_decode_decided = msgspec.json.Decoder(Decided).decode
_decode_started = msgspec.json.Decoder(AsteriskStarted).decode
_decode_settled = msgspec.json.Decoder(MarksSettled).decode


class JournalWriter:
    """Appends to this process's journal; costs some microseconds a line."""

    def __init__(self, folder: Path, process: str, clock: Clock) -> None:
        """Begin.

        Args:
            folder: `settings.journal_dir`; made when it is not there.
            process: a name for the writing process, for example 'ari' or 'agi'.
            clock: the clock.
        """
        self._folder = folder
        self._process = process
        self._clock = clock
        self._encode = msgspec.json.Encoder().encode
        self._descriptor = -1
        self._until = 0.0
        self._torn = False
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def decided(self, call_id: str, by: str, attempt: int, *, facts: str, routed: str, legs: str) -> None:
        """Note a decision. It is in the kernel's hands when this returns; only a power cut can lose it.

        Raises:
            OSError: the disk is full, or the folder is gone.
        """
        at = self._clock.now().timestamp()
        if at >= self._until:
            self._open(at)
        self._write(self._descriptor, Decided(at, call_id, by, attempt, facts, routed, legs))

    def asterisk_started(self, started: datetime, seen: datetime | None) -> None:
        """Note a new Asterisk: calls decided before `started` that leave no end in the ledger went down with the one before.

        Args:
            started: when the new one started.
            seen: when the one before was last known to be alive.

        Raises:
            OSError: the disk is full, or the folder is gone.
        """
        at = self._clock.now().timestamp()
        self._note_asterisk(AsteriskStarted(at, started.timestamp(), seen.timestamp() if seen else 0.0))

    def marks_settled(self, since: datetime) -> None:
        """Note that calls which AstDB routed were journalled after they had gone down with their Asterisk.

        Args:
            since: when the first of them began.

        Raises:
            OSError: the disk is full, or the folder is gone.
        """
        self._note_asterisk(MarksSettled(since.timestamp()))

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._until = -1, 0.0

    def _open(self, at: float) -> None:
        self.close()
        day = self._clock.now().date().isoformat()
        self._descriptor = self._append_to(self._folder / f"decisions-{day}-{self._process}.jsonl")
        self._until = (at // _DAY + 1) * _DAY

    def _write(self, descriptor: int, line: msgspec.Struct) -> None:
        data = self._encode(line) + b"\n"
        if self._torn:
            data = b"\n" + data  # so that half a line, from when the disk was full, spoils no other
        self._torn = os.write(descriptor, data) != len(data)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _note_asterisk(self, line: msgspec.Struct) -> None:
        descriptor = self._append_to(self._folder / ASTERISK_FILE)
        try:
            self._write(descriptor, line)
        finally:
            os.close(descriptor)

    @staticmethod
    def _append_to(path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def read_decided(folder: Path, since: float = 0.0) -> Iterator[Decided]:
    """Yield the decisions of all processes, one file after the other; lines that cannot be read are passed over.

    Args:
        folder: the journal's folder.
        since: seconds since 1970; files of earlier days are not opened.
    """
    for path in sorted(folder.glob("decisions-*.jsonl")):
        if _day_of(path) + _DAY > since:
            yield from (decided for decided in _lines(path, _decode_decided) if decided.at >= since)


def read_asterisk_starts(folder: Path) -> list[AsteriskStarted]:
    """Return every Asterisk that was found, oldest first."""
    return _asterisk_lines(folder, _decode_started)


def read_marks_settled(folder: Path) -> list[MarksSettled]:
    """Return each time that marks were settled, oldest first."""
    return _asterisk_lines(folder, _decode_settled)


def _asterisk_lines(folder: Path, decode: Callable[[bytes], _Line]) -> list[_Line]:
    path = folder / ASTERISK_FILE
    return list(_lines(path, decode)) if path.exists() else []


def _lines(path: Path, decode: Callable[[bytes], _Line]) -> Iterator[_Line]:
    with path.open("rb") as file:
        for line in file:
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                yield decode(line)


def _day_of(path: Path) -> float:
    """Return when the day in a journal's name begins; a name without one is of every day."""
    try:
        return datetime.fromisoformat(path.name[10:20]).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return float("inf")
