r"""Printing for people and for programs: tables or JSON on stdout, everything else on stderr.

Stored names come from people. In a table their control characters are shown as `\\x1b` and the like, and never reach the terminal;
JSON is plain ASCII.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, TextIO

import msgspec

_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_PIPE_WIDTH = 240  # columns of a table that no terminal bounds


class Column(msgspec.Struct, frozen=True):
    """One column of a table."""

    key: str  # in the row, and in JSON
    title: str
    right: bool = False  # numbers


def emit(rows: Iterable[Mapping[str, Any]], columns: Sequence[Column], *, as_json: bool, empty: str = "nothing found") -> None:
    """Print rows: a JSON array with every key of each, streamed, or a table of the columns.

    Args:
        rows: mappings; values may be text, numbers, times, enums, lists, or None.
        columns: what the table shows.
        as_json: JSON instead of a table; no row is `[]`.
        empty: what people are told on stderr when there is no row.
    """
    if as_json:
        _print_json_array(rows)
        return
    listed = list(rows)
    if not listed:
        note(empty)
        return
    from rich.table import Table  # noqa: PLC0415  slow to import

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.title, justify="right" if column.right else "left", overflow="fold")
    for row in listed:
        table.add_row(*(_cell(row.get(column.key)) for column in columns))
    _print(table)


def emit_one(row: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing: a JSON object, or a line for each key."""
    if as_json:
        sys.stdout.write(json.dumps({key: plain(value) for key, value in row.items()}, indent=2) + "\n")
        return
    from rich.table import Table  # noqa: PLC0415  slow to import

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in row.items():
        table.add_row(key.replace("_", " "), _cell(value))
    _print(table)


def say(text: str) -> None:
    """Print a result for a person on stdout."""
    sys.stdout.write(printable(text) + "\n")


def note(text: str) -> None:
    """Print a remark on stderr: it is not part of the result."""
    _line(sys.stderr, text)


def warn(text: str) -> None:
    """Print a warning on stderr."""
    _line(sys.stderr, f"warning: {text}")


def printable(text: str) -> str:
    """Return a text in which every character that does not print is shown as its code."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(character) if unicodedata.category(character) in _UNPRINTABLE else character for character in text)


def plain(value: Any) -> Any:
    """Return a value as JSON has it; times become ISO 8601 in UTC with a Z."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, msgspec.Struct):
        return {field: plain(getattr(value, field)) for field in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value


def _print_json_array(rows: Iterable[Mapping[str, Any]]) -> None:
    separator = "["
    for row in rows:
        sys.stdout.write(f"{separator}\n  {json.dumps({key: plain(value) for key, value in row.items()})}")
        separator = ","
    sys.stdout.write("[]\n" if separator == "[" else "\n]\n")


def _cell(value: Any) -> Any:
    from rich.text import Text  # noqa: PLC0415  slow to import

    found = plain(value)
    if found is None:
        return Text("-", style="dim")
    if isinstance(found, bool):
        return Text("yes" if found else "no")
    if isinstance(value, datetime):
        found = value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(found, list):
        return Text("\n".join(printable(str(item)) for item in found) or "-")
    if isinstance(found, dict):
        return Text("\n".join(printable(f"{key}={item}") for key, item in found.items()) or "-")
    return Text(printable(str(found)))


def _print(table: Any) -> None:
    from rich.console import Console  # noqa: PLC0415  slow to import

    terminal = sys.stdout.isatty()
    Console(file=sys.stdout, width=None if terminal else _PIPE_WIDTH, highlight=False, markup=False, emoji=False).print(table)


def _line(stream: TextIO, text: str) -> None:
    stream.write(printable(text) + "\n")


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
