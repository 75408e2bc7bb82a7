"""Which numbers that can call have an accepted address for 999, and which have not, over numbers, phones and records by their indexes.

A number can call when an account has it and a phone of that account presents it, on all calls or on those to 999. Whether the phone or the
account is blocked does not matter: 999 goes out all the same.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, CompoundSelect, FromClause, Select, String, and_, case, func, literal, null, or_, select, type_coerce, union_all
from sqlalchemy.orm import Session

from ringfence.emergency import NOTHING_KNOWN, WITH_ADDRESS, AddressState, LocationClass, RecordFacts
from ringfence.models import Account, Did, EmergencyRecord, Endpoint
from ringfence.values import E164

_AT_ONCE = 1_000  # rows fetched at a time
_HELD = and_(EmergencyRecord.e164 == Did.e164, EmergencyRecord.account_id == Did.account_id, EmergencyRecord.superseded_at.is_(None))
_FACTS = (
    type_coerce(EmergencyRecord.location, String).label("location"),
    type_coerce(EmergencyRecord.state, String).label("state"),
    func.coalesce(EmergencyRecord.standing, False).label("standing"),
    case((EmergencyRecord.acknowledged_at.is_not(None), True), else_=False).label("acknowledged"),
)


class Gap(msgspec.Struct, frozen=True):
    """A number that can call and has no accepted address."""

    e164: E164
    account: str  # its owner's reference
    account_id: int
    facts: RecordFacts
    since: datetime  # when it was first without, or when the first phone that presents it was made
    carrier: str | None


class Survey(msgspec.Struct, frozen=True):
    """What one look at every number that can call found."""

    can_call: int
    kinds: list[tuple[RecordFacts, int]]  # of those without an accepted address: what is known, and how many
    gaps: list[Gap]  # the first of them


def survey(session: Session, *, account_id: int | None = None, limit: int | None = None) -> Survey:
    """Count the numbers that can call, and those of them that have no accepted address by kind, and list those longest without: one statement.

    Numbers are walked twice, once with phones alone and once with records. The gaps are found once, for their kinds and for the list.

    Args:
        session: an open transaction.
        account_id: list only this account's; all are counted.
        limit: list at most so many; 0 = none, None = all.
    """
    gap = _found().cte("gap")
    facts = (gap.c.location, gap.c.state, gap.c.standing, gap.c.acknowledged)
    nobody = (null(), null(), null(), null(), null())
    listed = _listed(gap, account_id, limit).subquery()
    shown = (listed.c.e164, listed.c.ref, listed.c.id, listed.c.since, listed.c.carrier)
    known = (listed.c.location, listed.c.state, listed.c.standing, listed.c.acknowledged)
    callers = sum((select(func.count()).select_from(Did).where(*where).scalar_subquery() for where in _callers()), start=literal(0))
    parts = [select(*nobody, *facts, func.count()).group_by(*facts), select(*nobody, *(null() for _ in facts), callers)]
    kinds: list[tuple[RecordFacts, int]] = []
    gaps: list[Gap] = []
    can_call = 0
    for e164, ref, owner, since, carrier, location, state, standing, acknowledged, count in session.execute(union_all(select(*shown, *known, null()), *parts)):
        if e164 is not None:
            gaps.append(Gap(E164(e164), ref, owner, _facts(location, state, standing, acknowledged), since, carrier))
        elif standing is not None:
            kinds.append((_facts(location, state, standing, acknowledged), count))
        else:
            can_call = count
    return Survey(can_call, kinds, sorted(gaps, key=lambda one: (one.since, one.e164)))


def gaps(session: Session, *, account_id: int | None = None, limit: int | None = None) -> Generator[Gap]:
    """Yield the numbers that can call and have no accepted address, those longest without first.

    Args:
        session: an open transaction.
        account_id: only this account's.
        limit: at most so many.
    """
    rows = _listed(_found().subquery("gap"), account_id, limit)
    with session.execute(rows.execution_options(yield_per=_AT_ONCE)) as found:  # whoever has seen enough leaves no cursor open
        for e164, account, owner, moment, carrier, *facts in found:
            yield Gap(E164(str(e164)), str(account), owner, _facts(*facts), moment, carrier)


class Unconfirmed(msgspec.Struct, frozen=True):
    """A number that can call, and whose address nobody has confirmed since a moment."""

    e164: E164
    account: str  # its owner's reference
    account_id: int
    location: LocationClass
    since: datetime  # when it was last confirmed, else entered
    confirmed: bool  # whether anybody ever said that it is right
    confirmed_by: str | None


def count_unconfirmed(session: Session, before: Mapping[LocationClass, datetime]) -> int:
    """Return how many numbers that can call have an address that was last confirmed, else entered, before their class's moment."""
    counted = select(func.count()).select_from(EmergencyRecord).join(Did, _HELD).where(_unconfirmed(before), *_can_call())
    return session.scalar(counted) or 0


def unconfirmed(
    session: Session, before: Mapping[LocationClass, datetime], *, account_id: int | None = None, limit: int | None = None
) -> Iterator[Unconfirmed]:
    """Yield those numbers, the longest unconfirmed first.

    Args:
        session: an open transaction.
        before: class -> the moment since which it must have been confirmed.
        account_id: only this account's.
        limit: at most so many.
    """
    since = func.coalesce(EmergencyRecord.confirmed_at, EmergencyRecord.made_at).label("since")
    said = (EmergencyRecord.confirmed_at, EmergencyRecord.confirmed_by)
    rows: Select[*tuple[object, ...]] = (
        select(Did.e164, Account.ref, Account.id, EmergencyRecord.location, since, *said)
        .select_from(EmergencyRecord)
        .join(Did, _HELD)
        .join(Account, Account.id == Did.account_id)
        .where(_unconfirmed(before), *_can_call())
        .order_by(since, Did.e164)
    )
    if account_id is not None:
        rows = rows.where(Did.account_id == account_id)
    with session.execute(rows.limit(limit).execution_options(yield_per=_AT_ONCE)) as found:
        for e164, account, owner, location, moment, confirmed_at, by in found:
            yield Unconfirmed(E164(str(e164)), str(account), owner, location, moment, confirmed_at is not None, by)  # type: ignore[arg-type]


def _unconfirmed(before: Mapping[LocationClass, datetime]) -> ColumnElement[bool]:
    confirmed, made = EmergencyRecord.confirmed_at, EmergencyRecord.made_at
    cases = (
        case_
        for location, moment in before.items()
        for case_ in (
            and_(EmergencyRecord.location == location, confirmed < moment),
            and_(EmergencyRecord.location == location, confirmed.is_(None), made < moment),
        )
    )
    return and_(EmergencyRecord.superseded_at.is_(None), or_(*cases))  # each is a stretch of the index


def covered() -> ColumnElement[bool]:
    """Return the condition under which 999 has what it needs of a number: that of `dialplan.emergency.matrix.judge`, in SQL."""
    accepted = and_(EmergencyRecord.location.in_(WITH_ADDRESS), EmergencyRecord.state == AddressState.ACCEPTED)
    told = and_(EmergencyRecord.location == LocationClass.OUTSIDE_UK, EmergencyRecord.acknowledged_at.is_not(None))
    return and_(EmergencyRecord.id.is_not(None), or_(accepted, told))


def _found() -> CompoundSelect[Any]:
    """Return every gap, with what is known of it."""
    theirs = or_(Endpoint.caller_did == Did.e164, Endpoint.emergency_did == Did.e164)
    first_phone = select(func.min(Endpoint.created_at)).where(theirs, Endpoint.receive_only.is_(False)).correlate(Did).scalar_subquery()
    since = func.coalesce(EmergencyRecord.uncovered_since, first_phone, Did.created_at).label("since")
    columns = (Did.e164, Did.account_id, since, EmergencyRecord.carrier, *_FACTS)
    return union_all(*(select(*columns).select_from(Did).outerjoin(EmergencyRecord, _HELD).where(*where, ~covered()) for where in _callers()))


def _listed(gap: FromClause, account_id: int | None, limit: int | None) -> Select[Any]:
    rows = select(gap.c.e164, Account.ref, Account.id, gap.c.since, gap.c.carrier, gap.c.location, gap.c.state, gap.c.standing, gap.c.acknowledged)
    rows = rows.join(Account, Account.id == gap.c.account_id).order_by(gap.c.since, gap.c.e164).limit(limit)
    return rows if account_id is None else rows.where(Account.id == account_id)


def _callers() -> tuple[tuple[ColumnElement[bool], ...], ...]:
    """Return the conditions of the two kinds of numbers that can call, which have none in common: each by itself is a join, both with OR are not."""
    own = select(Endpoint.name).where(*_presents()).correlate(Did).exists()
    to_999 = Did.e164.in_(select(Endpoint.emergency_did).where(Endpoint.emergency_did.is_not(None), Endpoint.receive_only.is_(False)))
    return ((Did.account_id.is_not(None), own), (Did.account_id.is_not(None), to_999, ~own))


def _can_call() -> tuple[ColumnElement[bool], ...]:
    first, second = _callers()
    return (or_(and_(*first), and_(*second)),)


def _presents() -> tuple[ColumnElement[bool], ...]:
    return (Endpoint.caller_did == Did.e164, Endpoint.account_id == Did.account_id, Endpoint.receive_only.is_(False))


def _facts(location: str | None, state: str | None, standing: bool, acknowledged: bool) -> RecordFacts:
    if location is None or state is None:
        return NOTHING_KNOWN
    return RecordFacts(LocationClass(location), AddressState(state), bool(standing), bool(acknowledged))
