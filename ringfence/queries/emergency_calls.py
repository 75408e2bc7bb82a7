"""Calls to 999 in the store: written when they are booked, each once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ringfence.models import EmergencyCall
from ringfence.values import Disposition


def add_new(session: Session, calls: Sequence[EmergencyCall]) -> list[EmergencyCall]:
    """Write the calls that are not there yet, and return those."""
    if not calls:
        return []
    known = set(session.scalars(select(EmergencyCall.call_id).where(EmergencyCall.call_id.in_([call.call_id for call in calls]))))
    fresh = [call for call in {call.call_id: call for call in calls}.values() if call.call_id not in known]
    session.add_all(fresh)
    session.flush()
    return fresh


def count_by_outcome(session: Session, since: datetime) -> dict[Disposition, int]:
    """Return how many calls that began at a moment or later ended how."""
    counted = select(EmergencyCall.disposition, func.count()).where(EmergencyCall.started_at >= since).group_by(EmergencyCall.disposition)
    return {row[0]: row[1] for row in session.execute(counted.order_by(EmergencyCall.disposition))}
