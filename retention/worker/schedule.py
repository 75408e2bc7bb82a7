"""APScheduler as a clock and nothing more: it says when to look, never what was done.

Its job store is this process's memory, because a shared one leads to double and missed runs; UTC, because its triggers fire twice or not at all when
London's clocks change; no limit to misfires, because its default drops a turn that comes a second late; and a run that was killed is not its business:
the next turn finds in the store what is still to be done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, timedelta
from typing import Any

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from retention.worker.job import Job
from ringfence.clock import Clock

log = structlog.get_logger()


def make_scheduler(jobs: Sequence[Job], perform: Callable[[Job], timedelta | None], clock: Clock) -> BackgroundScheduler:
    """Return a scheduler, not started, that gives each job its first turn at once and then by its interval, or when it asked for.

    Args:
        jobs: what to do.
        perform: does it, without raising; returns when the job wants its next turn, None = by its interval.
        clock: tells when the first turn is.
    """
    scheduler = BackgroundScheduler(
        timezone=UTC,
        jobstores={"default": MemoryJobStore()},
        executors={"default": ThreadPoolExecutor(len(jobs))},  # a long purge keeps nobody from the turn
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )

    def turn(job: Job) -> None:
        again = perform(job)
        if again is not None and scheduler.running:
            scheduler.modify_job(job.name, next_run_time=clock.now() + again)

    for job in jobs:
        trigger = IntervalTrigger(seconds=int(job.every.total_seconds()), timezone=UTC)
        scheduler.add_job(turn, trigger, args=[job], id=job.name, name=job.name, next_run_time=clock.now())
    scheduler.add_listener(_tell, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES | EVENT_JOB_ERROR)
    return scheduler


def _tell(event: Any) -> None:
    """Log what the scheduler says of a job. What it means for the data shows in where retention stands."""
    if event.code == EVENT_JOB_MAX_INSTANCES:
        log.info("job_still_runs", job=event.job_id)
    elif event.code == EVENT_JOB_MISSED:
        log.warning("job_missed", job=event.job_id, at=str(event.scheduled_run_time))
    else:
        log.error("job_broke", job=event.job_id, error=type(event.exception).__name__, exc_info=event.exception)
