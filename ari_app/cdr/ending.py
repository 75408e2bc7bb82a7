"""What the end-of-call handler wrote into a call's last record (`rf_end`), and what the ledger's records say of its attempts. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from ari_app.cdr.line import LedgerRecord
from dialplan.call import LOCATED, CallFacts, Leg, LegResult, Routed, TriedAttempt, match_channels, parse_facts, parse_legs, parse_routed, parse_tried
from ringfence.errors import Invalid

_FIELDS = 11
_STATUS = re.compile(r"[A-Z]{0,20}\Z", re.ASCII)
_SOURCE = re.compile(r"[A-Za-z0-9@._/;-]{0,100}\Z", re.ASCII)
_LARGEST_ID = 2**31 - 1


class Ending(msgspec.Struct, frozen=True):
    """The facts of a whole call, as its end handler put them together."""

    facts: CallFacts
    routed: Routed
    legs: tuple[Leg, ...]  # the attempt in hand; empty when it had failed and was moved to `tried`
    tried: tuple[TriedAttempt, ...]
    cause: int | None  # Q.850
    dialstatus: str  # of the last Dial(); empty when there was none
    dialled_ms: int | None  # how long the last Dial() took, to its end
    answered_ms: int | None  # how long it was answered
    ringing_ms: int | None  # from its start to the first ringing
    hangup_source: str  # the channel that hung up; another text when the system did
    channel: str  # the caller's channel


class Part(msgspec.Struct, frozen=True):
    """One leg with the record and the result that belong to it."""

    attempt: int
    leg: Leg
    record: LedgerRecord | None
    result: LegResult | None  # of an attempt that failed


def parse_ending(text: str) -> Ending:
    """Read `rf_end`.

    Raises:
        Invalid: it is not eleven fields of the right shape.
    """
    fields = text.split("|")
    if len(fields) != _FIELDS:
        raise Invalid("an end of call has eleven fields")
    routed = parse_routed(fields[1])
    if routed.account_id is not None and routed.account_id > _LARGEST_ID:
        raise Invalid("an account's number is out of range")
    if not (_STATUS.match(fields[5]) and _SOURCE.match(fields[9]) and _SOURCE.match(fields[10])):
        raise Invalid("an end of call names an unknown status or channel")
    return Ending(
        facts=parse_facts(fields[0]),
        routed=routed,
        legs=parse_legs(fields[2]),
        tried=parse_tried(fields[3]) if fields[3] else (),
        cause=(_number(fields[4], 127) or None),
        dialstatus=fields[5],
        dialled_ms=_number(fields[6]),
        answered_ms=_number(fields[7]),
        ringing_ms=_number(fields[8]),
        hangup_source=fields[9],
        channel=fields[10],
    )


def attempts_of(ending: Ending, records: Sequence[LedgerRecord]) -> list[Part]:
    """Return every leg that was dialled, in order.

    An attempt in hand that was refused by a limit, or whose caller left before `Dial()`, has neither record nor status: it was never made.
    """
    by_attempt: dict[int, dict[str, LedgerRecord]] = {}
    for record in records:
        if record.dstchannel.startswith("PJSIP/"):
            by_attempt.setdefault(record.attempt, {})[record.dstchannel] = record
    parts: list[Part] = []
    number = 0
    for number, attempt in enumerate(ending.tried, 1):
        parts += _parts(number, attempt.legs, by_attempt.get(number, {}), attempt.results)
    made = number + 1 in by_attempt or (not ending.routed.refusal and not ending.tried and ending.dialstatus != "")
    if ending.legs and made:
        parts += _parts(number + 1, ending.legs, by_attempt.get(number + 1, {}), ())
    return parts


def _parts(number: int, legs: tuple[Leg, ...], records: dict[str, LedgerRecord], results: Sequence[LegResult]) -> list[Part]:
    if len(legs) == 1 and len(records) == 1:
        channel, record = next(iter(records.items()))
        mine = {0: record} if channel[6:].rpartition("-")[0].removesuffix(LOCATED) == legs[0].endpoint else {}
    else:
        mine = {index: records[channel] for channel, index in match_channels(legs, list(records)).items()}
    return [Part(number, leg, mine.get(index), results[index] if results else None) for index, leg in enumerate(legs)]


def _number(text: str, largest: int = 31 * 86_400_000) -> int | None:
    if text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12) or int(text) > largest:
        raise Invalid("an end of call holds a number out of range")
    return int(text)
