from __future__ import annotations

from threading import Event

from hypothesis import given
from hypothesis import strategies as st

from retention.purge.pace import Gaps, Pace


class Waited(Event):
    """An event that is never set and notes how long it was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return False


@given(st.lists(st.floats(0.001, 0.3), max_size=60))
def test_whoever_waits_for_sqlite_is_let_in_before_many_batches_have_passed(batches: list[float]) -> None:
    gaps, stop, worked = Gaps(), Waited(), 0.0
    for seconds in batches:
        before = len(stop.waits)
        gaps.after(seconds, stop)
        worked = 0.0 if len(stop.waits) > before else worked + seconds
        assert worked < 0.4
    assert all(wait > 0.1 for wait in stop.waits)  # a waiting connection looks every tenth of a second


@given(st.booleans(), st.lists(st.floats(0.0001, 5), max_size=60))
def test_a_batch_that_takes_too_long_is_followed_by_a_smaller_one(sqlite: bool, batches: list[float]) -> None:
    pace = Pace(sqlite=sqlite)
    for seconds in batches:
        before = pace.size
        pace.took(seconds)
        if seconds > 0.121:
            assert pace.size < before or pace.size == 1_000
        assert pace.size <= before * 1.5 + 1


def test_batches_shrink_at_once_and_grow_step_by_step() -> None:
    pace = Pace(sqlite=False)
    pace.took(0.25)
    assert pace.size == 1_000
    pace.took(0.001)
    assert pace.size == 1_501
    pace.took(9.0)
    assert pace.size == 1_000
    for _ in range(20):
        pace.took(0.001)
    assert pace.size == 16_000
    assert Pace(sqlite=True, largest=40).size == 40
