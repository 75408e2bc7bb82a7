"""CDRs as files: CSV that no spreadsheet takes for a formula, or JSON lines. Row by row, in constant memory."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

import msgspec

from ringfence.output import plain

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"\+[0-9]+\Z")


def write_csv(rows: Iterable[Mapping[str, Any]], keys: Sequence[str], stream: TextIO) -> int:
    """Write rows with a head line; return how many."""
    writer = csv.writer(stream, lineterminator="\r\n")  # RFC 4180
    writer.writerow(keys)
    count = 0
    for row in rows:
        writer.writerow([cell(row[key]) for key in keys])
        count += 1
    return count


def write_json_lines(rows: Iterable[Mapping[str, Any]], stream: TextIO) -> int:
    """Write each row as one line of JSON; return how many."""
    count = 0
    for row in rows:
        stream.write(msgspec.json.encode(plain(row)).decode() + "\n")
        count += 1
    return count


def cell(value: Any) -> str:
    """Return a value as a CSV cell.

    A text that a spreadsheet would run gets a leading apostrophe; a number with its `+` cannot do anything and stays as it is.
    """
    found = plain(value)
    if found is None:
        return ""
    if isinstance(found, bool):
        return "true" if found else "false"
    text = str(found)
    return f"'{text}" if isinstance(found, str) and text.startswith(_FORMULA) and not _NUMBER.match(text) else text
