"""Calls that went down with their Asterisk: decided, begun before the present Asterisk started, and without an end in the ledger. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from ari_app.cdr.journal import Decided
from ari_app.cdr.line import LedgerRecord, to_micros
from ari_app.cdr.record import billable_seconds
from dialplan.call import parse_facts, parse_legs, parse_routed
from dialplan.identity import signalled_number
from ringfence.queries.ledger import LONGEST_CALL, Booking, CallRow, LegRow
from ringfence.values import Disposition, ForwardingStatus, HungUpBy

_LONGEST = LONGEST_CALL // timedelta(microseconds=1)


def build_lost(attempts: Sequence[Decided], records: Sequence[LedgerRecord], seen: float, node: str) -> Booking:
    """Return the CDR of a lost call; its end is an estimate.

    Args:
        attempts: what was decided for it, at least one.
        records: what the ledger has of it, if Asterisk still wrote something.
        seen: seconds since 1970 when its Asterisk was last known to be alive.
        node: this node.

    Raises:
        Invalid: the journal's texts cannot be read.
    """
    first, last = attempts[0], attempts[-1]
    facts, routed, legs = parse_facts(last.facts), parse_routed(last.rf), parse_legs(last.legs)
    started_at = to_micros(min([first.at, *(record.start for record in records)]))
    estimate = max([seen, last.at, *(record.end for record in records)])
    ended_at = min(max(started_at, to_micros(estimate)), started_at + _LONGEST)
    answers = [record.answer for record in records if record.answer and record.dstchannel]
    answered_at = to_micros(min(answers)) if answers else None
    call = CallRow(
        call_id=first.id,
        started_at=started_at,
        node=node,
        linkedid=first.id,
        direction=facts.direction,
        account_id=routed.account_id,
        did=routed.did,
        caller=signalled_number(facts.caller) or facts.caller or None,
        caller_withheld=facts.withheld,
        called=facts.called,
        inbound_trunk=facts.origin or None,
        forwarded_to=legs[0].address if legs else None,
        trunk=(legs[0].trunk or None) if legs else None,
        ringing_at=None,
        answered_at=answered_at,
        ended_at=ended_at,
        end_estimated=True,
        billable_seconds=billable_seconds(answered_at, ended_at),
        disposition=Disposition.LOST,
        forwarding_status=_forwarding(legs=bool(legs), answered=bool(answers)),
        hangup_cause=None,
        sip_status=None,
        hung_up_by=HungUpBy.SYSTEM,
        routed_by=routed.by,
        refusal=routed.refusal or None,
        plan_version=routed.plan_version,
    )
    return Booking(call, _legs(call, attempts))


def _forwarding(*, legs: bool, answered: bool) -> ForwardingStatus:
    if answered:
        return ForwardingStatus.FORWARDED
    return ForwardingStatus.NOT_REACHED if legs else ForwardingStatus.NOT_FORWARDED


def _legs(call: CallRow, attempts: Sequence[Decided]) -> tuple[LegRow, ...]:
    tried = [(decided, leg) for decided in attempts for leg in parse_legs(decided.legs)]
    return tuple(
        LegRow(
            call_id=call.call_id,
            started_at=call.started_at,
            number=number,
            attempt=min(max(decided.n, 1), 99),
            kind=leg.kind,
            address=leg.address,
            trunk=leg.trunk or None,
            dialled_at=to_micros(decided.at),
            answered_at=None,
            ended_at=None,
            disposition=Disposition.LOST,
            hangup_cause=None,
            sip_status=None,
        )
        for number, (decided, leg) in enumerate(tried, 1)
    )
