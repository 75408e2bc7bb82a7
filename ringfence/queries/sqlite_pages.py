"""The free pages of a SQLite file, as bytes: whether anything of what they held can still be read. Format: https://sqlite.org/fileformat2.html#the_freelist."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import msgspec

_HEADER = 100


class FreePages(msgspec.Struct, frozen=True):
    """What was looked at."""

    pages: int  # free pages in the file
    read: int
    dirty: int  # of those that were read: that hold more than zeros


def free_pages(path: Path, most: int) -> FreePages:
    """Read up to `most` free pages of a SQLite file, as it was at its last checkpoint; later changes are in its log.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a SQLite file.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER)
        if header[:16] != b"SQLite format 3\0":
            raise ValueError("not a SQLite file")
        size = int.from_bytes(header[16:18], "big")
        size = 65536 if size == 1 else size
        trunk, pages = _number(header, 32), _number(header, 36)
        clean = bytes(size)
        read = dirty = 0
        while trunk and read < most:
            page = _page(file, trunk, size)
            leaves = min(_number(page, 4), size // 4 - 2)
            read, dirty = read + 1, dirty + (page[8 + 4 * leaves :] != clean[8 + 4 * leaves :])
            for place in range(leaves):
                if read >= most:
                    break
                read, dirty = read + 1, dirty + (_page(file, _number(page, 8 + 4 * place), size) != clean)
            trunk = _number(page, 0)
        return FreePages(pages, read, dirty)


def _page(file: BinaryIO, number: int, size: int) -> bytes:
    file.seek((number - 1) * size)
    return file.read(size)


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")
