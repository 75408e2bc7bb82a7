"""What a long run says while it works: rows, rate, and how long the class in hand still takes."""

from __future__ import annotations

from collections.abc import Callable

from retention.purge.executor import Progress
from ringfence.clock import Clock

_EVERY = 10.0  # seconds between lines of a log; a terminal's line is written anew with each batch
_SMALL = 0.2


class Teller:
    """Tells how far a run is.

    Args:
        clock: measures.
        write: takes what is to be printed, line ends included.
        terminal: the line can be written over.
    """

    def __init__(self, clock: Clock, write: Callable[[str], None], *, terminal: bool) -> None:
        self._clock, self._write, self._terminal = clock, write, terminal
        self._class: tuple[str, str] | None = None
        self._began = self._told = clock.monotonic()
        self._width = 0

    def __call__(self, progress: Progress) -> None:
        """Take in a batch."""
        now = self._clock.monotonic()
        if self._class != (progress.data_class, progress.policy):
            self._class, self._began = (progress.data_class, progress.policy), now - progress.seconds
        if now - self._told < (_SMALL if self._terminal else _EVERY):
            return
        self._told = now
        line = describe(progress, now - self._began)
        self._write(f"\r{line:{self._width}}" if self._terminal else f"{line}\n")
        self._width = max(self._width, len(line))

    def end(self) -> None:
        """Leave the line."""
        if self._terminal and self._width:
            self._write("\n")


def describe(progress: Progress, seconds: float) -> str:
    """Return how far a class is, `seconds` after it began. Pure."""
    rate = progress.own / seconds if seconds > 0 else 0.0
    left = max(progress.due - progress.own, 0)
    time_left = f", {_words(left / rate)} left" if rate else ""
    return f"{progress.data_class} ({progress.policy}): {progress.own:,} of {progress.due:,} rows, {rate:,.0f} a second{time_left}"


def _words(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 120 else f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
