"""What went: the value objects that deletions return, and what is made of rows that came back."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec

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
