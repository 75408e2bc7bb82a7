"""Does the time of day move as fast as time passes? On a store of one machine nothing else notices a clock that is set ahead while everything runs."""

from __future__ import annotations

from threading import Lock

from retention.purge import brakes
from retention.purge.brakes import Brake
from ringfence.clock import Clock


class Steady:
    """Compares the clock with a count of seconds that nobody can set, from look to look."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._now, self._count = clock.now(), clock.monotonic()
        self._found: list[Brake] = []

    def look(self) -> list[Brake]:
        """Return the jumps that were found and not yet written down."""
        with self._lock:
            now, count = self._clock.now(), self._clock.monotonic()
            self._found += brakes.jump((now - self._now).total_seconds(), count - self._count)
            self._now, self._count = now, count
            return list(self._found)

    def written(self, found: list[Brake]) -> None:
        """Note that jumps are in the store."""
        with self._lock:
            self._found = [each for each in self._found if each not in found]
