"""Carriers without an API: a CSV file of requests for a person to hand over, and files of answers that a person brings back.

`open` collects requests, one a line, each on the disk before it counts as submitted; `finish` makes it a batch by renaming it, so that a
batch is whole or not there. A request that was repeated may be in two batches: its reference is the same. Answers go into the folder
`answers`; one is read when it ends with a line end, so not while it is still written.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog

from retention.emergency.carriers.carrier import HOUR, Outcome, Reply, Request, is_uk, later, rejected, said
from ringfence.clock import Clock
from ringfence.csvfile import harmless, read_rows
from ringfence.errors import RingfenceError

FIELDS = ("title", "forename", "name", "honours", "bussuffix", "premises", "thoroughfare", "locality", "postcode")
COLUMNS = ("reference", "action", "number", *FIELDS)
ANSWERED = {outcome.value: outcome for outcome in Outcome if outcome is not Outcome.LATER}
_OPEN = ".open.csv"

log = structlog.get_logger()


class Batch:
    """Addresses at a carrier that takes files."""

    name = "batch"

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._seen: tuple[tuple[str, int, int], ...] = ()
        self._answers: dict[str, Reply] = {}

    @property
    def answers(self) -> Path:
        """Where a person puts the carrier's answers."""
        return self._folder / "answers"

    def submit(self, request: Request) -> Reply:
        """As `Carrier.submit`: the request is in the batch that goes next."""
        return self._collect(request, "submit")

    def withdraw(self, request: Request) -> Reply:
        """As `Carrier.withdraw`: asked for in the batch that goes next, or the answer to that."""
        answer = self._answer(request)
        return self._collect(request, "withdraw") if answer is None else answer

    def poll(self, request: Request) -> Reply:
        """As `Carrier.poll`: what the newest answer says of this very request, or that it is on its way."""
        return self._answer(request) or Reply(Outcome.SUBMITTED)

    def finish(self) -> None:
        """Make what was collected a batch: `batch-<moment>.csv`, to be handed over.

        Raises:
            OSError: the folder cannot be written to.
        """
        if not (self._folder / _OPEN).exists():
            return
        with self._locked():
            if not (self._folder / _OPEN).exists() or _mend(self._folder / _OPEN) == 0:
                return
            now = self._clock.now()
            (self._folder / _OPEN).rename(_free(self._folder, f"batch-{now:%Y%m%dT%H%M%S}"))
            _sync_folder(self._folder)

    def _collect(self, request: Request, action: str) -> Reply:
        if not is_uk(request.number):
            return rejected("not_uk")
        row = [request.key, action, request.number.removeprefix("+"), *(getattr(request.address, field) for field in FIELDS)]
        try:
            with self._locked():
                path = self._folder / _OPEN
                begun = _mend(path)
                descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                with os.fdopen(descriptor, "ab") as file:
                    file.write((b"" if begun else _line(COLUMNS)) + _line(row))
                    file.flush()
                    os.fsync(file.fileno())
                if not begun:
                    _sync_folder(self._folder)
        except OSError as error:
            log.warning("batch_not_written", reason=error.strerror)
            return later("not_written")
        return Reply(Outcome.SUBMITTED)

    def _answer(self, request: Request) -> Reply | None:
        """Return what the answers say of a request; files are read again when one of them changed."""
        try:
            files = sorted((status.st_mtime_ns, path.name, status.st_size) for path in self.answers.glob("*.csv") if (status := path.stat()).st_size)
        except OSError as error:
            log.warning("answers_not_read", reason=error.strerror)
            return later("not_read", HOUR)
        seen = tuple((name, at, size) for at, name, size in files)
        if seen != self._seen:
            self._answers = {}
            for _, name, _ in files:
                self._answers.update(read_answers(self.answers / name))
            self._seen = seen
        return self._answers.get(request.key)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.answers.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def read_answers(path: Path) -> dict[str, Reply]:
    """Return what a file of answers says, by reference. A row that says nothing known is left out; so is a file that is not whole."""
    found: dict[str, Reply] = {}
    try:
        if not _ends(path):
            log.warning("answers_half_written", file=path.name)
            return {}
        for line, row in read_rows(path, required=("reference", "status"), optional=("number", "code", "reason")):
            reply = None if isinstance(row, RingfenceError) else _reply(row)
            if reply is None or isinstance(row, RingfenceError):
                log.warning("answer_not_understood", file=path.name, line=line)
            else:
                found[row["reference"]] = reply
    except (OSError, RingfenceError) as error:
        log.warning("answers_not_read", file=path.name, reason=str(error))
        return {}
    return found


def _reply(row: dict[str, str]) -> Reply | None:
    outcome = ANSWERED.get(row["status"].strip().lower().replace(" ", "_"))
    if outcome is None or not row["reference"]:
        return None
    return Reply(outcome, said(row.get("code", ""))[:20], said(row.get("reason", "")))


def _ends(path: Path) -> bool:
    """Tell whether a file's last byte is a line end."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _mend(path: Path) -> int:
    """Cut off a line that a power cut left half-written; return how many bytes there are."""
    if not path.exists():
        return 0
    raw = path.read_bytes()
    whole = raw.rfind(b"\n") + 1
    if whole != len(raw):
        os.truncate(path, whole)
    return whole


def _line(cells: Sequence[str]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerow([harmless(cell) for cell in cells])
    return file.getvalue().encode()


def _free(folder: Path, stem: str) -> Path:
    """Return a name that no batch has."""
    numbers = (path for count in range(1_000_000) if not (path := folder / (f"{stem}-{count}.csv" if count else f"{stem}.csv")).exists())
    return next(numbers)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
