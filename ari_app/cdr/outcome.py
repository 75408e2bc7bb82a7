"""How a call and its legs ended, in the customer's terms, from what Asterisk says of them. Pure; all of it is data."""

from __future__ import annotations

from collections.abc import Sequence

from ari_app.cdr.ending import Ending, Part
from dialplan import causes
from dialplan.causes import Verdict
from ringfence.values import Disposition, ForwardingStatus

_OF_SIP = {
    **dict.fromkeys((486, 600), Disposition.BUSY),
    603: Disposition.DECLINED,
    **dict.fromkeys((404, 410, 484, 604), Disposition.UNALLOCATED),
    **dict.fromkeys((408, 480, 487), Disposition.NO_ANSWER),
}
_OF_STATUS = {
    "BUSY": Disposition.BUSY,
    "NOANSWER": Disposition.NO_ANSWER,
    "CANCEL": Disposition.ABANDONED,
    "DONTCALL": Disposition.DECLINED,
    "TORTURE": Disposition.DECLINED,
}
_OF_CAUSE = {
    causes.BUSY: Disposition.BUSY,
    18: Disposition.NO_ANSWER,
    causes.NO_ANSWER: Disposition.NO_ANSWER,
    causes.DECLINED: Disposition.DECLINED,
}
_UNALLOCATED = frozenset({1, 2, 3, 22, 28})
_REJECTED = 21


def leg_disposition(part: Part, dialstatus: str) -> Disposition:
    """Return how one leg that was not answered ended.

    Args:
        part: the leg.
        dialstatus: DIALSTATUS of the call, for a leg of the attempt in hand.
    """
    status = dialstatus
    if part.result is not None:
        if causes.verdict(part.result, {}) is Verdict.TRANSIENT:
            return Disposition.FAILED  # the trunk's fault: a silent one rang nobody
        if part.result.sip_status is not None:
            return _OF_SIP.get(part.result.sip_status, Disposition.FAILED)
        status = part.result.dialstatus
    if part.record is not None and part.record.disposition == "BUSY":
        return Disposition.BUSY
    if status == "ANSWER":  # another leg that rang with it was answered
        return Disposition.NO_ANSWER
    return _OF_STATUS.get(status, Disposition.FAILED)


def call_disposition(ending: Ending, parts: Sequence[Part], *, answered: bool) -> Disposition:
    """Return how the call ended: by the answer, our refusal, the caller, and only then by the last result."""
    if answered:
        return Disposition.ANSWERED
    if ending.routed.refusal:
        return Disposition.UNALLOCATED if ending.cause in _UNALLOCATED else Disposition.REFUSED
    if _caller_left(ending):
        return Disposition.ABANDONED
    if not parts:
        if ending.cause in _UNALLOCATED:
            return Disposition.UNALLOCATED
        return Disposition.REFUSED if ending.cause == _REJECTED else Disposition.FAILED
    if ending.cause in _OF_CAUSE and ending.tried:  # what the caller was told, after every attempt
        return _OF_CAUSE[ending.cause]
    last = leg_disposition(parts[-1], ending.dialstatus)
    return Disposition.FAILED if last is Disposition.UNALLOCATED else last  # a dead target is no unallocated DID


def forwarding_status(ending: Ending, parts: Sequence[Part], *, answered: bool) -> ForwardingStatus:
    """Return what became of the forwarding (claim ON-2.2b)."""
    if answered:
        return ForwardingStatus.FORWARDED
    if not parts:
        return ForwardingStatus.NOT_FORWARDED
    rang = ending.ringing_ms is not None or any(attempt.rang for attempt in ending.tried)
    reached = rang or any(leg_disposition(part, ending.dialstatus) in {Disposition.BUSY, Disposition.DECLINED} for part in parts)
    return ForwardingStatus.NOT_ANSWERED if reached else ForwardingStatus.NOT_REACHED


def _caller_left(ending: Ending) -> bool:
    """Say whether the caller gave up: `Dial()` says CANCEL, and before or between attempts the caller's own channel hung up."""
    return ending.dialstatus == "CANCEL" or (ending.channel != "" and ending.hangup_source == ending.channel)
