"""How fast calls arrive: the brake against overload, and the count of alike calls that betrays a loop. Pure state, time comes in."""

from __future__ import annotations

from collections import OrderedDict, deque


class Brake:
    """A token bucket: `allow` is False once calls come faster than the rate for longer than the burst lasts.

    Args:
        rate: calls a second.
        burst: calls that may come at once on top of it.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(max(burst, 1))
        self._tokens = self._burst
        self._at: float | None = None
        self.refused = 0

    def allow(self, now: float) -> bool:
        """Say whether one more call may be taken at monotonic time `now`."""
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return True
        self.refused += 1
        return False


class Repeats:
    """Counts calls of one caller to one number within the last seconds; a forwarding that comes back shows up here.

    Args:
        seconds: how far back it looks.
        keep: how many pairs it remembers; the least recent go first.
    """

    def __init__(self, seconds: float, keep: int = 50_000) -> None:
        self._seconds = seconds
        self._keep = keep
        self._seen: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def count(self, caller: str, called: str, now: float) -> int:
        """Count earlier calls of this pair, then add this one. Calls without a number are not told apart, so never counted."""
        if not caller:
            return 0
        key = (caller, called)
        times = self._seen.get(key)
        if times is None:
            times = self._seen[key] = deque(maxlen=1000)
            if len(self._seen) > self._keep:
                self._seen.popitem(last=False)
        else:
            self._seen.move_to_end(key)
        while times and times[0] < now - self._seconds:
            times.popleft()
        earlier = len(times)
        times.append(now)
        return earlier
