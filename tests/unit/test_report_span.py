"""The period of a report: what people write, and what cannot be one."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.calendar import midnight
from retention.report.span import parse_span
from ringfence.errors import Invalid

NOW = datetime(2026, 11, 20, 3, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "first", "end"),
    [
        ("2026-11", date(2026, 11, 1), date(2026, 12, 1)),
        ("2025", date(2025, 1, 1), date(2026, 1, 1)),
        ("2026-01..2026-10", date(2026, 1, 1), date(2026, 11, 1)),
        ("2024..2025-02", date(2024, 1, 1), date(2025, 3, 1)),
        (" 2025-12 ", date(2025, 12, 1), date(2026, 1, 1)),
        (None, date(2025, 11, 20), date(2026, 11, 21)),
    ],
)
def test_a_period_is_of_whole_days_in_london(text: str | None, first: date, end: date) -> None:
    span = parse_span(text, NOW)
    assert (span.first, span.end) == (first, end)
    assert (span.begins_at, span.ends_at) == (midnight(first), min(midnight(end), NOW))


def test_twelve_months_back_from_a_leap_day() -> None:
    assert parse_span(None, datetime(2028, 2, 29, 12, tzinfo=UTC)).first == date(2027, 2, 28)


@pytest.mark.parametrize(
    "text", ["", "now", "2026-13", "2026-1", "26", "2026-02..2026-01", "2026..", "..2026", "2027", "2026-12", "1999", "9999", "2026-11-01", "٢٠٢٦"]
)
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_span(text, NOW)
    assert caught.value.hint


@given(st.text(st.sampled_from("0123456789-. ")) | st.text())
def test_whatever_people_write_gives_a_period_or_an_error(text: str) -> None:
    try:
        span = parse_span(text, NOW)
    except Invalid:
        return
    assert span.first < span.end
    assert span.begins_at < span.ends_at <= NOW
