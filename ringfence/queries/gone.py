"""What went: the value objects that deletions return, and what is made of rows that came back."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import msgspec

from ringfence.destinations import LONGEST_PREFIX, destination_of
from ringfence.queries.due import Count


class Cell(msgspec.Struct, frozen=True):
    """Calls of one hour, trunk and destination."""

    day: date
    hour: int  # of the clock in London
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
    """The days that a window touches: `starts[n]` is the first moment of `names[n]`; and their hours."""

    starts: tuple[datetime, ...]
    names: tuple[date, ...]
    hours: tuple[datetime, ...]
    hour_names: tuple[tuple[date, int], ...]

    def of(self, moment: datetime) -> date:
        """Return the day of a moment."""
        return self.names[max(bisect_right(self.starts, moment) - 1, 0)]


def cells_of(rows: Iterable[Any], days: Days, first: int, *, sqlite: bool) -> list[Cell]:
    """Return the cells of calls that came back as (time, ..., trunk, target, answered, seconds); the trunk is at `first`."""
    hour_of = _hour_of(days, sqlite=sqlite)
    found: dict[tuple[date, int, str, str], list[int]] = {}
    for row in rows:
        trunk, target, answered, seconds = row[first : first + 4]
        cell = (*hour_of(row[0]), trunk or "", _kind(target[:LONGEST_PREFIX] if target else ""))
        sums = found.get(cell)
        if sums is None:
            sums = found[cell] = [0, 0, 0]
        sums[0] += 1
        sums[1] += answered is not None
        sums[2] += seconds
    return [Cell(*cell, *sums) for cell, sums in sorted(found.items())]


@lru_cache(maxsize=4096)
def _kind(beginning: str) -> str:
    return destination_of(beginning).value


def gone_of(rows: Sequence[tuple[Any, str]], table: str, days: Days, *, sqlite: bool) -> Gone:
    """Return what went, of rows that came back as (time, key). On SQLite times are texts as stored."""
    if not rows:
        return Gone(table, Count(), (), b"")
    times = sorted(at for at, _ in rows)  # nearly in order already
    starts: Sequence[Any] = [_text(start) for start in days.starts] if sqlite else days.starts
    ends = [*(bisect_left(times, start) for start in starts[1:]), len(times)]
    counts = ((day, end - begin) for day, begin, end in zip(days.names, [0, *ends], ends, strict=False))
    oldest, newest = (datetime.fromisoformat(at).replace(tzinfo=UTC) if sqlite else at for at in (times[0], times[-1]))
    return Gone(table, Count(len(rows), oldest, newest), tuple((day, count) for day, count in counts if count), sorted_keys([key for _, key in rows]))


def _text(moment: datetime) -> str:
    """Return a moment as SQLite stores it."""
    return moment.replace(tzinfo=None).isoformat(" ", "microseconds")


def key_of(values: Sequence[Any]) -> str:
    """Return a row's key as one text."""
    return str(values[0]) if len(values) == 1 else ":".join(map(str, values))


def sorted_keys(keys: list[str]) -> bytes:
    """Return keys in order, one a line; sorts the list that it is given."""
    keys.sort()
    return "\n".join(keys).encode()


def _hour_of(days: Days, *, sqlite: bool) -> Callable[[Any], tuple[date, int]]:
    starts: Sequence[Any] = [_text(start) for start in days.hours] if sqlite else days.hours
    names = days.hour_names
    return lambda at: names[max(bisect_right(starts, at) - 1, 0)]  # a text without a fraction is before the same moment with one
