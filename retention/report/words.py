"""How values read for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

from retention.report.model import Kind
from ringfence.output import printable

NOT_SET = "not_set"  # the status of what the settings should say and do not
_NONE = "-"
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def shown(value: Any, kind: Kind) -> str:
    """Return a value as people read it; control characters of stored texts as their codes."""
    if value is None or value == "":
        return _NONE
    if kind in {Kind.STATUS, Kind.WORD}:
        return printable(str(value).replace("_", " "))
    if kind is Kind.COUNT and isinstance(value, int):
        return f"{value:,}"
    if kind is Kind.DURATION and isinstance(value, int | float):
        return duration(value)
    if kind is Kind.MILLISECONDS and isinstance(value, int | float):
        return f"{value:,} ms"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    if kind is Kind.CODE:
        return "\n".join(printable(line) for line in str(value).split("\n"))
    return printable(str(value))


def duration(seconds: float) -> str:
    """Return a stretch of time by its two largest units."""
    left = round(abs(seconds))
    parts: list[tuple[int, str]] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append((count, unit))
        if len(parts) == 2:
            break
    text = " ".join(f"{count:,} {unit}" for count, unit in parts if count) or "0 s"
    return f"-{text}" if seconds < 0 else text


def parameters(found: Mapping[str, Any]) -> str:
    """Return a query's parameters in one line."""
    return ", ".join(f"{name} = {_plain(value)}" for name, value in found.items()) or "none"


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_plain(each) for each in value) + "]"
    return printable(str(value))
