"""How large batches are: so large that they are worth their overhead, so small that nobody waits for them."""

from __future__ import annotations

from threading import Event

_SMALLEST = 1_000  # below that a batch is mostly overhead


class Pace:
    """Finds the size of batches from how long they take."""

    def __init__(self, *, sqlite: bool, largest: int | None = None) -> None:
        self._aim = 0.10 if sqlite else 0.045  # seconds in a transaction
        self._largest = largest or (40_000 if sqlite else 12_000)
        self.size = min(5_000, self._largest)
        self._rest = 0.025 if sqlite else 0.0  # SQLite's one writer: others wait for a gap, and look for it ten times a second

    def took(self, seconds: float) -> None:
        """Learn from a batch: down at once, up step by step."""
        wanted = self.size * self._aim / max(seconds, 0.001)
        self.size = int(min(max(wanted, _SMALLEST), self.size * 1.5 + 1, self._largest))

    def rest(self, stop: Event) -> None:
        """Let others in."""
        if self._rest:
            stop.wait(self._rest)
