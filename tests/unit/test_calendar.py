"""The calendar against a slow, obvious reference that uses neither its code nor the zone database."""

from __future__ import annotations

import subprocess
import sys
from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.calendar import (
    LONDON,
    Cutoff,
    Period,
    Relation,
    YearEnd,
    add,
    compare,
    cutoff,
    deletable_at,
    due_date,
    latest,
    local_date,
    midnight,
    never_shorter,
    parse_period,
    parse_year_end,
)
from ringfence.errors import Invalid

DAY = timedelta(days=1)
FIRST, LAST = date(1996, 1, 1), date(2396, 1, 1)  # 400 years under one rule of summer time

periods = st.one_of(
    st.builds(Period, months=st.integers(0, 120)),
    st.builds(Period, days=st.integers(0, 800)),
    st.builds(Period, months=st.integers(0, 24), days=st.integers(0, 60)),
    st.sampled_from([Period(months=1), Period(months=12), Period(months=72), Period(days=30), Period()]),
)
moments = st.datetimes(datetime(1996, 1, 1), datetime(2395, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001  hypothesis adds the zone
# Around the moments where mistakes live: month ends, leap days, both changes of the clock, midnight in London.
edges = st.builds(
    lambda year, day, seconds: datetime(year, day[0], day[1], tzinfo=UTC) + timedelta(seconds=seconds),
    st.integers(1997, 2394),
    st.sampled_from([(2, 28), (3, 1), (3, 31), (4, 30), (1, 31), (12, 31), (6, 30), (10, 31), (3, 25), (3, 30), (10, 25), (10, 30)]),
    st.integers(-2 * 86_400, 2 * 86_400),
)
year_ends = st.one_of(st.none(), st.sampled_from([YearEnd(3, 31), YearEnd(4, 5), YearEnd(12, 31), YearEnd(2, 29), YearEnd(2, 28)]))


def last_sunday(year: int, month: int) -> date:
    day = date(year, month, 31)
    while day.weekday() != 6:
        day -= DAY
    return day


def naive_offset(moment: datetime) -> timedelta:
    """British summer time since 1996: from 01:00 UTC on the last Sunday of March to 01:00 UTC on the last of October."""
    begin, end = (datetime.combine(last_sunday(moment.year, month), time(1), UTC) for month in (3, 10))
    return timedelta(hours=1) if begin <= moment < end else timedelta()


def naive_due(started: date, period: Period) -> date:
    """Walk day by day: first over as many ends of months as the period has, then to the same day of the month or its end, then on by days."""
    day, crossed = started, 0
    if period.months:
        while crossed < period.months:
            day += DAY
            crossed += day.day == 1
        while day.day < started.day and (day + DAY).day != 1:
            day += DAY
    for _ in range(period.days):
        day += DAY
    return day


def naive_year_end(started: date, year_end: YearEnd | None) -> date:
    day = started
    while year_end and (day.month, day.day) != (year_end.month, min(year_end.day, monthrange(day.year, year_end.month)[1])):
        day += DAY
    return day


def naive_deletable(event: datetime, period: Period, year_end: YearEnd | None) -> datetime:
    after = naive_due(naive_year_end((event + naive_offset(event)).date(), year_end), period) + DAY
    at = datetime.combine(after, time(), UTC)
    return at - naive_offset(at)  # the clock changes at 01:00 UTC: midnight has the offset of the hours before


@settings(max_examples=150, deadline=None)
@given(event=st.one_of(moments, edges), period=periods, year_end=year_ends)
def test_the_forward_rule_is_that_of_the_reference(event: datetime, period: Period, year_end: YearEnd | None) -> None:
    assert deletable_at(event, period, year_end) == naive_deletable(event, period, year_end)


@settings(max_examples=150, deadline=None)
@given(now=st.one_of(moments, edges), period=periods, year_end=year_ends, seconds=st.integers(-5 * 86_400, 5 * 86_400), micro=st.sampled_from([-1, 0, 1]))
def test_the_cutoff_is_the_exact_inverse(now: datetime, period: Period, year_end: YearEnd | None, seconds: int, micro: int) -> None:
    at = cutoff(now, period, year_end)
    nearby = (at - timedelta(microseconds=1), at, at + timedelta(microseconds=1), at + timedelta(seconds=seconds, microseconds=micro))
    for event in nearby:
        assert (event < at) == (naive_deletable(event, period, year_end) <= now), event


@pytest.mark.parametrize("period", [Period(months=1), Period(months=12), Period(months=13, days=3)], ids=str)
def test_latest_inverts_add_on_every_day_of_400_years(period: Period) -> None:
    days = [date.fromordinal(number) for number in range(FIRST.toordinal(), LAST.toordinal())]
    assert all(add(day, period) <= limit < add(day + DAY, period) for limit in days for day in (latest(limit, period),))


@pytest.mark.parametrize(
    ("day", "period", "due"),
    [
        ("2024-02-29", "P12M", "2025-02-28"),  # SQLite's own arithmetic says 1 March
        ("2024-02-29", "P48M", "2028-02-29"),
        ("2023-02-28", "P12M", "2024-02-28"),
        ("2026-03-31", "P1M", "2026-04-30"),
        ("2026-01-31", "P1M", "2026-02-28"),
        ("2024-01-31", "P1M", "2024-02-29"),
        ("2026-08-31", "P6M", "2027-02-28"),
        ("2026-12-31", "P6Y", "2032-12-31"),
        ("2100-02-28", "P12M", "2101-02-28"),
        ("1999-12-31", "P2M", "2000-02-29"),
        ("2026-11-22", "P30D", "2026-12-22"),
        ("2026-01-31", "P1M1D", "2026-03-01"),
    ],
)
def test_ends_of_months_and_leap_days(day: str, period: str, due: str) -> None:
    event = datetime.combine(date.fromisoformat(day), time(12), LONDON)
    assert due_date(event, parse_period(period)) == date.fromisoformat(due)


def test_late_in_the_evening_of_summer_it_is_tomorrow_in_london() -> None:
    assert local_date(datetime(2026, 6, 30, 23, 30, tzinfo=UTC)) == date(2026, 7, 1)
    assert local_date(datetime(2026, 12, 31, 23, 30, tzinfo=UTC)) == date(2026, 12, 31)
    assert deletable_at(datetime(2026, 6, 30, 23, 30, tzinfo=UTC), Period(months=12)) == datetime(2027, 7, 1, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("event", "at"),
    [
        (datetime(2025, 3, 29, 12, tzinfo=UTC), datetime(2026, 3, 30, 0, tzinfo=UTC) - timedelta(hours=1)),  # the day the clock went forward was the last
        (datetime(2025, 3, 28, 12, tzinfo=UTC), datetime(2026, 3, 29, 0, tzinfo=UTC)),
        (datetime(2025, 10, 24, 12, tzinfo=UTC), datetime(2026, 10, 24, 23, tzinfo=UTC)),
        (datetime(2025, 10, 25, 12, tzinfo=UTC), datetime(2026, 10, 26, 0, tzinfo=UTC)),  # a day of 25 hours lies between
        (datetime(2025, 10, 26, 0, 30, tzinfo=UTC), datetime(2026, 10, 27, 0, tzinfo=UTC)),  # 01:30, the first time round
        (datetime(2025, 10, 26, 1, 30, tzinfo=UTC), datetime(2026, 10, 27, 0, tzinfo=UTC)),  # 01:30, the second
    ],
)
def test_both_changes_of_the_clock(event: datetime, at: datetime) -> None:
    assert deletable_at(event, Period(months=12)) == at
    assert cutoff(at, Period(months=12)) > event >= cutoff(at - timedelta(microseconds=1), Period(months=12))


def test_twelve_months_are_not_365_days() -> None:
    event = datetime(2023, 6, 1, 12, tzinfo=UTC)
    assert deletable_at(event, parse_period("P12M")) - deletable_at(event, parse_period("P365D")) == DAY


def test_from_the_end_of_the_financial_year() -> None:
    end = YearEnd(3, 31)
    assert due_date(datetime(2026, 3, 31, 22, tzinfo=UTC), Period(months=72), end) == date(2032, 3, 31)
    assert due_date(datetime(2026, 3, 31, 23, 30, tzinfo=UTC), Period(months=72), end) == date(2033, 3, 31)  # already 1 April in London
    assert YearEnd(2, 29).on_or_after(date(2026, 3, 1)) == date(2027, 2, 28)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        local_date(datetime(2026, 1, 1))  # noqa: DTZ001


def test_every_midnight_of_400_years_is_one_moment() -> None:
    for number in range(FIRST.toordinal(), LAST.toordinal(), 7):
        day = date.fromordinal(number)
        assert local_date(midnight(day)) == day != local_date(midnight(day) - timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("text", "period", "words"),
    [
        ("P12M", Period(12), "12 months"),
        ("P1Y", Period(12), "12 months"),
        ("P6Y", Period(72), "6 years"),
        ("P75M", Period(75), "75 months"),
        ("P30D", Period(0, 30), "30 days"),
        ("P2W", Period(0, 14), "14 days"),
        ("P1Y6M15D", Period(18, 15), "18 months and 15 days"),
        ("P1M", Period(1), "1 month"),
        ("P0D", Period(), "0 days"),
    ],
)
def test_periods(text: str, period: Period, words: str) -> None:
    assert parse_period(text) == period
    assert period.words == words
    assert parse_period(str(period)) == period


@pytest.mark.parametrize(
    "text", ["", "P", "12M", "p12m", "P12", "PT1H", "P1DT1H", "P1.5Y", "P-1M", "-P1M", "P1M1Y", "P1Y1W", " P1M", "P1M\n", "P٣M", "P201Y", "P99999D", "monthly"]
)
def test_what_is_no_period(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_period(text)
    assert caught.value.hint


@settings(max_examples=100)
@given(st.text(max_size=12))
def test_any_text_is_a_period_or_invalid(text: str) -> None:
    try:
        period = parse_period(text)
    except Invalid:
        return
    assert parse_period(str(period)) == period


@pytest.mark.parametrize("text", ["", "3-31", "02-30", "13-01", "00-10", "03-00", "0331", "03-31 "])
def test_what_is_no_end_of_a_financial_year(text: str) -> None:
    with pytest.raises(Invalid):
        parse_year_end(text)


@pytest.mark.parametrize("text", ["03-31", "02-29", "12-31"])
def test_ends_of_financial_years(text: str) -> None:
    assert str(parse_year_end(text)) == text


@pytest.mark.parametrize(
    ("period", "other", "relation"),
    [
        ("P12M", "P1Y", Relation.SAME),
        ("P12M", "P13M", Relation.SHORTER),
        ("P31D", "P30D", Relation.LONGER),
        ("P1M", "P30D", Relation.MIXED),
        ("P1M", "P31D", Relation.SHORTER),
        ("P1M", "P28D", Relation.LONGER),
        ("P12M", "P365D", Relation.LONGER),
        ("P12M", "P366D", Relation.SHORTER),
        ("P6Y", "P90D", Relation.LONGER),
        ("P30D", "P6Y", Relation.SHORTER),
    ],
)
def test_periods_compare(period: str, other: str, relation: Relation) -> None:
    assert compare(parse_period(period), parse_period(other)) is relation
    assert never_shorter(parse_period(period), parse_period(other)) is (relation in {Relation.SAME, Relation.LONGER})


@settings(max_examples=100, deadline=None)
@given(months=st.integers(0, 2400), start=st.dates(date(1996, 1, 1), date(2396, 1, 1)))
def test_no_number_of_months_strays_so_far_that_the_short_cut_is_wrong(months: int, start: date) -> None:
    assert abs((add(start, Period(months)) - start).days - months * 146_097 / 4800) < 7


def test_a_cutoff_says_what_it_reached() -> None:
    now = datetime(2026, 11, 22, 9, tzinfo=UTC)
    at = cutoff(now, Period(12))
    found = Cutoff("call_log", "officenumber", 1, Period(12), "call_started", None, at, now)
    assert found.at == datetime(2025, 11, 22, tzinfo=UTC)
    assert [found.reached(at - timedelta(microseconds=1)), found.reached(at)] == [True, False]
    with pytest.raises(AttributeError):
        found.at = now  # type: ignore[misc]


def test_zone_data_come_with_the_product(tmp_path: object) -> None:
    code = "import zoneinfo; zoneinfo.reset_tzpath(()); from retention.calendar import LONDON; print(LONDON.key)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env={"PYTHONTZPATH": str(tmp_path)})
    assert (done.stdout.strip(), done.returncode) == ("Europe/London", 0), done.stderr
    assert ZoneInfo("Europe/London") is LONDON
