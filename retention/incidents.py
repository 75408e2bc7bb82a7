"""Incidents as acts: opened once for one cause and class, closed by a person, or by the worker when what it names is mended; each with its audit entry."""

from __future__ import annotations

from sqlalchemy.orm import Session

from retention.purge import brakes
from ringfence.audit import log
from ringfence.clock import Clock
from ringfence.errors import Conflict, Invalid, Refused
from ringfence.models import Incident
from ringfence.queries import incidents

OUTCOMES = ("confirmed", "mended", "dismissed")  # confirmed: what the brake stopped is right, go on


def raise_incident(session: Session, clock: Clock, cause: str, detail: str, *, data_class: str | None = None, run_id: str | None = None) -> Incident:
    """Open an incident, or return the one that is open for the same cause and class."""
    found = incidents.find_open(session, cause, data_class)
    if found is not None:
        return found
    incident = Incident(id=log.new_id(), cause=cause, data_class=data_class, run_id=run_id, detail=detail[:400], opened_at=clock.now())
    incidents.add(session, incident)
    log.append(session, clock, "incident.opened", actor="worker", incident=incident.id, cause=cause)
    return incident


def close(session: Session, clock: Clock, incident_id: str, *, outcome: str, by: str, actor: str = "operator") -> Incident:
    """Close an incident. `confirmed` lets the next run of the day go past the brake that opened it.

    Raises:
        NotFound: there is none of this id.
        Conflict: it is closed already.
        Invalid: the outcome is none.
        Refused: it is to be confirmed, and no brake opened it.
    """
    if outcome not in OUTCOMES:
        raise Invalid(f"{outcome!r} is no outcome", hint=f"one of {', '.join(OUTCOMES)}")
    incident = incidents.get(session, incident_id, lock=True)
    if incident.closed_at is not None:
        raise Conflict(f"the incident {incident_id} is closed already", hint="see 'ringfence incident list --all'")
    if outcome == "confirmed" and incident.cause not in brakes.CAUSES:
        raise Refused(f"no brake stopped a run because of {incident.cause}: there is nothing to confirm", hint="mend it, then close it")
    incident.closed_at, incident.outcome, incident.closed_by = clock.now(), outcome, by
    session.flush()
    log.append(session, clock, "incident.closed", actor=actor, incident=incident.id, outcome=outcome)
    return incident
