"""Which addresses must be confirmed again: nobody has said for a period that they are right. Periods are of the calendar, in London.

The rule is that an address is kept up to date (General Conditions, consumer information of VoIP providers, once GC 14, annex 3; for one used from several
places, that each is recommended to be registered). How often to ask is this product's default: no period was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

import msgspec
from sqlalchemy.orm import Session

from retention.calendar import Period, cutoff, deletable_at, parse_period
from ringfence.emergency import LocationClass
from ringfence.errors import Invalid, Misconfigured
from ringfence.models import EmergencyRecord
from ringfence.queries import emergency_coverage as stored
from ringfence.settings import Emergency
from ringfence.values import E164

Periods = Mapping[LocationClass, Period]


class Due(msgspec.Struct, frozen=True):
    """A number that can call, and whose address must be confirmed again."""

    number: E164
    account: str
    account_id: int
    location: str
    last_said_at: datetime  # when it was last confirmed, else entered
    confirmed: bool  # whether anybody ever said that it is right
    confirmed_by: str | None
    due_at: datetime  # from then on it is to be confirmed again
    age_days: int  # since it was last confirmed, else entered


def periods_of(chosen: Emergency) -> Periods:
    """Return after which period an address of each class must be confirmed again.

    Raises:
        Misconfigured: a setting is no period, or an empty one.
    """
    every = _period("confirm_every", chosen.confirm_every)
    nomadic = _period("confirm_nomadic_every", chosen.confirm_nomadic_every)
    return {LocationClass.FIXED: every, LocationClass.MULTI_SITE: every, LocationClass.NOMADIC: nomadic}


def due_at(record: EmergencyRecord, periods: Periods) -> datetime | None:
    """Return from when on an address must be confirmed again; None when its class has none."""
    period = periods.get(record.location)
    return deletable_at(record.confirmed_at or record.made_at, period) if period else None


def count_due(session: Session, periods: Periods, now: datetime) -> int:
    """Return how many numbers that can call have an address that must be confirmed again."""
    return stored.count_unconfirmed(session, _before(periods, now))


def list_due(session: Session, periods: Periods, now: datetime, *, account_id: int | None = None, limit: int | None = None) -> Iterator[Due]:
    """Yield those numbers, with age and owner, the longest unconfirmed first."""
    for one in stored.unconfirmed(session, _before(periods, now), account_id=account_id, limit=limit):
        due = deletable_at(one.since, periods[one.location])
        age = (now - one.since) // timedelta(days=1)
        yield Due(one.e164, one.account, one.account_id, one.location.value, one.since, one.confirmed, one.confirmed_by, due, age)


def _before(periods: Periods, now: datetime) -> dict[LocationClass, datetime]:
    return {location: cutoff(now, period) for location, period in periods.items()}


def _period(name: str, text: str) -> Period:
    try:
        period = parse_period(text)
    except Invalid as error:
        raise Misconfigured(f"emergency.{name} is {text!r}, which is no period", hint=error.hint) from error
    if period == Period():
        raise Misconfigured(f"emergency.{name} is an empty period", hint="write a number of years, months or days, as P12M")
    return period
