"""What the worker measures. Labels hold data classes, jobs and outcomes, never anything about a person."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric

from retention.standing import BEHIND, Condition, Standing
from ringfence.clock import Clock

BATCH_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
TURNS_WITHIN = 120.0  # seconds within which the clock must have given its shortest job a turn


class WorkerMetrics:
    """One worker's counts, and where retention stood when it was last looked at."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turned_at = clock.monotonic()
        self.standing: Standing | None = None
        self.store_up = True
        self.running = False
        self.rows_left = 0
        self.registry = CollectorRegistry(auto_describe=False)
        self.runs = Counter("ringfence_retention_runs", "Runs of this worker.", ["outcome"], registry=self.registry)
        self.rows = Counter("ringfence_retention_rows", "Rows deleted by this worker.", ["data_class"], registry=self.registry)
        self.batches = Histogram("ringfence_retention_batch_seconds", "Time of a batch's transaction.", buckets=BATCH_SECONDS, registry=self.registry)
        self.jobs = Counter("ringfence_worker_jobs", "Turns of jobs.", ["job", "outcome"], registry=self.registry)
        self.webhooks = Counter("ringfence_webhook_requests", "Requests to the webhook.", ["outcome"], registry=self.registry)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def turned(self) -> None:
        """Note that the clock gave a job its turn."""
        self._turned_at = self._clock.monotonic()

    def collect(self) -> Iterable[Metric]:
        """Return what only stands somewhere, as it is now."""
        found = self.standing
        yield _gauge("ringfence_retention_running", "1 while this worker purges.", float(self.running))
        yield _gauge("ringfence_retention_rows_left", "Rows that the run that goes on has still to delete, as it was planned.", float(self.rows_left))
        yield _gauge("ringfence_worker_store_up", "1 while the store answers.", float(self.store_up))
        yield _gauge("ringfence_worker_turn_age_seconds", "Since the clock gave a job its turn last.", self._clock.monotonic() - self._turned_at)
        if found is None:
            return
        late = GaugeMetricFamily("ringfence_retention_late_seconds", "Since when something is due that no run has reached; 0 = nothing.", labels=["data_class"])
        for data_class, seconds in self._late(found).items():
            late.add_metric([data_class], seconds)
        yield late
        behind = sum(each.condition in BEHIND for each in found.classes)
        yield _gauge("ringfence_retention_behind", "Classes past their target, or never reached.", float(behind))
        yield _gauge("ringfence_retention_incidents", "Open incidents.", float(len(found.incidents)))
        if found.last_finished is not None and found.last_finished.finished_at is not None:
            age = (self._clock.now() - found.last_finished.finished_at).total_seconds()
            yield _gauge("ringfence_retention_finished_age_seconds", "Since the last run that came to its end, of any worker.", age)

    def turning(self) -> str:
        """Return what is wrong with the clock; empty = nothing."""
        age = self._clock.monotonic() - self._turned_at
        return "" if age < TURNS_WITHIN else f"no job had its turn for {age:.0f} s"

    def store(self) -> str:
        """Return what is wrong with the store; empty = nothing. Nothing is lost: the next turn heals it."""
        return "" if self.store_up else "the store is away"

    def retention(self) -> str:
        """Return which classes are past their target; empty = none."""
        found = self.standing
        names = sorted({each.data_class for each in found.classes if each.condition in {Condition.LATE, Condition.OVERDUE}}) if found else []
        return f"late: {', '.join(names)}" if names else ""

    def _late(self, found: Standing) -> dict[str, float]:
        now, worst = self._clock.now(), dict[str, float]()
        for each in found.classes:
            seconds = 0.0 if each.since is None else (now - each.since).total_seconds()
            worst[each.data_class] = max(worst.get(each.data_class, 0.0), seconds)
        return worst


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
