"""The one place for calendar arithmetic: periods, due dates and cutoffs, in Europe/London. Pure; no SQL computes a date.

Two engines disagree on `2024-02-29 + 12 months`, and `365 days` is not `12 months`, so every cutoff is computed here, by one rule:

    due date      = London date of the event + period, clamped to the end of the month
    deletable at  = 00:00 London on the day after the due date
    cutoff(now)   = the moment for which: event < cutoff  <=>  deletable_at(event) <= now

The cutoff is the exact inverse of the forward rule, never `now - period`, which is late at the ends of months.
Zone data come from the system, else from the package `tzdata`.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from ringfence.errors import Invalid

LONDON = ZoneInfo("Europe/London")
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_PERIOD = re.compile(r"P(?=[0-9])(?:(?P<weeks>[0-9]{1,4})W|(?:(?P<years>[0-9]{1,3})Y)?(?:(?P<months>[0-9]{1,4})M)?(?:(?P<days>[0-9]{1,5})D)?)")
_MEAN_MONTH = 146_097 / 4800  # days, over the 400 years after which the calendar repeats
_MONTHS_STRAY = 15  # days; no number of months strays so far from its mean
_LONGEST_MONTHS, _LONGEST_DAYS = 200 * 12, 36_600


class Period(msgspec.Struct, frozen=True):
    """A stretch of calendar time: months are added first, then days."""

    months: int = 0
    days: int = 0

    def __str__(self) -> str:
        """Return it as ISO 8601: whole years but the first as years."""
        years, months = divmod(self.months, 12) if self.months > 12 and self.months % 12 == 0 else (0, self.months)
        parts = ((years, "Y"), (months, "M"), (self.days, "D"))
        return "P" + ("".join(f"{count}{unit}" for count, unit in parts if count) or "0D")

    @property
    def words(self) -> str:
        """The period in plain words: '12 months', '6 years', '30 days'."""
        named = {"Y": "year", "M": "month", "D": "day"}
        found = re.findall(r"([0-9]+)([YMD])", str(self))
        return " and ".join(f"{count} {named[unit]}{'' if count == '1' else 's'}" for count, unit in found)


class YearEnd(msgspec.Struct, frozen=True):
    """The last day of an organisation's financial year, e.g. 31 March; a day past the month's end means its end."""

    month: int
    day: int

    def __str__(self) -> str:
        """Return it as MM-DD."""
        return f"{self.month:02d}-{self.day:02d}"

    def on_or_after(self, day: date) -> date:
        """Return the end of the financial year that `day` lies in."""
        end = _clamped(day.year, self.month, self.day)
        return end if end >= day else _clamped(day.year + 1, self.month, self.day)

    def on_or_before(self, day: date) -> date:
        """Return the newest end of a financial year that is not after `day`."""
        end = _clamped(day.year, self.month, self.day)
        return end if end <= day else _clamped(day.year - 1, self.month, self.day)


class Cutoff(msgspec.Struct, frozen=True):
    """What one run deletes up to, for one class: purge, preview and report share this object, so that they cannot disagree."""

    data_class: str  # a DataClass value
    policy: str  # the policy's key
    policy_version: int
    period: Period
    start: str  # the event the period runs from; a StartEvent value
    year_end: YearEnd | None  # set when the period runs from the end of that event's financial year
    at: datetime  # UTC; events before it are past their period
    computed_at: datetime  # UTC; the `now` it was computed for

    def reached(self, event: datetime) -> bool:
        """Tell whether the period of an event at `event` is over."""
        return event < self.at


class Relation(StrEnum):
    """How one period compares with another over every start day of the calendar."""

    SAME = "same"
    SHORTER = "shorter"  # on some days shorter, on none longer
    LONGER = "longer"
    MIXED = "mixed"  # shorter from some days, longer from others: 1 month and 30 days


def parse_period(text: str) -> Period:
    """Return the period that an ISO 8601 text names: `P12M`, `P6Y`, `P30D`, `P2W`, `P1Y6M`. No times of day, fractions or signs.

    Raises:
        Invalid: it is something else, or longer than 200 years.
    """
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise Invalid(f"{text!r} is not a period of calendar time", hint="write a number of years, months or days, as P6Y, P12M or P30D")
    count = {name: int(found or 0) for name, found in match.groupdict().items()}
    period = Period(months=12 * count["years"] + count["months"], days=7 * count["weeks"] + count["days"])
    if period.months > _LONGEST_MONTHS or period.days > _LONGEST_DAYS:
        raise Invalid(f"{text!r} is longer than 200 years", hint="write a period within a person's lifetime")
    return period


def parse_year_end(text: str) -> YearEnd:
    """Return the financial year's last day that `MM-DD` names.

    Raises:
        Invalid: no year has such a day.
    """
    match = re.fullmatch(r"([0-9]{2})-([0-9]{2})", text)
    month, day = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= month <= 12 or not 1 <= day <= monthrange(2000, month)[1]:
        raise Invalid(f"{text!r} is not the last day of a financial year", hint="write month and day, as 03-31")
    return YearEnd(month, day)


def local_date(moment: datetime) -> date:
    """Return the day in London at an aware moment: 23:30 UTC on 30 June is 1 July."""
    if moment.tzinfo is None:
        raise ValueError("a naive time has no date in London")
    return moment.astimezone(LONDON).date()


def midnight(day: date) -> datetime:
    """Return 00:00 London on `day`, in UTC. London's clocks never change at midnight, so it exists and is one moment."""
    return datetime.combine(day, time(), LONDON).astimezone(UTC)


def hours(day: date) -> tuple[tuple[datetime, int], ...]:
    """Return the first moment (UTC) of each hour of a London day, and what the clock says then: 23, 24 or 25 of them."""
    first, end = midnight(day), midnight(day + _DAY)
    starts = (first + number * _HOUR for number in range((end - first) // _HOUR))
    return tuple((start, start.astimezone(LONDON).hour) for start in starts)


def add(day: date, period: Period) -> date:
    """Return `day` + `period`: months first, clamped to the end of the month, then days."""
    year, month = divmod(day.year * 12 + day.month - 1 + period.months, 12)
    return _clamped(year, month + 1, day.day) + period.days * _DAY


def latest(limit: date, period: Period) -> date:
    """Return the last day `d` for which `add(d, period) <= limit`: the inverse of `add`, which never decreases."""
    limit -= period.days * _DAY
    year, month = divmod(limit.year * 12 + limit.month - 1 - period.months, 12)
    at_month_end = limit.day == monthrange(limit.year, limit.month)[1]
    return _clamped(year, month + 1, 31 if at_month_end else limit.day)


def due_date(event: datetime, period: Period, year_end: YearEnd | None = None) -> date:
    """Return the last London day on which something of `event` is still within its period.

    Args:
        event: when the period's start event happened, aware.
        period: how long it is kept from then.
        year_end: the period runs from the end of the event's financial year, when given.
    """
    started = local_date(event)
    return add(year_end.on_or_after(started) if year_end else started, period)


def deletable_at(event: datetime, period: Period, year_end: YearEnd | None = None) -> datetime:
    """Return the first moment (UTC) at which something of `event` may go: 00:00 London after its due date."""
    return midnight(due_date(event, period, year_end) + _DAY)


def cutoff(now: datetime, period: Period, year_end: YearEnd | None = None) -> datetime:
    """Return the moment (UTC) for which `event < cutoff` exactly when `deletable_at(event) <= now`."""
    last_due = latest(local_date(now) - _DAY, period)
    return midnight((year_end.on_or_before(last_due) if year_end else last_due) + _DAY)


@lru_cache(maxsize=256)
def compare(period: Period, other: Period) -> Relation:
    """Tell how `period` compares with `other`. Days against months that come near are tried from every day of a 400-year cycle."""
    if period.days == other.days or period.months == other.months:
        difference = (period.months - other.months) or (period.days - other.days)
        return Relation.SAME if not difference else Relation.SHORTER if difference < 0 else Relation.LONGER
    apart = _MEAN_MONTH * (period.months - other.months) + period.days - other.days
    if abs(apart) > _MONTHS_STRAY:
        return Relation.SHORTER if apart < 0 else Relation.LONGER
    first = date(2000, 1, 1).toordinal()
    days = (date.fromordinal(first + n) for n in range(146_097))
    signs = {(ends > others) - (ends < others) for ends, others in ((add(day, period), add(day, other)) for day in days)}
    if {-1, 1} <= signs:
        return Relation.MIXED
    return Relation.SHORTER if -1 in signs else Relation.LONGER if 1 in signs else Relation.SAME


def never_shorter(period: Period, other: Period) -> bool:
    """Tell whether `period` lasts at least as long as `other`, from whatever day both run."""
    return compare(period, other) in {Relation.SAME, Relation.LONGER}


def _clamped(year: int, month: int, day: int) -> date:
    return date(year, month, min(day, monthrange(year, month)[1]))
