"""Stores to purge: calls of given days, a purge with a clock of its own, and a bundle of what it wrote that the verifier reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from retention.evidence import write_bundle
from retention.export import export
from retention.purge.executor import Purge
from retention.verify.main import main as verify_main
from ringfence.audit.notes import Signer
from ringfence.clock import FixedClock
from ringfence.queries import ledger
from ringfence.queries.ledger import Booking, CallRow, LegRow, micros
from ringfence.session import make_sessions
from ringfence.settings import Settings
from ringfence.values import Direction, Disposition, ForwardingStatus, HungUpBy, RoutedBy, TargetKind

NOW = datetime(2026, 11, 20, 3, 30, tzinfo=UTC)
CUTOFF = datetime(2025, 11, 20, tzinfo=UTC)  # P12M at NOW: a call of 19 November 2025 was kept to the end of 19 November 2026
DID, CALLER, MOBILE = "+442079460001", "+441174960555", "+447700900123"
SIGNER = Signer("example.com/ringfence", bytes(range(32)))


def booking(number: int, at: datetime, *, account: int | None = 1, answered: bool = True, legs: int = 1, **changes: Any) -> Booking:
    """Return a call that began at a moment."""
    started, call_id = micros(at), f"n1-{int(at.timestamp())}.{number}"
    values: dict[str, Any] = {
        "call_id": call_id,
        "started_at": started,
        "node": "n1",
        "linkedid": call_id,
        "direction": Direction.INBOUND,
        "account_id": account,
        "did": DID,
        "caller": CALLER,
        "caller_withheld": False,
        "called": DID,
        "inbound_trunk": "carrier-a",
        "forwarded_to": MOBILE,
        "trunk": "trunk-a",
        "ringing_at": started,
        "answered_at": started + 4_000_000 if answered else None,
        "ended_at": started + 60_000_000,
        "end_estimated": False,
        "billable_seconds": 56 if answered else 0,
        "disposition": Disposition.ANSWERED if answered else Disposition.NO_ANSWER,
        "forwarding_status": ForwardingStatus.FORWARDED if answered else ForwardingStatus.NOT_ANSWERED,
        "hangup_cause": 16,
        "sip_status": None,
        "hung_up_by": HungUpBy.CALLER,
        "routed_by": RoutedBy.ARI,
        "refusal": None,
        "plan_version": 1,
    }
    call = CallRow(**{**values, **changes})
    return Booking(call, tuple(_leg(call, place) for place in range(1, legs + 1)))


def _leg(call: CallRow, place: int) -> LegRow:
    ending = (call.ended_at, call.disposition, 16, None)
    return LegRow(
        call.call_id, call.started_at, place, 1, TargetKind.MOBILE, call.forwarded_to or MOBILE, "trunk-a", call.started_at, call.answered_at, *ending
    )


def book(engine: Engine, bookings: Iterable[Booking]) -> int:
    """Book calls as the booker does."""
    with make_sessions(engine).begin() as session:
        ledger.begin_booking(session, "n1")
        return ledger.insert_bookings(session, list(bookings))


def spread(first: datetime, days: int, per_day: int, **changes: Any) -> Iterator[Booking]:
    """Yield calls over days, evenly."""
    for number in range(days * per_day):
        yield booking(number, first + timedelta(days=1) * (number / per_day), **changes)


def purge(engine: Engine, settings: Settings, clock: FixedClock, **options: Any) -> Purge:
    """Return a purge whose store keeps the same time."""
    return Purge(engine, settings, clock, **{"policy": "recommended", "holder": "test", "store_now": lambda _session: clock.now(), **options})


def scalar(engine: Engine, query: str) -> Any:
    """Return one value."""
    with engine.connect() as connection:
        return connection.execute(text(query)).scalar_one()


def older(engine: Engine, table: str, moment: datetime) -> int:
    """Return how many rows are of before a moment."""
    return int(scalar(engine, f"SELECT count(*) FROM {table} WHERE started_at < '{moment.replace(tzinfo=None).isoformat(' ', 'microseconds')}'"))


def verified(engine: Engine, clock: FixedClock, folder: Path) -> int:
    """Make a bundle of everything and return what `ringfence-verify` says: 0 = all is well."""
    write_bundle(export(engine, clock, SIGNER, "recommended").files, folder)
    return verify_main([str(folder), "--key", SIGNER.verifier_key])
