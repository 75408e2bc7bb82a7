"""Does the worker's jobs so that nothing they meet ends it: a store that is away is waited for, anything else opens an incident."""

from __future__ import annotations

from datetime import timedelta
from threading import Lock

import structlog
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from retention.worker import late
from retention.worker.job import Context, Job
from ringfence.errors import Unavailable
from ringfence.queries import moments

TRY_AGAIN = timedelta(seconds=15)  # after the store was away
AWAY = (OperationalError, InterfaceError, DisconnectionError, PoolTimeout, Unavailable)

log = structlog.get_logger()


class Performer:
    """Does jobs so that nothing they meet ends the process."""

    def __init__(self, at: Context) -> None:
        self._at = at
        self._turn = Lock()  # jobs run in threads of their own
        self._did: set[str] = set()  # jobs whose last turn was well: no incident of theirs is open

    def perform(self, job: Job) -> timedelta | None:
        """Do a job; return when it wants its next turn, None = by its interval."""
        at = self._at
        at.metrics.turned()
        try:
            again = job.act(at)
            if job.name not in self._did:
                late.job_did(at.sessions, at.clock, job.name)
                self._did.add(job.name)
        except Exception as error:  # noqa: BLE001  whatever it is: said, and an incident
            if isinstance(error, AWAY) and not self._answers(error):
                return self._away(job, error)
            self._failed(job, error)
            return None
        if self._flip(up=True):
            log.info("store_back")
        at.metrics.jobs.labels(job.name, "done").inc()
        return again

    def _answers(self, error: Exception) -> bool:
        """Tell whether the store is there, though a job could not use it: a statement took too long, its disk is full, a table is not there."""
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return False
        try:
            with self._at.sessions() as session:
                moments.store_now(session)
        except AWAY:
            return False
        return True

    def _failed(self, job: Job, error: Exception) -> None:
        log.error("job_failed", job=job.name, exc_info=error)
        self._at.metrics.jobs.labels(job.name, "failed").inc()
        self._did.discard(job.name)
        self._report(job, error)

    def _away(self, job: Job, error: Exception) -> timedelta:
        self._at.metrics.jobs.labels(job.name, "store_away").inc()
        if self._flip(up=False):
            log.warning("store_away", job=job.name, error=type(getattr(error, "orig", error)).__name__, again_in=TRY_AGAIN.total_seconds())
        return min(TRY_AGAIN, job.every)

    def _flip(self, *, up: bool) -> bool:
        """Note whether the store answers; tell whether that is news."""
        with self._turn:
            news = self._at.metrics.store_up is not up
            self._at.metrics.store_up = up
            return news

    def _report(self, job: Job, error: Exception) -> None:
        try:
            late.job_failed(self._at.sessions, self._at.clock, job.name, type(error).__name__)
        except Exception:
            log.exception("incident_not_opened", job=job.name)
