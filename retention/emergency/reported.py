"""A carrier reports that a 999 operator had no address, or a wrong one, for a number that called: the record is sent again, and a person looks why.

That it happened means that the checks before it failed, so its incident is closed by a person only, though the record may be accepted again in a minute.
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy.orm import Session, sessionmaker

from dialplan.emergency.state import AddressEvent
from retention import incidents
from retention.emergency import records
from retention.webhook.report import Report
from ringfence.clock import Clock
from ringfence.emergency import WITH_ADDRESS, AddressState, SubmissionAction
from ringfence.models import EmergencyRecord
from ringfence.queries import audit, emergency
from ringfence.queries import emergency_outbox as outbox
from ringfence.queries.conservation import begin_alone

MISSING = "emergency_reported_missing"
STRANGE = "emergency_report_strange"
_SENT_AGAIN = frozenset({AddressState.SUBMITTED, AddressState.PENDING_REVIEW, AddressState.ACCEPTED})
_DETAIL = "somebody called 999 and the operator there had no address, or a wrong one: 'ringfence emergency reports' lists the numbers; find out why"


class Taken(StrEnum):
    """What became of a report."""

    SENT_AGAIN = "sent_again"
    NOTED = "noted"  # the record is one that a person must mend, or it is on its way already
    REPEATED = "repeated"  # this report was taken in before
    NO_ADDRESS = "no_address"  # ours, and nothing is held of it that 999 could have
    UNKNOWN_NUMBER = "unknown_number"
    UNREADABLE = "unreadable"


def take_in(sessions: sessionmaker[Session], clock: Clock, report: Report | None) -> Taken:
    """Take a report in, in one transaction with its incident; None = one that cannot be read. The same again changes nothing."""
    with sessions.begin() as session:
        begin_alone(session)
        if report is None:
            return _strange(session, clock, Taken.UNREADABLE, "a carrier sent a report about 999 that this release cannot read: see the worker's log")
        record = emergency.current(session, report.number, lock=True)
        if record is None or record.location not in WITH_ADDRESS:
            ours = bool(emergency.owners_of(session, [report.number]))
            detail = f"a carrier reported a call to 999 from a number (it ends in {report.number[-3:]}) that {'has no address' if ours else 'is not ours'}"
            return _strange(session, clock, Taken.NO_ADDRESS if ours else Taken.UNKNOWN_NUMBER, detail)
        if record.report_key == report.key:
            return Taken.REPEATED
        taken = _send_again(session, clock, record)
        emergency.note_report(session, clock, record, report.key)
        audit.lock_head(session)
        incidents.raise_incident(session, clock, MISSING, _DETAIL)
        return taken


def _send_again(session: Session, clock: Clock, record: EmergencyRecord) -> Taken:
    if record.state in _SENT_AGAIN:
        records.happened(session, clock, record.id, AddressEvent.REPORTED_MISSING)
        outbox.drop(session, clock, [record.id])
        outbox.enqueue(session, clock, record, SubmissionAction.SUBMIT)
        return Taken.SENT_AGAIN
    if record.state is AddressState.REPORTED_MISSING and not outbox.hurry(session, clock, [record.e164]):
        outbox.enqueue(session, clock, record, SubmissionAction.SUBMIT)
        return Taken.SENT_AGAIN
    return Taken.NOTED  # a draft that waits, or one that the carrier refused and would refuse again


def _strange(session: Session, clock: Clock, taken: Taken, detail: str) -> Taken:
    audit.lock_head(session)
    incidents.raise_incident(session, clock, STRANGE, detail)
    return taken
