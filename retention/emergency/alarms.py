"""Alarms: numbers that can call without an accepted address for 24 hours, and for 72; what a carrier refused, nobody confirmed again, or nobody tested.

Ofcom fined a provider for not monitoring and not testing (Gigaclear, 30 July 2025, General Conditions A3.5 and A3.6(a)).
"""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from itertools import takewhile

import msgspec
from sqlalchemy.orm import Session, sessionmaker

from retention import incidents
from retention.emergency.confirming import count_due, periods_of
from retention.emergency.coverage import OVERDUE, gaps
from ringfence.clock import Clock
from ringfence.queries import audit, emergency_tests
from ringfence.queries import emergency_outbox as outbox
from ringfence.queries import incidents as stored
from ringfence.queries.conservation import begin_alone
from ringfence.settings import Emergency

REFUSED = "emergency_refused"
UNTESTED = "emergency_test_overdue"
UNCONFIRMED = "emergency_unconfirmed"


class Alarm(msgspec.Struct, frozen=True):
    """One cause of an incident, and how many numbers there are of it."""

    cause: str
    count: int
    detail: str  # without the numbers


def alarms(session: Session, clock: Clock, chosen: Emergency) -> list[Alarm]:
    """Return every alarm, also those of which there is nothing.

    Args:
        session: reads only.
        clock: tells what is late.
        chosen: for how long a test of calls to 999 may be due, and when addresses are confirmed again.

    Raises:
        Misconfigured: a setting is no period.
    """
    now = clock.now()
    with closing(gaps(session, now)) as oldest_first:
        since = [gap.alarm for gap in takewhile(lambda gap: gap.alarm, oldest_first)]
    found = []
    for level, limit in enumerate(OVERDUE):
        count, hours = sum(alarm > level for alarm in since), limit // timedelta(hours=1)
        detail = f"{count} number(s) that can call have had no accepted address for 999 for {hours} h: see 'ringfence emergency coverage'"
        found.append(Alarm(f"emergency_{hours}h", count, detail))
    refused, stays = outbox.refused(session)
    detail = f"the carrier refused {refused} address(es) for 999, and did not take out {stays} of numbers that left: a person must look"
    due = count_due(session, periods_of(chosen), now)
    ask = f"{due} address(es) for 999 are to be confirmed again by the customer: 'ringfence emergency coverage --json' lists them"
    late = emergency_tests.overdue(emergency_tests.due(session, now), now, chosen.test_days)
    told = "; ".join(f"{each.node}: {each.reason}" for each in late)
    untested = f"calls to 999 were not tested within {chosen.test_days} days: {told}: run 'ringfence emergency test' there"
    return [*found, Alarm(REFUSED, refused + stays, detail), Alarm(UNCONFIRMED, due, ask), Alarm(UNTESTED, len(late), untested)]


def review(sessions: sessionmaker[Session], clock: Clock, chosen: Emergency = Emergency()) -> list[Alarm]:  # noqa: B008  frozen
    """Open the incident of each alarm that there is something of, and close it when there is nothing; return the alarms.

    Raises:
        Misconfigured: a setting is no period.
    """
    with sessions() as session:
        found = alarms(session, clock, chosen)
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
