"""What is registered: customers' phones with us, and our trunks with their carriers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec
from panoramisk.message import Message

from ari_app.ami.client import AmiClient
from ringfence.clock import from_epoch
from ringfence.errors import Refused


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


async def registered_phones(client: AmiClient) -> list[Contact]:
    """Return the phones that are registered, by name.

    Raises:
        Unavailable, Refused: as `AmiClient.action`.
    """
    found = [_contact(event.endpoint, event, event.expirationtime) for event in await client.listing("PJSIPShowContacts")]
    return sorted(found, key=lambda contact: contact.endpoint)


async def trunk_addresses(client: AmiClient, trunks: Iterable[str]) -> list[Contact]:
    """Return whether the address of each of these outbound trunks answers; a trunk that Asterisk does not know is left out.

    Raises:
        Unavailable: as `AmiClient.action`.
    """
    found: list[Contact] = []
    for name in trunks:
        try:
            details = await client.listing("PJSIPShowEndpoint", Endpoint=name)
        except Refused:
            continue
        found += [_contact(name, event, "") for event in details if event.event == "ContactStatusDetail"]
    return found


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


def _contact(endpoint: str, event: Message, expires: str) -> Contact:
    seconds = _number(expires, 1) if len(expires) < 12 else None
    return Contact(
        endpoint=endpoint,
        uri=event.uri.partition(";")[0],
        status=event.status or "Unknown",
        round_trip_ms=_number(event.roundtripusec, 1000),
        expires_at=None if seconds is None else from_epoch(seconds),
    )


def _number(text: str, divisor: int) -> float | None:
    return int(text) / divisor if text.isascii() and text.isdigit() and int(text) else None
