"""Calls to 999 that are booked: kept apart from the call log with every trunk that was tried, and an incident for each that nobody answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy.orm import Session

from dialplan.emergency_call import CODES
from ringfence.audit import log as audit_log
from ringfence.clock import Clock
from ringfence.models import DataClass, EmergencyCall, Incident
from ringfence.queries import emergency_calls, incidents
from ringfence.queries.ledger import Booking, Micros
from ringfence.values import Direction, Disposition

FAILED = "emergency_call_failed"  # the incident's cause; each call has its own
_1970 = datetime(1970, 1, 1, tzinfo=UTC)

log = structlog.get_logger()


class Alarm(NamedTuple):
    """What is told of an emergency call once it is booked."""

    call_id: str
    connected: bool
    tried: list[str]  # trunks, in order
    disposition: str


def is_emergency(booking: Booking) -> bool:
    """Whether a phone called an emergency number, whatever became of it."""
    return booking.call.direction is Direction.OUTBOUND and booking.call.called in CODES


def emergency_call(booking: Booking) -> EmergencyCall:
    """Return what is kept of a call."""
    call = booking.call
    answered = call.answered_at is not None
    return EmergencyCall(
        call_id=call.call_id,
        started_at=_moment(call.started_at),
        node=call.node,
        account_id=call.account_id,
        endpoint=call.inbound_trunk or "",
        presented=call.did,
        called=call.called,
        tried=[{"trunk": leg.trunk, "disposition": leg.disposition.value, "sip_status": leg.sip_status, "cause": leg.hangup_cause} for leg in booking.legs],
        trunk=call.trunk if answered else None,
        answered_at=None if call.answered_at is None else _moment(call.answered_at),
        ended_at=_moment(call.ended_at),
        disposition=call.disposition,
    )


def book_emergencies(session: Session, clock: Clock, node: str, bookings: Sequence[Booking]) -> list[Alarm]:
    """Write the emergency calls among what is being booked, with their incidents; return what to tell once the transaction is through.

    Call it last: the audit log is locked from here to the commit.
    """
    found = emergency_calls.add_new(session, [emergency_call(booking) for booking in bookings if is_emergency(booking)])
    for call in found:
        if call.disposition is not Disposition.ANSWERED:
            _raise_incident(session, clock, node, call)
    return [
        Alarm(call.call_id, call.disposition is Disposition.ANSWERED, [str(attempt["trunk"]) for attempt in call.tried], call.disposition.value)
        for call in found
    ]


def tell(alarms: Sequence[Alarm]) -> None:
    """Log each emergency call as an error: somebody must look."""
    for alarm in alarms:
        event = "emergency_call" if alarm.connected else FAILED
        log.error(event, call_id=alarm.call_id, tried=alarm.tried, disposition=alarm.disposition)


def _raise_incident(session: Session, clock: Clock, node: str, call: EmergencyCall) -> None:
    tried = ", ".join(f"{attempt['trunk']} {attempt['sip_status'] or attempt['disposition']}" for attempt in call.tried) or "no trunk"
    detail = f"call {call.call_id} was not answered ({call.disposition}); tried: {tried}. Ring the customer back, then look at the trunks"
    if call.disposition is Disposition.LOST:
        detail = f"call {call.call_id} went down with its Asterisk; whether it was answered is not known. Ring the customer back"
    incident = Incident(id=audit_log.new_id(), cause=FAILED, data_class=DataClass.EMERGENCY_CALL.value, run_id=None, detail=detail[:400], opened_at=clock.now())
    incidents.add(session, incident)
    audit_log.append(session, clock, "incident.opened", actor=f"node:{node}", incident=incident.id, cause=FAILED)


def _moment(micros: Micros) -> datetime:
    return _1970 + timedelta(microseconds=micros)
