"""Files that end by age: given up in a transaction (a tombstone), unlinked after it, tried again until they are gone. Whole files only, none is rewritten.

A file is past its window when its newest datum is. Every node removes its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import structlog
from sqlalchemy.orm import Session

from retention.files import Folder, folders, kind_of
from retention.purge.batch import Batcher
from retention.purge.planner import Item
from ringfence.audit.log import Draft, append_all
from ringfence.clock import Clock, from_epoch
from ringfence.ledgerfile import HEAD, file_identity
from ringfence.models import FileTombstone
from ringfence.models.base import DataClass
from ringfence.queries import holds, ledger, runs
from ringfence.queries.due import Count
from ringfence.queries.ledger import Position
from ringfence.settings import Settings

CLASSES = (  # classes of files alone
    DataClass.LEDGER,
    DataClass.LOG,
    DataClass.SPOOL,
    DataClass.EXPORT,
    DataClass.BACKUP,
    DataClass.VOICEMAIL,
    DataClass.RECORDING,
    DataClass.SERVICE_RECORDING,
)
_DAY_IN_NAME = re.compile(r"[-.](\d{4})-?(\d{2})-?(\d{2})(?:[-.]|$)")
_KEPT = ("asterisk.jsonl",)  # when each Asterisk started: nothing about a call
_PLACES = (Folder.HOME, Folder.LOG, Folder.SPOOL)

log = structlog.get_logger()


class OldFile(msgspec.Struct, frozen=True):
    """A file whose newest datum is past its window."""

    data_class: DataClass
    folder: Folder
    path: str  # below the folder
    bytes: int
    newest_at: datetime


class Found(msgspec.Struct, frozen=True):
    """What a look at a node's folders found."""

    old: tuple[OldFile, ...] = ()
    kept: tuple[OldFile, ...] = ()  # past their window, but not booked yet: nobody has read them to the end
    oldest: Mapping[DataClass, datetime] = {}  # newest datum of the oldest file of each class


def look(settings: Settings, cutoffs: Mapping[DataClass, datetime], booked: Iterable[Position]) -> Found:
    """Return the files of a node that are past their windows.

    Args:
        settings: say where its folders are.
        cutoffs: up to when each class is due; a class that is missing keeps its files.
        booked: how far the node's ledgers are booked. A ledger goes only when all of it is.
    """
    done = {position.file_id: position.offset for position in booked}
    old: list[OldFile] = []
    kept: list[OldFile] = []
    oldest: dict[DataClass, datetime] = {}
    for data_class, folder, root, path, status in _files(settings):
        newest = newest_datum(path.name, status.st_mtime)
        oldest[data_class] = min(oldest.get(data_class, newest), newest)
        if data_class not in cutoffs or newest >= cutoffs[data_class]:
            continue
        found = OldFile(data_class, folder, path.relative_to(root).as_posix(), status.st_size, newest)
        live = path == settings.ledger_path
        (kept if live or not _is_booked(settings, path, status.st_size, done) else old).append(found)
    return Found(tuple(old), tuple(kept), oldest)


def counted(session: Session, settings: Settings, item: Item) -> Item:
    """Return an item of a plan with this node's files that are due, if its class is one of files."""
    if item.data_class not in CLASSES or not item.default:
        return item
    old = look(settings, {item.data_class: item.cutoff.at}, ledger.list_positions(session, settings.node).values()).old
    if holds.covers_files(session, item.data_class.value):
        return msgspec.structs.replace(item, held=len(old))
    times = [each.newest_at for each in old]
    return msgspec.structs.replace(item, due=Count(len(old), min(times, default=None), max(times, default=None)))


def tombstone(node: str, run: str, old: OldFile, now: datetime) -> dict[str, Any]:
    """Return what is written down of a file before it goes."""
    return {
        "node": node,
        "run_id": run,
        "data_class": old.data_class.value,
        "folder": old.folder.value,
        "path": old.path,
        "bytes": old.bytes,
        "newest_at": old.newest_at,
        "made_at": now,
    }


def sweep(batcher: Batcher, settings: Settings, clock: Clock, run: str) -> list[FileTombstone]:
    """Remove every file of this node that was given up, now or in a run that died, and return the tombstones of those that are gone."""
    given_up = batcher.patiently(lambda session: runs.open_tombstones(session, settings.node))
    gone = remove(settings, given_up)
    if gone:
        batcher.patiently(lambda session: _note(session, clock, run, gone))
    return gone


def _note(session: Session, clock: Clock, run: str, gone: list[FileTombstone]) -> None:
    runs.mark_removed(session, [each.id for each in gone], clock.now())
    drafts = []
    for data_class in sorted({each.data_class for each in gone}):
        sizes = [each.bytes for each in gone if each.data_class == data_class]
        drafts.append(Draft("file.removed", {"run": run, "data_class": data_class, "files": len(sizes), "kib": sum(sizes) >> 10}, "worker"))
    append_all(session, clock, drafts)


def newest_datum(name: str, changed: float) -> datetime:
    """Return the latest moment that something in a file can be of: when it was last written, or the end of the day in its name, whichever is later."""
    written = from_epoch(changed)
    match = _DAY_IN_NAME.search(name)
    if match is None:
        return written
    try:
        day = date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return written
    return max(written, datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1))


def remove(settings: Settings, tombstones: Iterable[FileTombstone]) -> list[FileTombstone]:
    """Unlink the files and return the tombstones of those that are gone. One that was written to again is left alone."""
    where = folders(settings)
    gone = []
    for tombstone in tombstones:
        root = where[Folder(tombstone.folder)]
        path = root / tombstone.path
        if not path.resolve().is_relative_to(root.resolve()):
            log.error("tombstone_outside", folder=tombstone.folder)
            continue
        try:
            status = path.lstat()
            if status.st_size != tombstone.bytes or from_epoch(status.st_mtime) > tombstone.newest_at + timedelta(days=1):
                continue
            path.unlink()
            _settle(path.parent)
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("file_not_removed", data_class=tombstone.data_class, error=error.strerror)
            continue
        gone.append(tombstone)
    return gone


def _settle(folder: Path) -> None:
    """Make the removal outlast a power cut."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _files(settings: Settings) -> Iterator[tuple[DataClass, Folder, Path, Path, os.stat_result]]:
    where = folders(settings)
    for folder in _PLACES:
        root = where[folder]
        for path in sorted(root.rglob("*")):
            if path.is_symlink() or not path.is_file() or path.name in _KEPT:
                continue
            kind = kind_of(path, where)
            if kind is not None and kind.folder is folder and kind.data_class in CLASSES:
                with suppress(FileNotFoundError):
                    yield kind.data_class, folder, root, path, path.stat()


def _is_booked(settings: Settings, path: Path, size: int, done: Mapping[str, int]) -> bool:
    if path.parent != settings.ledger_path.parent or not path.name.startswith(settings.ledger_path.name):
        return True
    if size == 0:
        return True
    with suppress(OSError), path.open("rb") as file:
        identity = file_identity(file.read(HEAD))
        return identity is not None and done.get(identity, 0) >= size
    return False
