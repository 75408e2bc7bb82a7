"""A number with a phone that presents it, and its address for 999, for the tests of records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from dialplan.emergency.state import AddressEvent
from retention.emergency import records
from ringfence.clock import Clock, FixedClock
from ringfence.emergency import Confirmation, LocationClass
from ringfence.models import EmergencyRecord
from ringfence.queries import accounts, numbering
from ringfence.queries.emergency import Answer
from ringfence.session import make_sessions
from ringfence.values import E164, NumberClass

START = datetime(2026, 3, 29, 0, 30, 0, 123456, tzinfo=UTC)
DID, OTHER = E164("+442079460123"), E164("+442079460456")
ADDRESS = {"name": "Example", "premises": "104", "thoroughfare": "King Street", "locality": "Sheffield", "postcode": "S9 5AD"}
NO_ADDRESS: dict[str, str] = {}


def stock(session: Session, clock: Clock) -> None:
    """Make two accounts, one with two numbers, of which a phone presents the first."""
    accounts.add_account(session, clock, "ACME", "Acme Plumbing Ltd", 10)
    accounts.add_account(session, clock, "OTHER", "Other Ltd", None)
    for e164 in (DID, OTHER):
        numbering.add_did(session, clock, e164, NumberClass.GEOGRAPHIC)
        numbering.assign_did(session, clock, e164, "ACME")
    accounts.add_endpoint(session, clock, "desk-1", "ACME", caller_did=DID, ha1="0" * 32)
    session.commit()


def enter(session: Session, clock: Clock, e164: E164 = DID, location: LocationClass = LocationClass.FIXED, **changes: Any) -> EmergencyRecord:
    """Enter an address and commit."""
    fields = {**ADDRESS, **changes} if location.value in {"fixed", "nomadic", "multi_site"} else NO_ADDRESS
    wish = records.parse_wish(e164, location, fields, confirmed=Confirmation("Ada Example", "phone"), acknowledged=location is LocationClass.OUTSIDE_UK)
    record = records.set_address(session, clock, wish)
    session.commit()
    return record


def happen(session: Session, clock: Clock, record: EmergencyRecord, *events: AddressEvent, **answer: Any) -> EmergencyRecord:
    """Let things happen to a record, one transaction each."""
    for event in events:
        records.happened(session, clock, record.id, event, Answer(carrier="test", **answer))
        session.commit()
    return record


# A module of tests that wants one of these imports it by name, and names it in __all__.


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands at `START`."""
    return FixedClock(START)


@pytest.fixture
def stocked(session: Session, clock: FixedClock) -> Session:
    """A session on a store with two accounts, two numbers and a phone."""
    stock(session, clock)
    return session


@pytest.fixture
def sessions(engine: Engine, clock: FixedClock) -> sessionmaker[Session]:
    """The factory of sessions on such a store, in which the first number has an address."""
    made = make_sessions(engine)
    with made() as session:
        stock(session, clock)
        enter(session, clock)
    return made
