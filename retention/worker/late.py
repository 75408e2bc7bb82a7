"""Incidents that open and close by themselves: a class past its target, files that stayed, a class or a job that failed and did its work since.

A clock that jumped opens one too, which only a person closes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

import msgspec
from sqlalchemy.orm import Session, sessionmaker

from retention import incidents
from retention.standing import CEILING, TARGET, Condition, Standing
from retention.worker.steady import Steady
from ringfence.clock import Clock
from ringfence.models import Incident
from ringfence.queries import audit
from ringfence.queries import incidents as stored
from ringfence.queries.conservation import begin_alone
from ringfence.queries.standing import ENDED

LATE = "late"
FILES_LEFT = "files_left"
CLASS_FAILED = "class_failed"  # opened by the run itself
_HINT = f"must be gone within {TARGET // timedelta(hours=1)} h, at the latest {CEILING // timedelta(days=1)} days: see the worker's log"


class Known(msgspec.Struct, frozen=True):
    """An open incident, as far as it is decided by."""

    id: str
    cause: str
    data_class: str | None
    opened: float  # seconds since 1970


class Changes(msgspec.Struct, frozen=True):
    """What is to be opened and closed."""

    late: str = ""  # what the incident says; empty = none is to be opened
    files: str = ""  # the same of files
    mended: tuple[str, ...] = ()  # ids

    def __bool__(self) -> bool:
        """Tell whether there is something to do."""
        return bool(self.late or self.files or self.mended)


def changes(found: Standing, opened: Sequence[Known]) -> Changes:
    """Return which incidents are to be opened and closed. Pure."""
    late = sorted((each for each in found.classes if each.condition in {Condition.LATE, Condition.OVERDUE}), key=lambda each: (each.since, each.data_class))
    known = [incident for incident in opened if incident.cause == LATE]
    detail = ""
    if late and not known:
        names = ", ".join(sorted({each.data_class for each in late}))
        detail = f"what is due since {late[0].since:%Y-%m-%dT%H:%M:%SZ} is not gone; {_HINT}. Classes: {names}"
    mended = [] if late else [incident.id for incident in known]
    mended += [incident.id for incident in opened if incident.cause == CLASS_FAILED and _ended_since(found, incident)]
    left = [incident.id for incident in opened if incident.cause == FILES_LEFT]
    if not found.files_left:
        mended += left
    files = f"{found.files_left} file(s) were given up a day ago and are still there: may the worker remove them?" if found.files_left and not left else ""
    return Changes(detail, files, tuple(mended))


def review(sessions: sessionmaker[Session], clock: Clock, found: Standing) -> Changes:
    """Open and close what there is to; two workers that do it at once do it once. Returns what was done."""
    if not changes(found, [Known(each.id, each.cause, each.data_class, each.opened_at.timestamp()) for each in found.incidents]):
        return Changes()
    with sessions.begin() as session:
        begin_alone(session)
        audit.lock_head(session)  # whoever opens or closes an incident writes to the log: one after the other
        todo = changes(found, _known(stored.list_incidents(session)))
        if todo.late:
            incidents.raise_incident(session, clock, LATE, todo.late)
        if todo.files:
            incidents.raise_incident(session, clock, FILES_LEFT, todo.files)
        for incident_id in todo.mended:
            incidents.close(session, clock, incident_id, outcome="mended", by="worker", actor="worker")
    return todo


def clock_jumped(sessions: sessionmaker[Session], clock: Clock, steady: Steady) -> None:
    """Open an incident when the clock was set while this worker ran; nothing is purged until a person has settled it."""
    found = steady.look()
    if not found:
        return
    with sessions.begin() as session:
        begin_alone(session)
        audit.lock_head(session)
        for brake in found:
            incidents.raise_incident(session, clock, brake.cause, brake.detail)
    steady.written(found)


def job_failed(sessions: sessionmaker[Session], clock: Clock, job: str, error: str) -> None:
    """Open the incident of a job that failed."""
    with sessions.begin() as session:
        begin_alone(session)
        audit.lock_head(session)
        incidents.raise_incident(session, clock, f"{job}_failed", f"the worker's job {job} failed: {error}; see its log")


def job_did(sessions: sessionmaker[Session], clock: Clock, job: str) -> None:
    """Close the incident of a job that failed and has now done its work."""
    with sessions() as session:
        if stored.find_open(session, f"{job}_failed", None) is None:
            return
    with sessions.begin() as session:
        begin_alone(session)
        audit.lock_head(session)
        incident = stored.find_open(session, f"{job}_failed", None)
        if incident is not None:
            incidents.close(session, clock, incident.id, outcome="mended", by="worker", actor="worker")


def _known(opened: Iterable[Incident]) -> list[Known]:
    return [Known(each.id, each.cause, each.data_class, each.opened_at.timestamp()) for each in opened]


def _ended_since(found: Standing, incident: Known) -> bool:
    """Tell whether a later run brought the class to its cutoff, under every policy."""
    its = [each for each in found.classes if each.data_class == incident.data_class]
    return bool(its) and all(each.outcome in ENDED and each.tried_at is not None and each.tried_at.timestamp() >= incident.opened for each in its)
