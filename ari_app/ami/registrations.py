"""What is registered: customers' phones with us, and our trunks with their carriers."""

from __future__ import annotations

from datetime import datetime

import msgspec

from ari_app.ami.client import AmiClient
from ringfence.clock import from_epoch


class Contact(msgspec.Struct, frozen=True):
    """Where a phone or trunk can be reached."""

    endpoint: str
    uri: str  # without parameters; a phone's own address
    status: str  # Reachable, Unreachable, NonQualified, Unknown
    round_trip_ms: float | None
    expires_at: datetime | None  # of a registration; None for a trunk's fixed address


class TrunkRegistration(msgspec.Struct, frozen=True):
    """Our registration with a carrier."""

    trunk: str
    status: str  # Registered, Unregistered, Rejected, Stopped
    renews_in: int | None  # seconds


async def contacts(client: AmiClient) -> list[Contact]:
    """Return the registered phones, and the fixed addresses of the trunks, by name.

    Raises:
        Unavailable, Refused: as `AmiClient.action`.
    """
    found = [
        Contact(
            endpoint=event.endpoint or event.aor or event.objectname.partition(";@")[0],
            uri=event.uri.partition(";")[0],
            status=event.status or "Unknown",
            round_trip_ms=_number(event.roundtripusec, 1000),
            expires_at=_expiry(event.regexpire or event.expirationtime),
        )
        for event in await client.listing("PJSIPShowContacts")
    ]
    return sorted(found, key=lambda contact: contact.endpoint)


async def trunk_registrations(client: AmiClient) -> list[TrunkRegistration]:
    """Return the state of each trunk that registers, by name. Asterisk's answer holds passwords too: they are dropped here.

    Raises:
        Unavailable, Refused: as `AmiClient.action`.
    """
    found = [
        TrunkRegistration(trunk=event.objectname, status=event.status, renews_in=None if (left := _number(event.nextreg, 1)) is None else int(left))
        for event in await client.listing("PJSIPShowRegistrationsOutbound")
        if event.event == "OutboundRegistrationDetail"
    ]
    return sorted(found, key=lambda registration: registration.trunk)


def _number(text: str, divisor: int) -> float | None:
    return int(text) / divisor if text.isascii() and text.isdigit() and int(text) else None


def _expiry(text: str) -> datetime | None:
    seconds = _number(text, 1) if len(text) < 12 else None
    return None if seconds is None else from_epoch(seconds)
