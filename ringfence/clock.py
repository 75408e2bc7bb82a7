"""The one clock. Aware UTC only; nothing else in the project calls `datetime.now` or `time.time`."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What a module that needs the time takes as an argument."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps back."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps back."""
        return time.monotonic()


class FixedClock:
    """A clock that tests move by hand."""

    def __init__(self, at: datetime) -> None:
        if at.tzinfo is None:
            raise ValueError("a clock needs an aware time")
        self._at = at.astimezone(UTC)
        self._start = self._at

    def now(self) -> datetime:
        """Return the moment it was set to."""
        return self._at

    def monotonic(self) -> float:
        """Return the seconds it was moved by since it was made."""
        return (self._at - self._start).total_seconds()

    def set(self, at: datetime) -> None:
        """Move to `at`."""
        self._at = at.astimezone(UTC)


def from_epoch(seconds: float) -> datetime:
    """Return the moment `seconds` after 1970 as aware UTC, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC)
