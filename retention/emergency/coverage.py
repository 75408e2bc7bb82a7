"""Coverage: each number that can call, against the address that 999 should have of it. The daily reconciliation and the report rest on it.

Ofcom fined a provider for not monitoring exactly this (Gigaclear, 30 July 2025, General Conditions A3.5 and A3.6(a)).
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime, timedelta

import msgspec
from sqlalchemy.orm import Session

from dialplan.emergency.matrix import judge
from ringfence.emergency import NOTHING_KNOWN, AddressState, RecordFacts
from ringfence.queries import emergency_coverage as stored
from ringfence.values import E164

OVERDUE = (timedelta(hours=24), timedelta(hours=72))  # an operator's alarms: no carrier publishes how long it takes


class Coverage(msgspec.Struct, frozen=True):
    """How many numbers can call, and what 999 has of them."""

    can_call: int
    covered: int  # accepted, or used outside the UK by somebody who knows
    states: dict[str, int]  # of those without: how many are in which state, `missing` where nothing is held
    blocked: dict[str, int]  # refusal -> numbers whose ordinary calls it refuses

    @property
    def gaps(self) -> int:
        """Numbers that can call and are not covered."""
        return self.can_call - self.covered


class Gap(msgspec.Struct, frozen=True):
    """A number that can call and is not covered."""

    number: E164
    account: str
    account_id: int
    location: str | None
    state: AddressState
    why: str
    blocked: bool  # its ordinary calls are refused
    since: datetime
    age_hours: float
    alarm: int  # 0, or how many of the alarms' times are past
    carrier: str | None


def coverage(session: Session) -> Coverage:
    """Return the counts."""
    return _counted(stored.survey(session, limit=0))


def survey(session: Session, now: datetime, *, account_id: int | None = None, limit: int | None = None) -> tuple[Coverage, list[Gap]]:
    """Return the counts, and the numbers that are not covered, the oldest first: one look for both.

    Args:
        session: an open transaction.
        now: the moment that ages are told at.
        account_id: list only this account's; all are counted.
        limit: list at most so many.
    """
    found = stored.survey(session, account_id=account_id, limit=limit)
    return _counted(found), [_told(gap, now) for gap in found.gaps]


def gaps(session: Session, now: datetime, *, account_id: int | None = None, limit: int | None = None) -> Generator[Gap]:
    """Yield each number that can call and is not covered, with its age and its owner, the oldest first.

    Args:
        session: an open transaction.
        now: the moment that ages are told at.
        account_id: only this account's.
        limit: at most so many.
    """
    for gap in stored.gaps(session, account_id=account_id, limit=limit):
        yield _told(gap, now)


def _counted(found: stored.Survey) -> Coverage:
    states: dict[str, int] = {}
    blocked: dict[str, int] = {}
    for facts, count in found.kinds:
        states[facts.state.value] = states.get(facts.state.value, 0) + count
        slug = judge(facts).blocks
        if slug:
            blocked[slug] = blocked.get(slug, 0) + count
    return Coverage(found.can_call, found.can_call - sum(states.values()), dict(sorted(states.items())), dict(sorted(blocked.items())))


def _told(gap: stored.Gap, now: datetime) -> Gap:
    verdict, age = judge(gap.facts), now - gap.since
    return Gap(
        number=gap.e164,
        account=gap.account,
        account_id=gap.account_id,
        location=None if gap.facts == NOTHING_KNOWN else _location(gap.facts),
        state=gap.facts.state,
        why=verdict.why,
        blocked=bool(verdict.blocks),
        since=gap.since,
        age_hours=round(age / timedelta(hours=1), 1),
        alarm=sum(age >= limit for limit in OVERDUE),
        carrier=gap.carrier,
    )


def _location(facts: RecordFacts) -> str | None:
    return facts.location.value if facts.location else None
