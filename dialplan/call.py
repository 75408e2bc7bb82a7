"""What is known of one call, and how it is written into Asterisk's variables, the ledger and the journal, and read back.

Asterisk's ledger does not escape what it writes, so these texts use only the characters `0-9 A-Z a-z + - _ . # : = & ^ ~ /` and are
split at fixed separators. Reading treats every text as hostile: anything unexpected raises `Invalid`.

    RF_IN     direction:called:caller:presentation:origin:diversions:diverted_from       written by the dialplan at entry
    RF_BY     routed_by:plan_version:account:did:refusal                                 written by whoever decided
    RF_LEGS   kind:address:trunk{&kind:address:trunk}                                    the attempt in hand
    RF_TRIED  legs=DIALSTATUS[_RANG]=channel~sip~cause{&channel~sip~cause}{^…}           attempts that failed
"""

from __future__ import annotations

import re

import msgspec

from ringfence.errors import Invalid
from ringfence.values import E164, Direction, RoutedBy, TargetKind

_DIRECTIONS = {"in": Direction.INBOUND, "out": Direction.OUTBOUND, "int": Direction.INTERNAL}
_DIRECTION_CODES = {value: key for key, value in _DIRECTIONS.items()}
_KINDS = {"m": TargetKind.MOBILE, "l": TargetKind.LANDLINE, "e": TargetKind.ENDPOINT}
_KIND_CODES = {value: key for key, value in _KINDS.items()}
_ROUTED_BY = {value.value: value for value in RoutedBy}
_NUMBER = re.compile(r"\+?[0-9]{0,40}\Z")
_DIALLED = re.compile(r"\+[0-9]{7,15}\Z|[0-9]{3,6}\Z", re.ASCII)  # a short code stands as it is
_CLAIMED = re.compile(r"[0-9+]{0,100}\Z")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")
_REASON = re.compile(r"[a-z0-9_]{0,40}\Z")
LOCATED = ".location"  # ends the endpoint of an emergency trunk that sends an address; no name that people give has a dot
_CHANNEL = re.compile(rf"([a-z0-9][a-z0-9-]{{0,39}})(?:{re.escape(LOCATED)})?-([0-9a-f]{{8}})\Z")


class CallFacts(msgspec.Struct, frozen=True):
    """What Asterisk says of a call when it asks where it goes."""

    direction: Direction  # INBOUND from a trunk, OUTBOUND from a phone
    called: str  # as signalled, only digits and '+'
    caller: str  # as signalled, only digits and '+'; empty when there is none
    presentation: str  # Asterisk's CALLERID(pres), e.g. 'allowed_not_screened', 'prohib'
    origin: str  # the trunk's or phone's PJSIP endpoint
    diversions: int  # count of Diversion headers, as Asterisk summed them up
    diverted_from: str  # number in the last Diversion; may be empty

    @property
    def withheld(self) -> bool:
        """Whether the caller asked for the number not to be shown."""
        return self.presentation.startswith("prohib")


class Leg(msgspec.Struct, frozen=True):
    """One target by one trunk."""

    kind: TargetKind
    address: str  # E.164, a short code, or the endpoint's name
    trunk: str  # empty for a registered phone

    @property
    def endpoint(self) -> str:
        """The PJSIP endpoint that is dialled."""
        return self.trunk or self.address


class LegResult(msgspec.Struct, frozen=True):
    """How one leg of a failed attempt ended."""

    leg: Leg
    dialstatus: str  # DIALSTATUS of the whole attempt
    rang: bool  # of the whole attempt
    sip_status: int | None
    cause: int | None  # Q.850


class TriedAttempt(msgspec.Struct, frozen=True):
    """An attempt that failed, with the result of each leg."""

    legs: tuple[Leg, ...]
    dialstatus: str  # without the mark that it rang
    rang: bool  # did a target ring, or send early media?
    results: tuple[LegResult, ...]  # one for each leg, in order


class Routed(msgspec.Struct, frozen=True):
    """Who decided, by which plan, and for whom."""

    by: RoutedBy
    plan_version: int | None
    account_id: int | None
    did: E164 | None
    refusal: str  # slug; empty when not refused


def parse_facts(text: str) -> CallFacts:
    """Read RF_IN.

    Raises:
        Invalid: it is not seven fields of the right shape.
    """
    parts = text.split(":")
    if len(parts) != 7:
        raise Invalid("a call's facts have seven fields")
    direction, called, caller, presentation, origin, diversions, diverted_from = parts
    if direction not in _DIRECTIONS or not _REASON.match(presentation) or not (origin == "" or _NAME.match(origin)):
        raise Invalid("a call's facts name an unknown direction, presentation or origin")
    if not (_NUMBER.match(called) and _CLAIMED.match(caller) and _CLAIMED.match(diverted_from)):
        raise Invalid("a call's facts hold a number with other characters than digits and '+'")
    return CallFacts(
        direction=_DIRECTIONS[direction],
        called=called,
        caller=_claimed(caller),
        presentation=presentation,
        origin=origin,
        diversions=_count(diversions),
        diverted_from=_claimed(diverted_from),
    )


def format_facts(facts: CallFacts) -> str:
    """Write RF_IN; the dialplan writes the same text by itself."""
    return ":".join(
        (_DIRECTION_CODES[facts.direction], facts.called, facts.caller, facts.presentation, facts.origin, str(facts.diversions), facts.diverted_from)
    )


def parse_routed(text: str) -> Routed:
    """Read RF_BY; an empty text means that nobody was asked.

    Raises:
        Invalid: it is not five fields of the right shape.
    """
    if not text:
        return Routed(by=RoutedBy.DIALPLAN, plan_version=None, account_id=None, did=None, refusal="")
    parts = text.split(":")
    if len(parts) != 5:
        raise Invalid("a decision has five fields")
    by, plan, account, did, refusal = parts
    if by not in _ROUTED_BY or not _REASON.match(refusal) or not _NUMBER.match(did):
        raise Invalid("a decision names an unknown part, number or refusal")
    return Routed(by=_ROUTED_BY[by], plan_version=_optional(plan), account_id=_optional(account), did=E164(did) if did else None, refusal=refusal)


def format_routed(routed: Routed) -> str:
    """Write RF_BY."""
    plan = "" if routed.plan_version is None else routed.plan_version
    account = "" if routed.account_id is None else routed.account_id
    return f"{routed.by}:{plan}:{account}:{routed.did or ''}:{routed.refusal}"


def parse_legs(text: str) -> tuple[Leg, ...]:
    """Read RF_LEGS.

    Raises:
        Invalid: a leg is not `kind:address:trunk`.
    """
    return tuple(_leg(part) for part in text.split("&")) if text else ()


def format_legs(legs: tuple[Leg, ...]) -> str:
    """Write RF_LEGS."""
    return "&".join(f"{_KIND_CODES[leg.kind]}:{leg.address}:{leg.trunk}" for leg in legs)


def parse_tried(text: str) -> tuple[TriedAttempt, ...]:
    """Read RF_TRIED, oldest attempt first.

    Raises:
        Invalid: an attempt is not `legs=DIALSTATUS=results`.
    """
    return tuple(_tried(part) for part in text.split("^") if part)


def channel_endpoint(channel: str) -> tuple[str, int]:
    """Return the trunk or phone and the running number of a channel name like `PJSIP/trunk-a-0000002f`.

    Raises:
        Invalid: it is not a PJSIP channel name.
    """
    match = _CHANNEL.match(channel.removeprefix("PJSIP/"))
    if not match:
        raise Invalid("not a PJSIP channel name")
    return match[1], int(match[2], 16)


def match_channels(legs: tuple[Leg, ...], channels: list[str]) -> dict[str, int]:
    """Return for each channel name the index of the leg that it is.

    Several legs may use one trunk; `Dial()` makes their channels in the order of the legs, and channel numbers rise.
    """
    waiting: dict[str, list[int]] = {}
    for index, leg in enumerate(legs):
        waiting.setdefault(leg.endpoint, []).append(index)
    found: dict[str, int] = {}
    for channel in sorted(channels, key=lambda name: channel_endpoint(name)[1]):
        indexes = waiting.get(channel_endpoint(channel)[0])
        if indexes:
            found[channel] = indexes.pop(0)
    return found


def _claimed(text: str) -> str:
    """Return a number that somebody outside wrote, or nothing when it can be none: that must cost neither the call nor its record."""
    return text if _NUMBER.match(text) else ""


def _leg(text: str) -> Leg:
    kind, _, rest = text.partition(":")
    address, separator, trunk = rest.partition(":")
    if kind not in _KINDS or not separator or not (trunk == "" or _NAME.match(trunk)):
        raise Invalid("a leg has a kind, an address and a trunk")
    if not (_NAME.match(address) if kind == "e" else _DIALLED.match(address)):
        raise Invalid("a leg's address is neither a number nor a phone")
    return Leg(kind=_KINDS[kind], address=address, trunk=trunk)


def _tried(text: str) -> TriedAttempt:
    parts = text.split("=")
    if len(parts) != 3 or not re.match(r"[A-Z_]{0,20}\Z", parts[1]):
        raise Invalid("a tried attempt has legs, a dial status and results")
    legs, dialstatus, rang = parse_legs(parts[0]), parts[1].removesuffix("_RANG"), parts[1].endswith("_RANG")
    outcomes: dict[str, tuple[int | None, int | None]] = {}
    for result in (item for item in parts[2].split("&") if item):
        fields = result.split("~")
        if len(fields) != 3:
            raise Invalid("a result has a channel, a SIP status and a cause")
        channel_endpoint(fields[0])
        outcomes[fields[0]] = (_final_status(fields[1]), _optional(fields[2]))
    by_leg = {index: outcomes[channel] for channel, index in match_channels(legs, list(outcomes)).items()}
    results = tuple(LegResult(leg, dialstatus, rang, *by_leg.get(index, (None, None))) for index, leg in enumerate(legs))
    return TriedAttempt(legs=legs, dialstatus=dialstatus, rang=rang, results=results)


def _final_status(text: str) -> int | None:
    """Read a SIP status; a leg that was cancelled while it rang still shows its 180, which is no answer to anything."""
    status = _optional(text)
    return status if status is not None and status >= 300 else None


def _optional(text: str) -> int | None:
    return _count(text) if text else None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        if text == "":
            return 0
        raise Invalid("a count is not a number")
    return int(text)
