"""CSV files that people bring and take away. Reading treats every byte as hostile; writing leaves no cell a spreadsheet would run."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from ringfence.errors import Conflict, Invalid, Unavailable

MAX_FIELD = 1_000  # characters
MAX_ROWS = 2_000_000
MAX_BYTES = 500_000_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_SAVE_AS = "save it as 'CSV UTF-8', comma separated"


def read_rows(path: Path, *, required: Sequence[str], optional: Sequence[str]) -> Iterator[tuple[int, dict[str, str] | Invalid]]:
    """Yield (line, fields by column) of a file with a header line, or (line, what is wrong with that row). Empty lines are skipped.

    Args:
        path: the file; UTF-8, a byte order mark is allowed.
        required: columns that must be there.
        optional: columns that may be there.

    Raises:
        Invalid: the file as a whole cannot be read: not UTF-8, NUL bytes, a broken quote, wrong columns.
        Unavailable: the file cannot be opened.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Invalid(f"the file has more than {MAX_BYTES // 1_000_000} MB", hint="split it")
        with path.open("rb") as start:
            encoding = _BOMS.get(start.read(2))
        if encoding:
            raise Invalid(f"the file is {encoding}, not UTF-8", hint=_SAVE_AS)
        with path.open(encoding="utf-8-sig", errors="strict", newline="") as file:
            yield from _rows(csv.reader(_without_nul(file), strict=True), required, optional)
    except UnicodeDecodeError as error:
        raise Invalid("the file is not UTF-8", hint=_SAVE_AS) from error
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}", hint="name a file that you may read") from error


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]], *, replace: bool = False) -> int:
    """Write a file of mode 0600 whole or not at all; return the count of rows.

    Raises:
        Conflict: the file exists and may not be replaced.
        Unavailable: it cannot be written.
    """
    if path.exists() and not replace:
        raise Conflict(f"{path} exists already", hint="name a new file, or add --force")
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                count = write_to(file, columns, rows)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}", hint="name a file in a folder that you may write to") from error
    return count


def write_to(file: TextIO, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Write rows to an open file; return their count."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007  the last count is what is wanted
        writer.writerow([harmless(cell) for cell in row])
    return count


def harmless(cell: str) -> str:
    """Return a cell that a spreadsheet takes for text: an apostrophe goes before what would be a formula."""
    return "'" + cell if cell.startswith(_FORMULA) else cell


def plain(cell: str) -> str:
    """Undo `harmless`, and drop space around."""
    cell = cell.strip()
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def _rows(reader: Iterator[list[str]], required: Sequence[str], optional: Sequence[str]) -> Iterator[tuple[int, dict[str, str] | Invalid]]:
    try:
        header = _header(next(reader, []), required, optional)
        for count, cells in enumerate(reader, 1):
            if count > MAX_ROWS:
                raise Invalid(f"the file has more than {MAX_ROWS} rows", hint="split it")
            if any(cell.strip() for cell in cells):
                yield reader.line_num, _fields(header, cells)  # type: ignore[attr-defined]  # csv's reader counts lines
    except csv.Error as error:
        raise Invalid(f"line {reader.line_num}: {error}", hint="look for a quote that is not closed; a field may have 1000 characters") from error  # type: ignore[attr-defined]


def _header(cells: list[str], required: Sequence[str], optional: Sequence[str]) -> list[str]:
    header = [cell.strip().lower() for cell in cells]
    known = [*required, *optional]
    unknown = sorted({name[:40] for name in header} - set(known))
    missing = [name for name in required if name not in header]
    if missing or unknown or len(set(header)) != len(header):
        wrong = f"unknown column {unknown[0]!r}" if unknown else f"no column {missing[0]!r}" if missing else "a column twice"
        raise Invalid(f"the first line has {wrong}", hint=f"the columns are {', '.join(known)}, separated by commas")
    return header


def _fields(header: list[str], cells: list[str]) -> dict[str, str] | Invalid:
    if len(cells) != len(header):
        return Invalid(f"{len(cells)} fields where the first line has {len(header)}")
    if any(len(cell) > MAX_FIELD for cell in cells):
        return Invalid(f"a field has more than {MAX_FIELD} characters")
    return {name: plain(cell) for name, cell in zip(header, cells, strict=True)}


def _without_nul(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise Invalid(f"line {number} holds a NUL byte", hint=_SAVE_AS)
        yield line
