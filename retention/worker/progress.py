"""How far a long run is: into the log every few seconds, and into the metrics."""

from __future__ import annotations

import structlog

from retention.purge.executor import Progress
from retention.worker.metrics import WorkerMetrics
from ringfence.clock import Clock

EVERY = 10.0  # seconds

log = structlog.get_logger()


class Progressing:
    """Told after each batch of one run."""

    def __init__(self, clock: Clock, metrics: WorkerMetrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._item = ("", "")
        self._began = self._told = clock.monotonic()
        self._seen = 0

    def __call__(self, progress: Progress) -> None:
        """Count a batch; log when it is time. Rate and time left are those of the class in hand."""
        now, item = self._clock.monotonic(), (progress.data_class, progress.policy)
        if item != self._item:
            self._item, self._began, self._seen = item, now - progress.seconds, 0
        self._metrics.batches.observe(progress.seconds)
        self._metrics.rows.labels(progress.data_class).inc(progress.done - self._seen)
        self._metrics.rows_left = left = max(progress.due - progress.own, 0)
        self._seen = progress.done
        if now - self._told < EVERY:
            return
        self._told = now
        rate = progress.own / max(now - self._began, 0.001)
        log.info(
            "purging",
            data_class=progress.data_class,
            policy=progress.policy,
            rows=progress.own,
            due=progress.due,
            rows_a_second=round(rate),
            seconds_left=round(left / rate) if rate else None,
        )
