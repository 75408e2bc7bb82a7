"""What went: the value objects that deletions return, and what is made of rows that came back."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from ringfence.destinations import destination_of
from ringfence.queries.due import Count


class Cell(msgspec.Struct, frozen=True):
    """Calls of one day, trunk and destination."""

    day: date
    trunk: str
    destination: str
    calls: int
    answered: int
    billable_seconds: int


class Gone(msgspec.Struct, frozen=True):
    """What went from one table in one window."""

    table: str
    count: Count
    days: tuple[tuple[date, int], ...]  # London days, in order
    keys: bytes  # the rows' keys, sorted, one a line: hashed for the receipt and forgotten


class Days(msgspec.Struct, frozen=True):
    """The days that a window touches: `starts[n]` is the first moment of `names[n]`."""

    starts: tuple[datetime, ...]
    names: tuple[date, ...]

    def of(self, moment: datetime) -> date:
        """Return the day of a moment."""
        return self.names[max(bisect_right(self.starts, moment) - 1, 0)]


def cells_of(rows: Iterable[Any], days: Days, first: int, *, sqlite: bool) -> list[Cell]:
    """Return the cells of calls that came back as (time, ..., trunk, target, answered, seconds); the trunk is at `first`."""
    day_of = _day_of(days, sqlite=sqlite)
    calls, answered, seconds = Counter[Any](), Counter[Any](), Counter[Any]()
    for row in rows:
        cell = (day_of(row[0]), row[first] or "", destination_of(row[first + 1]).value)
        calls[cell] += 1
        seconds[cell] += row[first + 3]
        if row[first + 2] is not None:
            answered[cell] += 1
    return [Cell(cell[0], cell[1], cell[2], calls[cell], answered[cell], seconds[cell]) for cell in sorted(calls)]


def gone_of(rows: Sequence[tuple[Any, str]], table: str, days: Days, *, sqlite: bool) -> Gone:
    """Return what went, of rows that came back as (time, key). On SQLite times are texts as stored."""
    if not rows:
        return Gone(table, Count(), (), b"")
    day_of = _day_of(days, sqlite=sqlite)
    by_day = Counter(day_of(at) for at, _ in rows)
    times = [min(at for at, _ in rows), max(at for at, _ in rows)]
    oldest, newest = (datetime.fromisoformat(at).replace(tzinfo=UTC) for at in times) if sqlite else times
    return Gone(table, Count(len(rows), oldest, newest), tuple(sorted(by_day.items())), sorted_keys([key for _, key in rows]))


def _day_of(days: Days, *, sqlite: bool) -> Callable[[Any], date]:
    if not sqlite:
        return days.of
    starts, names = [start.replace(tzinfo=None).isoformat(" ", "microseconds") for start in days.starts], days.names
    return lambda at: names[max(bisect_right(starts, at) - 1, 0)]  # a text without a fraction is before the same moment with one


def key_of(values: Sequence[Any]) -> str:
    """Return a row's key as one text."""
    return str(values[0]) if len(values) == 1 else ":".join(map(str, values))


def sorted_keys(keys: list[str]) -> bytes:
    """Return keys in order, one a line; sorts the list that it is given."""
    keys.sort()
    return "\n".join(keys).encode()
