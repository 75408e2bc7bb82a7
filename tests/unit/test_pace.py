from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ari_app.pace import Brake, Repeats

GAPS = st.lists(st.floats(0, 2, allow_nan=False), min_size=1, max_size=200)


@settings(max_examples=100)
@given(GAPS, st.floats(0.5, 500), st.integers(0, 50))
def test_the_brake_never_lets_more_through_than_rate_and_burst(gaps: list[float], rate: float, burst: int) -> None:
    brake, now, allowed = Brake(rate, burst), 100.0, 0
    for gap in gaps:
        now += gap
        allowed += brake.allow(now)
    assert allowed <= max(burst, 1) + rate * (now - 100.0 - gaps[0]) + 1e-6
    assert allowed + brake.refused == len(gaps)


@settings(max_examples=100)
@given(st.lists(st.floats(0.1, 5, allow_nan=False), max_size=100))
def test_the_brake_lets_everything_through_that_comes_slower_than_the_rate(gaps: list[float]) -> None:
    brake, now = Brake(10.1, 1), 0.0
    assert brake.allow(now)
    for gap in gaps:
        now += gap
        assert brake.allow(now)


def test_the_burst_comes_back_with_time_and_a_clock_that_stands_still_gives_nothing() -> None:
    brake = Brake(10, 3)
    assert [brake.allow(5.0) for _ in range(5)] == [True, True, True, False, False]
    assert [brake.allow(5.11), brake.allow(5.11)] == [True, False]
    assert [brake.allow(1000.0) for _ in range(4)] == [True, True, True, False]
    assert brake.refused == 4


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.sampled_from(["", "+441174960100", "+441174960101"]), st.sampled_from(["+442079460100", "+442079460101"]), st.floats(0, 4)), max_size=80
    )
)
def test_repeats_count_the_calls_of_a_pair_within_the_window(calls: list[tuple[str, str, float]]) -> None:
    repeats, now = Repeats(10.0), 0.0
    seen: list[tuple[str, str, float]] = []
    for caller, called, gap in calls:
        now += gap
        expected = sum(1 for one in seen if caller and one[:2] == (caller, called) and one[2] >= now - 10.0)
        assert repeats.count(caller, called, now) == expected
        seen.append((caller, called, now))


def test_repeats_are_bounded_and_forget_the_least_recent_pair() -> None:
    repeats = Repeats(10.0, keep=2)
    assert [repeats.count(caller, "x", 0.0) for caller in "abacab"] == [0, 0, 1, 0, 2, 0]
    for _ in range(3000):
        last = repeats.count("a", "x", 1.0)
    assert last == 1000  # more than any limit; it holds no more moments than that
