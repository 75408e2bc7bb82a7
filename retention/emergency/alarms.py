"""Alarms: numbers that can call and have had no accepted address for 24 hours, and for 72; what a carrier refused, which a person must mend; and tests overdue.

Ofcom fined a provider for not monitoring and not testing (Gigaclear, 30 July 2025, General Conditions A3.5 and A3.6(a)).
"""

from __future__ import annotations

from datetime import timedelta
from itertools import takewhile

import msgspec
from sqlalchemy.orm import Session, sessionmaker

from retention import incidents
from retention.emergency.coverage import OVERDUE, gaps
from ringfence.clock import Clock
from ringfence.queries import audit, emergency_tests
from ringfence.queries import emergency_outbox as outbox
from ringfence.queries import incidents as stored
from ringfence.queries.conservation import begin_alone
from ringfence.settings import Emergency

REFUSED = "emergency_refused"
UNTESTED = "emergency_test_overdue"
TEST_DAYS = Emergency().test_days


class Alarm(msgspec.Struct, frozen=True):
    """One cause of an incident, and how many numbers there are of it."""

    cause: str
    count: int
    detail: str  # without the numbers


def alarms(session: Session, clock: Clock, test_days: int = TEST_DAYS) -> list[Alarm]:
    """Return every alarm, also those of which there is nothing.

    Args:
        session: reads only.
        clock: tells what is late.
        test_days: a test of calls to 999 may be due for so long.
    """
    since = [gap.alarm for gap in takewhile(lambda gap: gap.alarm, gaps(session, clock.now()))]  # the oldest come first
    found = []
    for level, limit in enumerate(OVERDUE):
        count, hours = sum(alarm > level for alarm in since), limit // timedelta(hours=1)
        detail = f"{count} number(s) that can call have had no accepted address for 999 for {hours} h: see 'ringfence emergency coverage'"
        found.append(Alarm(f"emergency_{hours}h", count, detail))
    refused, stays = outbox.refused(session)
    detail = f"the carrier refused {refused} address(es) for 999, and did not take out {stays} of numbers that left: a person must look"
    late = emergency_tests.overdue(emergency_tests.due(session, clock.now()), clock.now(), test_days)
    told = "; ".join(f"{each.node}: {each.reason}" for each in late)
    untested = Alarm(UNTESTED, len(late), f"calls to 999 were not tested within {test_days} days: {told}: see 'ringfence emergency tests'")
    return [*found, Alarm(REFUSED, refused + stays, detail), untested]


def review(sessions: sessionmaker[Session], clock: Clock, test_days: int = TEST_DAYS) -> list[Alarm]:
    """Open the incident of each alarm that there is something of, and close it when there is nothing; return the alarms."""
    with sessions() as session:
        found = alarms(session, clock, test_days)
        changed = [each for each in found if bool(each.count) != (stored.find_open(session, each.cause, None) is not None)]
    if changed:
        with sessions.begin() as session:
            begin_alone(session)
            audit.lock_head(session)
            for alarm in changed:
                opened = stored.find_open(session, alarm.cause, None)
                if alarm.count:
                    incidents.raise_incident(session, clock, alarm.cause, alarm.detail)
                elif opened is not None:
                    incidents.close(session, clock, opened.id, outcome="mended", by="worker", actor="worker")
    return found
