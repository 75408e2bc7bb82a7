"""What is looked at in a test of calls to 999, decided from what came to the answering points. Pure. No number or address is in a finding."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence

import msgspec

from ari_app.private.sip_trace import SipMessage
from dialplan.emergency_location import elements
from dialplan.node_conf import PhoneConf, TrunkConf
from dialplan.numbers import format_for
from ringfence.values import E164, NumberFormat

_USER = re.compile(r"<sips?:([^@>;]*)@")
_LOCATION = ("Geolocation", "Geolocation-Routing")  # RFC 6442
_ADDRESS = re.compile(r"<(?:\w+:)?civicAddress[^>]*>(.*?)</(?:\w+:)?civicAddress>", re.DOTALL)
_ELEMENT = re.compile(r"<(?:\w+:)?(\w+)>([^<]*)</")


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    check: str
    problem: str  # empty when it is as it should be

    @property
    def ok(self) -> bool:
        """Whether it is as it should be."""
        return not self.problem


def reached(code: str, ways: Sequence[str], came: Mapping[str, Sequence[SipMessage]], wanted: Mapping[str, int]) -> str:
    """Return what is wrong with which trunks got how many calls to a code; `wanted` is how many each should have got."""
    wrong = [f"{way} got {len(came[way])} call(s) instead of {wanted.get(way, 0)}" for way in ways if len(came[way]) != wanted.get(way, 0)]
    strange = [way for way in ways if any(not message.start.startswith(f"INVITE sip:{code}@") for message in came[way])]
    return "; ".join([*wrong, *(f"{way} was called for another number than {code}" for way in strange)])


def shown(trunk: TrunkConf, phones: Sequence[PhoneConf], came: Sequence[SipMessage]) -> str:
    """Return which phones are presented otherwise than with the number of their site, in From and P-Asserted-Identity, not withheld.

    Args:
        trunk: where the calls came.
        phones: the callers, in the order of their calls.
        came: the INVITEs, in order.
    """
    wrong = []
    for phone, message in zip(phones, came, strict=False):
        number = format_for(E164(phone.site), NumberFormat(trunk.number_format))
        identity = message.all("P-Asserted-Identity")
        if _user(message.get("From")) != number:
            wrong.append(f"From of {phone.name} is not the number of its site")
        if [_user(value) for value in identity] != [number]:
            wrong.append(f"P-Asserted-Identity of {phone.name} is not the number of its site")
        if message.all("Privacy") or "anonymous" in message.get("From").lower():
            wrong.append(f"the number of {phone.name} is withheld")
    return _few(wrong)


def located(trunk: TrunkConf, phones: Sequence[PhoneConf], came: Sequence[SipMessage], *, again: bool = False) -> str:
    """Return whose location went out otherwise than it should: the address of the phone's site where a trunk asks for it, nothing anywhere else.

    Args:
        trunk: where the calls came.
        phones: the callers, in the order of their calls.
        came: the INVITEs, in order.
        again: they are of the second round, which goes without.
    """
    wrong = []
    for phone, message in zip(phones, came, strict=False):
        wanted = list(elements(phone)) if trunk.location and not again else []
        told = [name for name in _LOCATION if message.all(name)]
        if not wanted and (told or "pidf" in message.body or message.get("Content-Type").lower().startswith("multipart/")):
            wrong.append(f"{trunk.name} was told where {phone.name} is, which it must not be")
        elif wanted and (told != list(_LOCATION) or _civic(message.body) != wanted):
            wrong.append(f"{trunk.name} was not told the address of {phone.name}")
    return _few(wrong)


def _civic(body: str) -> list[tuple[str, str]]:
    """Return the elements of the first civic address (RFC 5139) in a body."""
    address = _ADDRESS.search(body)
    return [(name, html.unescape(value)) for name, value in _ELEMENT.findall(address[1])] if address else []


def _user(value: str) -> str:
    match = _USER.search(value)
    return match[1] if match else ""


def _few(wrong: Sequence[str]) -> str:
    return "; ".join(wrong[:5]) + ("" if len(wrong) <= 5 else f"; and {len(wrong) - 5} more")
