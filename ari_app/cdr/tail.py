"""Follows an append-only file of lines through rotation: whole lines only, each with its place, rotated files first.

A file is known by its first line, which holds the id and the microsecond of a call and so is unlike any other. So a file keeps its offset when it
is renamed, copied to another disk or truncated after a copy, and a new file with an old inode is not mistaken for the old one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from ringfence.ledgerfile import HEAD, file_identity

_PACKED = (".gz", ".xz", ".bz2", ".zst", ".tmp", ".swp")
LONGEST = 1 << 20  # bytes read at once, and the longest line that is looked for


class Chunk(NamedTuple):
    """Bytes of one file, from the start of a line."""

    file_id: str
    name: str
    offset: int
    data: bytes  # whole lines; when broken, what stands in place of one
    broken: str  # why this is no line: too long, or torn for good; empty = whole lines


class Tail:
    """Reads a file and its rotated predecessors (`<name>.<suffix>`) from given offsets on."""

    def __init__(self, path: Path, positions: dict[str, int], *, grace: float = 60.0) -> None:
        """Begin.

        Args:
            path: the live file; it need not exist yet.
            positions: how far each file was read, by file id.
            grace: seconds after which the last line of a rotated file, without line end, is taken for torn.
        """
        self._path = path
        self._grace = grace
        self.positions = dict(positions)
        self.names: dict[str, str] = {}
        self._settled: dict[tuple[str, int, int], str] = {}  # rotated files read to their end: name, size, change -> file id
        self.lag = 0  # bytes not read yet, as of the last read

    def read(self, now: float, limit: int = LONGEST) -> list[Chunk]:
        """Return the next lines, at most about `limit` bytes.

        Args:
            now: seconds since 1970, for the age of torn lines.
            limit: bytes.

        Raises:
            OSError: the folder or a file cannot be read.
        """
        chunks: list[Chunk] = []
        self.lag = 0
        seen: set[str] = set()
        for path, live in self._files():
            with suppress(FileNotFoundError), _opened(path) as descriptor:  # rotated away or purged since it was listed
                chunk = self._read_file(descriptor, path, seen, limit, now=now, live=live)
                if chunk is not None:
                    chunks.append(chunk)
                    limit -= len(chunk.data)
        return chunks

    def _files(self) -> Iterator[tuple[Path, bool]]:
        """Return the files that may hold something new, rotated ones first, oldest first."""
        for name, status in _rotated(self._path):
            if (name, status.st_size, status.st_mtime_ns) not in self._settled:
                yield self._path.with_name(name), False
        yield self._path, True

    def _read_file(self, descriptor: int, path: Path, seen: set[str], limit: int, *, now: float, live: bool) -> Chunk | None:
        status = os.fstat(descriptor)
        file_id = file_identity(os.pread(descriptor, HEAD, 0))
        if file_id is None or file_id in seen:  # a copy of a file is not read twice
            return None
        seen.add(file_id)
        self.names[file_id] = path.name
        position = self.positions.get(file_id, 0)
        if position > status.st_size:  # cut short by somebody; what is there is read again and changes nothing
            position = 0
        position = _line_start(descriptor, position, status.st_size)
        self.positions[file_id] = position
        self.lag += status.st_size - position
        if position == status.st_size or limit <= 0:
            if position == status.st_size and not live:
                self._settle(path, status, file_id)
            return None
        chunk = _next_lines(descriptor, file_id, path.name, position, limit)
        if chunk is None and not live and now - status.st_mtime > self._grace:
            chunk = Chunk(file_id, path.name, position, os.pread(descriptor, LONGEST, position), "torn: it has no line end")
        if chunk is not None:
            self.positions[file_id] = position + len(chunk.data)
            self.lag -= len(chunk.data)
        return chunk

    def _settle(self, path: Path, status: os.stat_result, file_id: str) -> None:
        self._settled = {key: value for key, value in self._settled.items() if key[0] != path.name}
        self._settled[path.name, status.st_size, status.st_mtime_ns] = file_id


def ledger_files(path: Path) -> list[Path]:
    """Return the rotated files of a live one, oldest first, then the live one."""
    files = [path.with_name(name) for name, _ in _rotated(path)]
    return [*files, path] if path.is_file() else files


def read_lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield the whole lines of a file without their ends, and where each begins; empty ones and a torn last one are left out."""
    offset = 0
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") and len(line) > 1:
                yield line[:-1], offset
            offset += len(line)


def _rotated(path: Path) -> list[tuple[str, os.stat_result]]:
    found: list[tuple[int, str, os.stat_result]] = []
    prefix = path.name + "."
    with suppress(FileNotFoundError), os.scandir(path.parent) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and not entry.name.endswith(_PACKED) and entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                found.append((status.st_mtime_ns, entry.name, status))
    return [(name, status) for _, name, status in sorted(found)]


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _line_start(descriptor: int, position: int, size: int) -> int:
    """Return `position`, or the start of the next line when it is inside one that was too long to be read whole."""
    if position == 0 or os.pread(descriptor, 1, position - 1) == b"\n":
        return position
    while position < size:
        block = os.pread(descriptor, LONGEST, position)
        found = block.find(b"\n")
        if found >= 0:
            return position + found + 1
        position += len(block)
    return position


def _next_lines(descriptor: int, file_id: str, name: str, position: int, limit: int) -> Chunk | None:
    data = os.pread(descriptor, limit, position)
    end = data.rfind(b"\n") + 1
    if end == 0 and limit < LONGEST:
        data = os.pread(descriptor, LONGEST, position)
        end = data.find(b"\n") + 1
    if end:
        return Chunk(file_id, name, position, data[:end], "")
    return Chunk(file_id, name, position, data, "longer than a line can be") if len(data) == LONGEST else None
