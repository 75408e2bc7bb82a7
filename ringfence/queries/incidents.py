"""Incidents: what a person must look at."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from ringfence.errors import NotFound
from ringfence.models import Incident


def find_open(session: Session, cause: str, data_class: str | None) -> Incident | None:
    """Return the open incident of a cause and class, if there is one: the same thing is not opened twice."""
    query = select(Incident).where(Incident.cause == cause, Incident.closed_at.is_(None))
    query = query.where(Incident.data_class.is_(None) if data_class is None else Incident.data_class == data_class)
    return session.scalar(query.order_by(Incident.opened_at).limit(1))


def add(session: Session, incident: Incident) -> None:
    """Write an incident."""
    session.add(incident)
    session.flush()


def get(session: Session, incident_id: str, *, lock: bool = False) -> Incident:
    """Return an incident; with `lock` nobody else settles it until the transaction ends.

    Raises:
        NotFound: there is none of this id.
    """
    found = session.get(Incident, incident_id, with_for_update=lock or None, populate_existing=lock)
    if found is None:
        raise NotFound(f"there is no incident {incident_id}", hint="'ringfence incident list --all' lists them")
    return found


def list_incidents(session: Session, *, closed: bool = False) -> list[Incident]:
    """Return the incidents that are open, or all, oldest first."""
    query = select(Incident).order_by(Incident.opened_at, Incident.id)
    return list(session.scalars(query if closed else query.where(Incident.closed_at.is_(None))))


def confirmed_since(session: Session, cause: str, data_class: str | None, since: datetime) -> bool:
    """Tell whether a person looked at this cause lately and said that it is right."""
    query = select(Incident.id).where(Incident.cause == cause, Incident.outcome == "confirmed", Incident.closed_at >= since)
    query = query.where(Incident.data_class.is_(None) if data_class is None else Incident.data_class == data_class)
    return session.scalar(query.limit(1)) is not None
