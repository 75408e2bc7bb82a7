"""How large batches are: so large that they are worth their overhead, so small that nobody waits for them."""

from __future__ import annotations

from threading import Event

_SMALLEST = 1_000  # below that a batch is mostly overhead
# SQLite has one writer; others wait for a gap and look for it ten times a second. One gap that they cannot miss beats many that they can.
_WORK = 0.4
_GAP = 0.11


class Gaps:
    """Lets SQLite's other writers in, now and then."""

    def __init__(self) -> None:
        self._worked = 0.0

    def after(self, seconds: float, stop: Event) -> None:
        """Count seconds in which nobody else could write; when they are many, wait for the others, or until `stop`."""
        self._worked += seconds
        if self._worked >= _WORK:
            stop.wait(_GAP)
            self._worked = 0.0


class Pace:
    """Finds the size of batches from how long they take."""

    def __init__(self, *, sqlite: bool, largest: int | None = None) -> None:
        self._aim = 0.12 if sqlite else 0.05  # seconds in a transaction
        self._largest = largest or (40_000 if sqlite else 16_000)
        self.size = min(5_000, self._largest)

    def took(self, seconds: float) -> None:
        """Learn from a batch: down at once, up step by step."""
        wanted = self.size * self._aim / max(seconds, 0.001)
        self.size = int(min(max(wanted, _SMALLEST), self.size * 1.5 + 1, self._largest))
