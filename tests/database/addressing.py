"""A number with a phone that presents it, and its address for 999, for the tests of records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from dialplan.emergency.state import AddressEvent
from retention.emergency import records
from ringfence.clock import Clock
from ringfence.emergency import Confirmation, LocationClass
from ringfence.models import EmergencyRecord
from ringfence.queries import accounts, numbering
from ringfence.queries.emergency import Answer
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
