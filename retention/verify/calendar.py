"""The rule of the calendar, told again and slowly: an auditor does not take the product's word for its own arithmetic.

What happened on a day of London is kept for the period after that day (months first, clamped to the month's end, then days), to the end of the
last day. A class that is kept from the end of its financial year starts counting there.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")
_PERIOD = re.compile(r"P(?=[0-9])(?:([0-9]{1,3})Y)?(?:([0-9]{1,4})M)?(?:([0-9]{1,4})W)?(?:([0-9]{1,5})D)?")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_DAY = timedelta(days=1)


def parse_period(text: str) -> tuple[int, int]:
    """Return an ISO 8601 period as (months, days).

    Raises:
        ValueError: it is none, or has hours.
    """
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise ValueError("not a period of years, months, weeks or days")
    years, months, weeks, days = (int(part or 0) for part in match.groups())
    return years * 12 + months, weeks * 7 + days


def parse_year_end(text: str) -> tuple[int, int]:
    """Return the month and day of MM-DD.

    Raises:
        ValueError: no year has such a day.
    """
    if len(text) != 5:
        raise ValueError("not a month and a day")
    found = date.fromisoformat(f"2000-{text}")
    return found.month, found.day


def parse_moment(text: str) -> datetime:
    """Return the moment that an entry writes as UTC with six decimals and Z.

    Raises:
        ValueError: it is written otherwise.
    """
    if not _MOMENT.fullmatch(text):
        raise ValueError("not a moment in UTC with six decimals and Z")
    return datetime.fromisoformat(text)


def day_of(moment: datetime) -> date:
    """Return London's date at a moment."""
    return moment.astimezone(LONDON).date()


def last_kept_day(day: date, months: int, days: int, year_end: str | None) -> date:
    """Return the last day on which what happened on `day` is kept.

    Args:
        day: the day in London.
        months: of the period.
        days: of the period.
        year_end: MM-DD of the financial year's last day when the period counts from there.
    """
    if year_end is not None:
        month, of_month = parse_year_end(year_end)
        ends = [_clamped(year, month, of_month) for year in (day.year, day.year + 1)]
        day = ends[0] if day <= ends[0] else ends[1]
    month_index = day.year * 12 + (day.month - 1) + months
    return _clamped(month_index // 12, month_index % 12 + 1, day.day) + days * _DAY


def cutoff(as_of: datetime, period: str, year_end: str | None) -> datetime:
    """Return the moment before which everything may be deleted at `as_of`: the start of the first day that must still be kept.

    The days are tried one by one, from one that is surely over.
    """
    months, days = parse_period(period)
    today = day_of(as_of)
    month_index = today.year * 12 + (today.month - 1) - months
    day = _clamped(month_index // 12, month_index % 12 + 1, 1) - (days + (370 if year_end else 5)) * _DAY
    while last_kept_day(day, months, days, year_end) < today:
        day += _DAY
    return datetime.combine(day, time_of_day(), LONDON).astimezone(UTC)


def _clamped(year: int, month: int, day: int) -> date:
    following = date(year + month // 12, month % 12 + 1, 1)
    return date(year, month, min(day, (following - _DAY).day))
