"""Days of London, slowly: the rule of British Summer Time written out, and windows walked day by day. Nothing of the product's calendar is used."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)


@lru_cache(maxsize=64)
def changes(year: int) -> tuple[datetime, datetime]:
    """Return when the clocks go forward and back: 01:00 UTC on the last Sundays of March and October (Summer Time Order 2002)."""
    ends = [datetime(year, month, 31, 1, tzinfo=UTC) for month in (3, 10)]
    while any(end.isoweekday() != 7 for end in ends):
        ends = [end if end.isoweekday() == 7 else end - DAY for end in ends]
    return ends[0], ends[1]


def day_of(moment: datetime) -> date:
    """Return London's date at a moment."""
    forward, back = changes(moment.year)
    return (moment + _HOUR if forward <= moment < back else moment).date()


@lru_cache(maxsize=8192)
def begins(day: date) -> datetime:
    """Return the first moment of a day in London: an hour before midnight UTC in summer."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return midnight - _HOUR if day_of(midnight - _HOUR) == day else midnight


@lru_cache(maxsize=65536)
def last_kept(day: date, months: int, days: int = 0) -> date:
    """Return the last day of a window that runs from a day: so many first-of-the-months on, then to the same day number or the month's end, then days."""
    at, passed = day, 0
    while passed < months:
        at += DAY
        passed += at.day == 1
    while months and at.day < day.day and (at + DAY).day != 1:
        at += DAY
    for _ in range(days):
        at += DAY
    return at


@lru_cache(maxsize=8192)
def year_end(day: date) -> date:
    """Return the 31 March that ends a day's financial year."""
    while (day.month, day.day) != (3, 31):
        day += DAY
    return day
