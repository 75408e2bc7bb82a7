"""Names and frozen value objects that cross packages: the vocabulary of a call, and of the routing plan.

No I/O, no defaults that hide a decision. Numbers are E.164 text with a leading `+` (type `E164`), never integers.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NewType

import msgspec

from ringfence.emergency import RecordFacts

E164 = NewType("E164", str)  # '+' and 7 to 15 digits
Linkedid = NewType("Linkedid", str)  # Asterisk's linkedid: '<systemname>-<epoch>.<sequence>'


class AccountState(StrEnum):
    """Whether a customer's numbers carry calls."""

    ACTIVE = "active"
    SUSPENDED = "suspended"  # calls refused; data kept
    CLOSED = "closed"  # ended; retention windows run from here


class DidState(StrEnum):
    """Whether a number carries calls."""

    ACTIVE = "active"
    INACTIVE = "inactive"  # provisioned, not routed
    QUARANTINED = "quarantined"  # left its owner, not yet given out again


class NumberClass(StrEnum):
    """What a UK number is, by Ofcom's plan; decides what it may be used for."""

    GEOGRAPHIC = "geographic"  # 01, 02
    UK_WIDE = "uk_wide"  # 03
    CORPORATE = "corporate"  # 055
    VOIP = "voip"  # 056
    MOBILE = "mobile"  # 071-075, 077-079
    PERSONAL = "personal"  # 070
    PAGER = "pager"  # 076 but 07624
    FREEPHONE = "freephone"  # 080
    SERVICE = "service"  # 084, 087
    PREMIUM = "premium"  # 09
    INTERNATIONAL = "international"  # not +44
    UNUSED = "unused"  # a UK range not in use


class TargetKind(StrEnum):
    """Where a DID may send its calls."""

    MOBILE = "mobile"
    LANDLINE = "landline"
    ENDPOINT = "endpoint"  # a registered SIP phone of the same account


class TrunkDirection(StrEnum):
    """Which calls a trunk takes."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    BOTH = "both"


class Transport(StrEnum):
    """SIP transport towards a trunk."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class CallerIdMode(StrEnum):
    """Whose number a trunk shows the called party."""

    DID = "did"  # the number that was called
    PASS = "pass"  # noqa: S105  the caller's own number
    PASS_DIVERSION = "pass_diversion"  # noqa: S105  the caller's, with a Diversion header naming the DID


class NumberFormat(StrEnum):
    """How a trunk wants numbers in the Request-URI."""

    E164_PLUS = "e164_plus"  # +447700900123
    E164 = "e164"  # 447700900123
    NATIONAL = "national"  # 07700900123; 00 before other countries


class EmergencyLocation(StrEnum):
    """How a call to 999 says where the phone is, besides by the number that it presents."""

    CIVIC = "civic"  # the address of the phone's site, by value (PIDF-LO, RFC 4119)


class Direction(StrEnum):
    """Which way a call goes, seen from the customer."""

    INBOUND = "inbound"  # carrier -> DID
    OUTBOUND = "outbound"  # the customer's phone -> anybody
    INTERNAL = "internal"  # the customer's phone -> one of our DIDs


class RoutedBy(StrEnum):
    """Which part of the system decided; every step of the fall-back is recorded."""

    ARI = "ari"
    AGI = "agi"
    ASTDB = "astdb"
    DIALPLAN = "dialplan"  # nobody was asked: refused by the static dialplan
    STATIC = "static"  # an emergency call, or a call back to where one was made: the rendered dialplan alone


class Disposition(StrEnum):
    """How a call ended, in the customer's terms."""

    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    DECLINED = "declined"  # the called party refused it
    ABANDONED = "abandoned"  # the caller gave up first
    UNALLOCATED = "unallocated"  # the number called is not in service here
    REFUSED = "refused"  # a rule of ours said no; see the refusal reason
    FAILED = "failed"  # every trunk failed
    LOST = "lost"  # Asterisk ended under it; its end is an estimate


class ForwardingStatus(StrEnum):
    """What became of the forwarding, for the customer's own record (claim ON-2.2b)."""

    FORWARDED = "forwarded"  # a target answered
    NOT_ANSWERED = "not_answered"  # a target was rung, nobody answered
    NOT_REACHED = "not_reached"  # no target could be rung
    NOT_FORWARDED = "not_forwarded"  # refused before any target was tried


class HungUpBy(StrEnum):
    """Who ended it."""

    CALLER = "caller"
    CALLEE = "callee"
    SYSTEM = "system"
    UNKNOWN = "unknown"


class PlanAccount(msgspec.Struct, frozen=True):
    """An account as routing sees it."""

    account_id: int
    state: AccountState
    concurrency_limit: int | None  # calls at once on one node; None = no limit


class PlanTarget(msgspec.Struct, frozen=True, gc=False):
    """One forwarding target. Targets of equal position ring together; lower positions first."""

    position: int
    kind: TargetKind
    address: str  # E.164, or the endpoint's name
    ring_seconds: int


class PlanDid(msgspec.Struct, frozen=True):
    """A number as routing sees it."""

    e164: E164
    account_id: int | None
    state: DidState
    targets: tuple[PlanTarget, ...]  # ordered by position


class PlanTrunk(msgspec.Struct, frozen=True):
    """A trunk as routing sees it."""

    name: str  # also the PJSIP endpoint's name: [a-z0-9-]
    direction: TrunkDirection
    enabled: bool
    priority: int  # lower first
    weight: int  # share among equal priorities, >= 1
    caller_id_mode: CallerIdMode
    number_format: NumberFormat
    network_number: E164 | None  # sent as P-Asserted-Identity when set
    capacity: int | None  # outbound channels at once on one node
    causes: dict[str, str]  # SIP status or 'q<cause>' -> 'final' | 'transient'; overrides the defaults


class PlanEndpoint(msgspec.Struct, frozen=True):
    """A customer's phone as routing sees it."""

    name: str  # also the PJSIP endpoint's name
    account_id: int
    caller_did: E164 | None  # the DID its own calls present
    enabled: bool
    record: RecordFacts  # what is held of that DID for 999
    receive_only: bool  # may it take calls only
