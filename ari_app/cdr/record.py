"""The ledger records of one call become its CDR: one call row and one row for each leg. Pure.

* `started_at` is the start of the first record, `ended_at` the end of the last; a clock set back in the call never makes it end before it starts.
* `billable_seconds` is `ended_at - answered_at` in whole seconds, rounded up: 60.000001 s are 61, an answer that ended at once is 0.
* `ringing_at` is the first ringing of the attempt that was made last; Asterisk keeps no time of ringing for the attempts before.
* A failed first attempt's `dialled_at` is when the call came in: Asterisk begins the first record there, some milliseconds early.
"""

from __future__ import annotations

from collections.abc import Sequence

from ari_app.cdr.ending import Ending, Part, attempts_of, parse_ending
from ari_app.cdr.line import LedgerRecord, to_micros
from ari_app.cdr.outcome import call_disposition, forwarding_status, leg_disposition
from dialplan.identity import signalled_number
from ringfence.errors import Invalid
from ringfence.queries.ledger import Booking, CallRow, LegRow, Micros
from ringfence.values import Disposition, HungUpBy

_MILLISECOND = 1000


def build(records: Sequence[LedgerRecord], node: str) -> Booking:
    """Return the CDR of a call whose records, the one with the end among them, are all here.

    Raises:
        Invalid: what the end handler wrote cannot be read.
    """
    last = next((record for record in records if record.rf_end), None)
    if last is None:
        raise Invalid("a call without its end")
    ending = parse_ending(last.rf_end)
    parts = attempts_of(ending, records)
    started_at = to_micros(min(record.start for record in records))
    ended_at = max(started_at, to_micros(max(record.end for record in records)))
    answered = next((part for part in parts if part.record and part.record.answer), None)
    answered_at = to_micros(answered.record.answer) if answered and answered.record else _answer_without_record(ending, ended_at)
    if answered is None and answered_at is not None and parts:
        answered = parts[-1]
    dialled_at = _last_dial(ending, parts, started_at)
    final = answered or (parts[-1] if parts else None)
    call = CallRow(
        call_id=last.linkedid,
        started_at=started_at,
        node=node,
        linkedid=last.linkedid,
        direction=ending.facts.direction,
        account_id=ending.routed.account_id,
        did=ending.routed.did,
        caller=signalled_number(ending.facts.caller) or ending.facts.caller or None,
        caller_withheld=ending.facts.withheld,
        called=ending.facts.called,
        inbound_trunk=ending.facts.origin or None,
        forwarded_to=final.leg.address if final else None,
        trunk=(final.leg.trunk or None) if final else None,
        ringing_at=dialled_at + ending.ringing_ms * _MILLISECOND if dialled_at and ending.ringing_ms is not None else None,
        answered_at=answered_at,
        ended_at=ended_at,
        end_estimated=False,
        billable_seconds=billable_seconds(answered_at, ended_at),
        disposition=call_disposition(ending, parts, answered=answered_at is not None),
        forwarding_status=forwarding_status(ending, parts, answered=answered_at is not None),
        hangup_cause=ending.cause,
        sip_status=None if answered_at else _last_sip_status(parts),
        hung_up_by=_hung_up_by(ending),
        routed_by=ending.routed.by,
        refusal=ending.routed.refusal or None,
        plan_version=ending.routed.plan_version,
    )
    return Booking(call, tuple(_leg_row(call, number, part, ending, answered=part is answered, dialled_at=dialled_at) for number, part in enumerate(parts, 1)))


def billable_seconds(answered_at: Micros | None, ended_at: Micros) -> int:
    """Return the answered time in whole seconds, rounded up; 0 when it was not answered."""
    if answered_at is None or ended_at <= answered_at:
        return 0
    return -((answered_at - ended_at) // 1_000_000)


def _answer_without_record(ending: Ending, ended_at: Micros) -> Micros | None:
    """Return when a call was answered whose answered record could not be read."""
    if ending.dialstatus != "ANSWER" or ending.answered_ms is None or not ending.legs:
        return None
    return ended_at - ending.answered_ms * _MILLISECOND


def _last_dial(ending: Ending, parts: Sequence[Part], started_at: Micros) -> Micros | None:
    """Return when the last `Dial()` began: its end less the time it took, and never before its first record."""
    dialled = [part for part in parts if part.record]
    if not dialled:
        return None
    records = [part.record for part in dialled if part.record and part.attempt == dialled[-1].attempt]
    first = to_micros(min(record.start for record in records))
    if ending.dialled_ms is None:
        return first
    return max(started_at, first, to_micros(max(record.end for record in records)) - ending.dialled_ms * _MILLISECOND)


def _last_sip_status(parts: Sequence[Part]) -> int | None:
    return next((part.result.sip_status for part in reversed(parts) if part.result and part.result.sip_status), None)


def _hung_up_by(ending: Ending) -> HungUpBy:
    source = ending.hangup_source
    if source == ending.channel and source:
        return HungUpBy.CALLER
    return HungUpBy.CALLEE if source.startswith("PJSIP/") else HungUpBy.SYSTEM


def _leg_row(call: CallRow, number: int, part: Part, ending: Ending, *, answered: bool, dialled_at: Micros | None) -> LegRow:
    record, result = part.record, part.result
    in_hand = result is None
    began = dialled_at if in_hand and dialled_at else (to_micros(record.start) if record else None)
    answered_at = (to_micros(record.answer) if record and record.answer else call.answered_at) if answered else None
    return LegRow(
        call_id=call.call_id,
        started_at=call.started_at,
        number=number,
        attempt=part.attempt,
        kind=part.leg.kind,
        address=part.leg.address,
        trunk=part.leg.trunk or None,
        dialled_at=began,
        answered_at=answered_at,
        ended_at=max(to_micros(record.end), began) if record and began else None,
        disposition=Disposition.ANSWERED if answered else leg_disposition(part, ending.dialstatus),
        hangup_cause=_leg_cause(part, ending, answered=answered),
        sip_status=result.sip_status if result else None,
    )


def _leg_cause(part: Part, ending: Ending, *, answered: bool) -> int | None:
    """Return a leg's own cause: the call's is that of the leg which was answered, or was alone in the attempt in hand."""
    if part.result is not None:
        return part.result.cause or None
    return ending.cause if answered or len(ending.legs) == 1 else None
