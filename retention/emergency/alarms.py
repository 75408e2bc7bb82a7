"""Alarms: numbers that can call and have had no accepted address for 24 hours, and for 72.

Ofcom fined a provider for not monitoring this (Gigaclear, 30 July 2025, General Conditions A3.5 and A3.6(a)).
"""

from __future__ import annotations

from itertools import takewhile

from sqlalchemy.orm import Session, sessionmaker

from retention import incidents
from retention.emergency.coverage import OVERDUE, gaps
from ringfence.clock import Clock
from ringfence.queries import audit
from ringfence.queries import incidents as stored
from ringfence.queries.conservation import begin_alone

CAUSES = tuple(f"emergency_{int(limit.total_seconds()) // 3_600}h" for limit in OVERDUE)


def review(sessions: sessionmaker[Session], clock: Clock) -> tuple[int, ...]:
    """Open the incident of each alarm that some number is past, and close it when none is; return how many are past each."""
    with sessions() as session:
        late = [gap.alarm for gap in takewhile(lambda gap: gap.alarm, gaps(session, clock.now()))]  # the oldest come first
        past = tuple(sum(alarm > level for alarm in late) for level in range(len(OVERDUE)))
        if all(bool(count) == (stored.find_open(session, cause, None) is not None) for cause, count in zip(CAUSES, past, strict=True)):
            return past
    with sessions.begin() as session:
        begin_alone(session)
        audit.lock_head(session)
        for cause, limit, count in zip(CAUSES, OVERDUE, past, strict=True):
            opened = stored.find_open(session, cause, None)
            if count:
                hours = int(limit.total_seconds()) // 3_600
                detail = f"{count} number(s) that can call have had no accepted address for 999 for {hours} h: see 'ringfence emergency coverage'"
                incidents.raise_incident(session, clock, cause, detail)
            elif opened is not None:
                incidents.close(session, clock, opened.id, outcome="mended", by="worker", actor="worker")
    return past
