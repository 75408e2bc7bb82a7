"""When a run must not go on without a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from retention.purge.aggregates import joined
from retention.purge.brakes import APART, Past, clock, future, usual_per_day, volume
from ringfence.destinations import PREFIXES, Destination, destination_of
from ringfence.models import CallAggregate
from ringfence.queries.aggregates import OTHER

NOW = datetime(2026, 11, 20, 3, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def causes(*found: object) -> list[str]:
    return [getattr(brake, "cause", "") for brakes in found for brake in brakes]  # type: ignore[attr-defined]


def test_a_clock_that_agrees_is_fine() -> None:
    assert clock(NOW, NOW + APART, NOW - DAY, NOW - DAY) == []
    assert clock(NOW, NOW, None, None) == []


def test_clocks_that_differ() -> None:
    assert causes(clock(NOW, NOW + timedelta(minutes=6), None, None), clock(NOW, NOW - timedelta(minutes=6), None, None)) == ["clock_apart"] * 2


def test_a_clock_that_went_back() -> None:
    assert causes(clock(NOW, NOW, NOW + timedelta(seconds=1), None)) == ["clock_back"]


def test_a_clock_that_was_set_ahead() -> None:
    assert causes(clock(NOW, NOW, None, NOW - 32 * DAY)) == ["clock_ahead"]


def test_rows_of_the_future() -> None:
    assert future(NOW, "call_log", NOW + APART) == future(NOW, "call_log", None) == []
    assert causes(future(NOW, "call_log", NOW + timedelta(hours=1))) == ["future_rows"]


def history(*rows: int) -> list[Past]:
    """Past runs, newest first, a day apart."""
    return [Past(NOW - (number + 1) * DAY, count) for number, count in enumerate(rows)]


def test_volume() -> None:
    assert volume("call_log", 10**9, NOW, []) == []  # nothing to compare with
    assert volume("call_log", 10**9, NOW, history(5)) == []  # one run says nothing: it may have taken years
    assert volume("call_log", 14_000, NOW, history(5_000, 4_000, 6_000, 5_000)) == []
    assert causes(volume("call_log", 16_000, NOW, history(5_000, 4_000, 6_000, 5_000))) == ["volume"]
    assert volume("call_log", 1_000, NOW, history(0, 0, 0)) == []  # so few are always fine
    assert causes(volume("call_log", 1_001, NOW, history(0, 0, 0))) == ["volume"]


def test_days_that_were_missed_are_made_good() -> None:
    assert volume("call_log", 50_000, NOW + 10 * DAY, history(5_000, 5_000, 5_000)) == []


def test_usual_is_the_median_a_day() -> None:
    assert usual_per_day([Past(NOW, 100), Past(NOW - 2 * DAY, 30), Past(NOW - 3 * DAY, 10**6)]) == 40.0
    assert usual_per_day([Past(NOW, 5), Past(NOW, 7)]) is None  # the cutoff did not move


_CELL = st.tuples(st.integers(-1, 2), st.sampled_from(["a", "b", "c", "d"]), st.sampled_from(list(Destination)), st.integers(1, 40))
CELLS = st.lists(_CELL, unique_by=lambda cell: cell[:3], max_size=20)


@settings(max_examples=200)
@given(CELLS)
def test_no_small_cell_is_left_and_no_call_is_lost(found: list[tuple[int, str, Destination, int]]) -> None:
    cells = [_cell(hour, trunk, kind.value, n, n, 9 * n) for hour, trunk, kind, n in found]
    rows = joined(cells)
    assert sum(row[3] for row in rows) == sum(cell.calls for cell in cells)
    named = [row for row in rows if row[1] != OTHER]
    assert all(row[3] >= 5 for row in named)
    assert len({row[:3] for row in rows}) == len(rows)
    for row in rows:
        if row[1] == OTHER and row[3] < 5:
            assert (row[4:], named) == ((None, None), [])  # then the day's calls are all there is to know
    known = sum(row[5] for row in rows if row[5] is not None)
    assert known == 9 * sum(row[3] for row in rows if row[4] is not None)
    assert joined([_cell(*row) for row in rows]) == rows


def test_joining_again_changes_nothing() -> None:
    once = joined([_cell(9, trunk, "mobile", n, n, n) for trunk, n in (("a", 2), ("b", 3))])
    assert once == joined([_cell(*row) for row in once]) == [(-1, OTHER, OTHER, 5, 5, 5)]


def test_hours_are_joined_before_trunks() -> None:
    """Nine has enough; ten and eleven are shown together; no call of the trunk can be had by subtraction."""
    found = joined([_cell(hour, "a", "mobile", n, n, n) for hour, n in ((9, 7), (10, 2), (11, 4))])
    assert found == [(-1, "a", "mobile", 6, 6, 6), (9, "a", "mobile", 7, 7, 7)]
    assert joined([_cell(hour, "a", "mobile", n, n, n) for hour, n in ((9, 7), (10, 2), (12, 30))]) == [
        (-1, "a", "mobile", 9, 9, 9),
        (12, "a", "mobile", 30, 30, 30),
    ]


def _cell(hour: int, trunk: str, destination: str, calls: int, answered: int | None, seconds: int | None) -> CallAggregate:
    return CallAggregate(day=NOW.date(), hour=hour, trunk=trunk, destination=destination, calls=calls, answered=answered, billable_seconds=seconds)


def test_kinds_of_destination() -> None:
    known = {
        None: Destination.NONE,
        "": Destination.NONE,
        "desk-12": Destination.PHONE,
        "+447700900123": Destination.MOBILE,
        "+447624123456": Destination.MOBILE,
        "+447012345678": Destination.SPECIAL,
        "+442079460123": Destination.LANDLINE,
        "+443001234567": Destination.LANDLINE,
        "+445600123456": Destination.LANDLINE,
        "+448081570123": Destination.FREEPHONE,
        "+448701234567": Destination.SPECIAL,
        "+449098790123": Destination.SPECIAL,
        "+33123456789": Destination.INTERNATIONAL,
    }
    assert {address: destination_of(address) for address in known} == known


@given(st.sampled_from([prefix for prefix, _ in PREFIXES]), st.text("0123456789", min_size=4, max_size=8))
def test_the_beginning_of_a_number_tells_its_kind(prefix: str, rest: str) -> None:
    """PostgreSQL groups calls by the first five characters, seven inside 076."""
    number = prefix + rest
    assert destination_of(number[: 7 if number.startswith("+4476") else 5]) is destination_of(number)
