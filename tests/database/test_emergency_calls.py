"""Emergency calls in the store: each once, with what was tried, and an incident for each that nobody answered."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from ari_app.cdr.emergency import book_emergencies
from ringfence.clock import FixedClock
from ringfence.models import AuditEntry, EmergencyCall, Incident
from ringfence.queries.ledger import invoice_line
from ringfence.values import Direction, RoutedBy
from tests.database.purging import DID, NOW, booking


def test_an_emergency_call_is_kept_once_and_one_that_failed_opens_an_incident(sessions: sessionmaker[Session]) -> None:
    emergency: dict[str, Any] = {"direction": Direction.OUTBOUND, "inbound_trunk": "desk", "routed_by": RoutedBy.STATIC}
    answered = booking(1, NOW, called="999", **emergency)
    failed = booking(2, NOW + timedelta(seconds=5), called="112", answered=False, legs=2, **emergency)
    others = [booking(3, NOW), booking(4, NOW, called="101", **emergency), booking(5, NOW, called="999")]
    for alarms in (2, 0):  # the ledger is read again after a crash: nothing is told twice
        with sessions.begin() as session:
            told = book_emergencies(session, FixedClock(NOW), "n1", [answered, failed, *others, failed])
            assert len(told) == alarms
    with sessions() as session:
        kept = {call.called: call for call in session.scalars(select(EmergencyCall))}
        (incident,) = session.scalars(select(Incident))
        entries = [entry.kind for entry in session.scalars(select(AuditEntry))]
    assert set(kept) == {"999", "112"}
    assert (kept["999"].trunk, kept["999"].answered_at, kept["999"].presented) == ("trunk-a", NOW + timedelta(seconds=4), DID)
    assert (kept["112"].trunk, kept["112"].answered_at, kept["112"].endpoint) == (None, None, "desk")
    assert kept["112"].tried == [{"trunk": "trunk-a", "disposition": "no_answer", "sip_status": None, "cause": 16}] * 2
    assert (incident.cause, incident.data_class) == ("emergency_call_failed", "emergency_call")
    assert failed.call.call_id in incident.detail
    assert DID not in incident.detail
    assert entries == ["incident.opened"]


def test_nobody_pays_for_999() -> None:
    call = booking(1, NOW, called="999", direction=Direction.OUTBOUND, routed_by=RoutedBy.STATIC).call
    assert call.answered_at is not None
    assert invoice_line(call) is None
    assert invoice_line(booking(2, NOW).call) is not None
