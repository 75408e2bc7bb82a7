"""The period of a report: a month, a year, or months from .. to; days of London."""

from __future__ import annotations

import re
from datetime import date, datetime

import msgspec

from retention.calendar import Period, add, latest, local_date, midnight
from ringfence.errors import Invalid

_PART = re.compile(r"(?P<year>[0-9]{4})(?:-(?P<month>0[1-9]|1[0-2]))?")
_HINT = "write a month (2026-11), a year (2026), or from..to (2026-01..2026-10)"
_FIRST_YEAR = 2000


class Span(msgspec.Struct, frozen=True):
    """Days from `first` to before `end`, in London."""

    first: date
    end: date  # the first day after it
    begins_at: datetime  # UTC
    ends_at: datetime  # UTC; never after the moment of the report

    def __str__(self) -> str:
        """Return it in words."""
        last = date.fromordinal(self.end.toordinal() - 1)
        return f"{self.first.isoformat()} to {last.isoformat()}"

    def holds(self, moment: datetime) -> bool:
        """Tell whether a moment lies in it."""
        return self.begins_at <= moment < self.ends_at


def parse_span(text: str | None, now: datetime) -> Span:
    """Return the period that a text names; without one, the last twelve months up to `now`.

    Raises:
        Invalid: it names none, it ends before it begins, or it has not begun.
    """
    today = local_date(now)
    if text is None:
        return _span(latest(today, Period(months=12)), date.fromordinal(today.toordinal() + 1), now)
    start, between, last = text.strip().partition("..")
    begins = _part(start)
    ends = _part(last) if between else begins
    if begins is None or ends is None:
        raise Invalid(f"{text[:40]!r} is not a period", hint=_HINT)
    if ends[1] <= begins[0]:
        raise Invalid(f"{text[:40]!r} ends before it begins", hint=_HINT)
    if begins[0] > today:
        raise Invalid(f"{text[:40]!r} has not begun", hint="name a period that has")
    return _span(begins[0], ends[1], now)


def _span(first: date, end: date, now: datetime) -> Span:
    return Span(first, end, midnight(first), min(midnight(end), now))


def _part(text: str) -> tuple[date, date] | None:
    """Return the first day of a month or year, and the first day after it."""
    match = _PART.fullmatch(text)
    if match is None or not _FIRST_YEAR <= int(match["year"]) <= 9998:
        return None
    first = date(int(match["year"]), int(match["month"] or 1), 1)
    return first, add(first, Period(months=1 if match["month"] else 12))
