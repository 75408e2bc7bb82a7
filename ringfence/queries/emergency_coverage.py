"""Which numbers that can call have an accepted address for 999, and which have not: one pass over numbers, phones and records by their indexes.

A number can call when an account has it and a phone of that account presents it, on all calls or on those to 999. Whether the phone or the
account is blocked does not matter: 999 goes out all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, Select, String, and_, case, func, or_, select, type_coerce
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


def count(session: Session) -> tuple[int, int]:
    """Return how many numbers can call, and how many of them are covered: one pass without sorting, as quick as the store can walk."""
    counted = select(func.count(), func.count(case((covered(), 1)))).select_from(Did).outerjoin(EmergencyRecord, _HELD).where(*_can_call())
    row = session.execute(counted).one()
    return row[0], row[1]


def count_gaps(session: Session) -> list[tuple[RecordFacts, int]]:
    """Return how many numbers that can call and are not covered there are of each kind."""
    counted = select(*_FACTS, func.count()).select_from(Did).outerjoin(EmergencyRecord, _HELD).where(*_can_call(), ~covered())
    return [(_facts(*row[:4]), row[4]) for row in session.execute(counted.group_by(*_FACTS))]


def gaps(session: Session, *, account_id: int | None = None, limit: int | None = None) -> Iterator[Gap]:
    """Yield the numbers that can call and have no accepted address, those longest without first.

    Args:
        session: an open transaction.
        account_id: only this account's.
        limit: at most so many.
    """
    theirs = or_(Endpoint.caller_did == Did.e164, Endpoint.emergency_did == Did.e164)
    first_phone = select(func.min(Endpoint.created_at)).where(theirs, Endpoint.receive_only.is_(False)).correlate(Did).scalar_subquery()
    since = func.coalesce(EmergencyRecord.uncovered_since, first_phone, Did.created_at).label("since")  # ordered by its name, so that it is worked out once
    rows: Select[*tuple[object, ...]] = (
        select(Did.e164, Account.ref, Account.id, since, EmergencyRecord.carrier, *_FACTS)
        .select_from(Did)
        .join(Account, Account.id == Did.account_id)
        .outerjoin(EmergencyRecord, _HELD)
        .where(*_can_call(), ~covered())
        .order_by(since, Did.e164)
    )
    if account_id is not None:
        rows = rows.where(Did.account_id == account_id)
    with session.execute(rows.limit(limit).execution_options(yield_per=_AT_ONCE)) as found:  # whoever has seen enough leaves no cursor open
        for e164, account, owner, moment, carrier, *facts in found:
            yield Gap(E164(str(e164)), str(account), owner, _facts(*facts), moment, carrier)  # type: ignore[arg-type]


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


def _can_call() -> tuple[ColumnElement[bool], ...]:
    on_emergency_calls = Did.e164.in_(select(Endpoint.emergency_did).where(Endpoint.emergency_did.is_not(None), Endpoint.receive_only.is_(False)))
    return (Did.account_id.is_not(None), or_(select(Endpoint.name).where(*_presents()).correlate(Did).exists(), on_emergency_calls))


def _presents() -> tuple[ColumnElement[bool], ...]:
    return (Endpoint.caller_did == Did.e164, Endpoint.account_id == Did.account_id, Endpoint.receive_only.is_(False))


def _facts(location: str | None, state: str | None, standing: bool, acknowledged: bool) -> RecordFacts:
    if location is None or state is None:
        return NOTHING_KNOWN
    return RecordFacts(LocationClass(location), AddressState(state), bool(standing), bool(acknowledged))
