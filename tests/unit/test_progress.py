from __future__ import annotations

from datetime import UTC, datetime, timedelta

from retention.purge.executor import Progress
from retention.purge.progress import Teller, describe
from ringfence.clock import FixedClock

START = datetime(2026, 11, 20, 3, 30, tzinfo=UTC)


def test_it_says_rows_rate_and_time_left() -> None:
    half = Progress("call_log", "recommended", 1_200_000, 1_200_000, 0.1, 600_000)
    assert describe(half, 20.0) == "call_log (recommended): 600,000 of 1,200,000 rows, 30,000 a second, 20 s left"
    slow = Progress("call_log", "recommended", 10, 36_000, 0.1, 10)
    assert describe(slow, 1.0).endswith("10 a second, 60 min left")
    assert describe(slow, 10.0).endswith("1 a second, 10 h 0 min left")
    assert describe(Progress("call_log", "recommended", 0, 5, 0.0), 0.0) == "call_log (recommended): 0 of 5 rows, 0 a second"


def test_a_log_gets_a_line_every_ten_seconds_and_a_terminal_one_that_changes() -> None:
    clock, lines, screen = FixedClock(START), list[str](), list[str]()
    teller, on_terminal = Teller(clock, lines.append, terminal=False), Teller(clock, screen.append, terminal=True)
    for second in range(1, 31):
        clock.set(START + timedelta(seconds=second))
        for each in (teller, on_terminal):
            each(Progress("call_log", "recommended", second * 200, 3_000, 1.0, second * 100))
    for each in (teller, on_terminal):
        each.end()
    assert (len(lines), lines[-1]) == (3, "call_log (recommended): 3,000 of 3,000 rows, 100 a second, 0 s left\n")
    assert (len(screen), screen[0][0], screen[-1]) == (31, "\r", "\n")


def test_a_quick_run_says_nothing() -> None:
    clock, screen = FixedClock(START), list[str]()
    teller = Teller(clock, screen.append, terminal=True)
    teller(Progress("call_log", "recommended", 5, 5, 0.1, 5))
    teller.end()
    assert screen == []
