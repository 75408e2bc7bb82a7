"""The booker's counts as metrics; read when they are scraped, so that booking pays nothing for them."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ari_app.cdr.stats import BookerStats

_COUNTERS = {
    "lines": "Ledger lines read.",
    "calls": "Calls booked.",
    "repeated": "Calls that were in the store already.",
    "lost": "Calls booked that went down with their Asterisk.",
    "set_aside": "Ledger lines that could not be booked.",
    "late": "Ledger records that came after the end of their call.",
    "emergency_calls": "Calls to 999, 112 and 18000 booked.",
    "emergency_failures": "Calls to 999, 112 and 18000 that nobody answered.",
    "batches": "Transactions.",
    "outages": "Times that the store or the ledger could not be reached.",
}
_GAUGES = {
    "waiting": "Calls whose end has not come yet.",
    "lag_bytes": "Bytes of ledger that wait.",
    "lag_seconds": "Seconds since everything was booked last; 0 = it is.",
    "store_up": "1 while the store answers.",
}


class BookerMetrics:
    """A registry that shows one booker's counts."""

    def __init__(self, stats: BookerStats) -> None:
        self._stats = stats
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        for name, text in _COUNTERS.items():
            yield CounterMetricFamily(f"ringfence_ledger_{name}", text, value=getattr(self._stats, name))
        for name, text in _GAUGES.items():
            yield GaugeMetricFamily(f"ringfence_ledger_{name}", text, value=float(getattr(self._stats, name)))

    def store(self) -> str:
        """Return what is wrong with the store; empty = nothing. The ledger waits on disk meanwhile."""
        return "" if self._stats.store_up else "the store is away"
