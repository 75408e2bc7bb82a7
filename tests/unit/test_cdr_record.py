"""Golden cases: lines as Asterisk 22 wrote them (numbers exchanged for drama numbers), and the CDR each call becomes."""

from __future__ import annotations

from typing import Any

import pytest

from ari_app.cdr.line import parse_line
from ari_app.cdr.record import billable_seconds, build
from ringfence.errors import Invalid
from ringfence.queries.ledger import Booking
from ringfence.values import Direction, Disposition, ForwardingStatus, HungUpBy, RoutedBy, TargetKind

CALLER = "PJSIP/carrier-00000000"
IN = "in:+442079460001:+447700900999:allowed_not_screened:carrier:0:"
BY = "ari:7:1:+442079460001:"


def line(sequence: int, channel: str, *, start: float, answer: float = 0.0, end: float, disposition: str, leg: str = "", ending: str = "") -> str:
    def at(offset: float) -> str:
        return f"{1795304301 + offset:.6f}"

    answered = at(answer) if answer else "0.000000"
    return (
        f'{{"linkedid":"n1-1795304301.0","sequence":{sequence},"dstchannel":"{channel}","start":{at(start)},"answer":{answered},"end":{at(end)},'
        f'"disposition":"{disposition}","rf_leg":"{leg}","rf_end":"{ending}"}}'
    )


def book(*lines: str) -> Booking:
    return build([parse_line(text.encode(), "n1") for text in lines], "n1")


def moment(offset: float) -> int:
    return 1795304301_000_000 + round(offset * 1e6)


def shape(booking: Booking) -> dict[str, Any]:
    call = booking.call
    return {
        "disposition": call.disposition,
        "forwarding": call.forwarding_status,
        "to": call.forwarded_to,
        "trunk": call.trunk,
        "seconds": call.billable_seconds,
        "cause": call.hangup_cause,
        "sip": call.sip_status,
        "by": call.hung_up_by,
        "refusal": call.refusal,
        "legs": [(leg.attempt, leg.address, leg.trunk, leg.disposition, leg.sip_status) for leg in booking.legs],
    }


def expected(disposition: Disposition, forwarding: ForwardingStatus, **fields: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"to": None, "trunk": None, "seconds": 0, "cause": None, "sip": None, "by": HungUpBy.SYSTEM, "refusal": None, "legs": []}
    return {"disposition": disposition, "forwarding": forwarding, **base, **fields}


MOBILE = "+447700900001"


def test_an_answered_call_in_every_field() -> None:
    ending = f"{IN}|{BY}|m:{MOBILE}:trunk-b||16|ANSWER|711|704|2|{CALLER}|{CALLER}"
    booking = book(line(6, "PJSIP/trunk-b-00000005", start=0.548983, answer=0.555525, end=61.259886, disposition="ANSWERED", ending=ending))
    call, (leg,) = booking.call, booking.legs
    assert (call.call_id, call.linkedid, call.node) == ("n1-1795304301.0", "n1-1795304301.0", "n1")
    assert (call.direction, call.account_id, call.did, call.called) == (Direction.INBOUND, 1, "+442079460001", "+442079460001")
    assert (call.caller, call.caller_withheld, call.inbound_trunk) == ("+447700900999", False, "carrier")
    assert (call.forwarded_to, call.trunk) == (MOBILE, "trunk-b")
    assert (call.started_at, call.answered_at, call.ended_at) == (moment(0.548983), moment(0.555525), moment(61.259886))
    assert call.ringing_at == moment(61.259886 - 0.711 + 0.002)
    assert (call.billable_seconds, call.end_estimated) == (61, False)
    assert (call.disposition, call.forwarding_status, call.hung_up_by) == (Disposition.ANSWERED, ForwardingStatus.FORWARDED, HungUpBy.CALLER)
    assert (call.hangup_cause, call.sip_status, call.routed_by, call.refusal, call.plan_version) == (16, None, RoutedBy.ARI, None, 7)
    assert (leg.call_id, leg.started_at, leg.number, leg.attempt, leg.kind) == (call.call_id, call.started_at, 1, 1, TargetKind.MOBILE)
    assert (leg.address, leg.trunk, leg.answered_at, leg.ended_at) == (MOBILE, "trunk-b", moment(0.555525), moment(61.259886))
    assert (leg.disposition, leg.hangup_cause, leg.sip_status) == (Disposition.ANSWERED, 16, None)


def test_a_trunk_refuses_and_the_next_carries_the_call() -> None:
    tried = f"^m:{MOBILE}:trunk-bad=CONGESTION=&trunk-bad-00000001~503~34"
    booking = book(
        line(0, "PJSIP/trunk-bad-00000001", start=0.1, end=0.2, disposition="CONGESTION"),
        line(
            4,
            "PJSIP/trunk-b-00000003",
            start=0.25,
            answer=0.3,
            end=1.1,
            disposition="ANSWERED",
            leg="2",
            ending=f"{IN}|{BY}|m:{MOBILE}:trunk-b|{tried}|16|ANSWER|850|800|2|{CALLER}|{CALLER}",
        ),
    )
    legs = [(1, MOBILE, "trunk-bad", Disposition.FAILED, 503), (2, MOBILE, "trunk-b", Disposition.ANSWERED, None)]
    assert shape(booking) == expected(
        Disposition.ANSWERED, ForwardingStatus.FORWARDED, to=MOBILE, trunk="trunk-b", seconds=1, cause=16, by=HungUpBy.CALLER, legs=legs
    )
    assert [leg.dialled_at for leg in booking.legs] == [moment(0.1), moment(0.25)]


@pytest.mark.parametrize(
    ("sip", "status", "cause", "rang", "disposition", "forwarding"),
    [
        (486, "BUSY", 17, "", Disposition.BUSY, ForwardingStatus.NOT_ANSWERED),
        (603, "CONGESTION", 55, "", Disposition.DECLINED, ForwardingStatus.NOT_ANSWERED),
        (487, "NOANSWER", 19, "_RANG", Disposition.NO_ANSWER, ForwardingStatus.NOT_ANSWERED),
        (480, "CONGESTION", 20, "", Disposition.NO_ANSWER, ForwardingStatus.NOT_REACHED),
        (404, "CONGESTION", 20, "", Disposition.FAILED, ForwardingStatus.NOT_REACHED),
        (503, "CONGESTION", 34, "", Disposition.FAILED, ForwardingStatus.NOT_REACHED),
    ],
)
def test_the_only_target_fails(sip: int, status: str, cause: int, rang: str, disposition: Disposition, forwarding: ForwardingStatus) -> None:
    tried = f"^m:{MOBILE}:trunk-a={status}{rang}=&trunk-a-00000001~{sip}~{cause}"
    ending = f"{IN}|{BY}||{tried}|{cause}|{status}|1000|0||dialplan/builtin|{CALLER}"
    booking = book(
        line(0, "PJSIP/trunk-a-00000001", start=0.1, end=1.1, disposition="BUSY" if sip == 486 else "NO ANSWER"),
        line(1, "", start=1.1, end=1.2, disposition="FAILED", leg="2", ending=ending),
    )
    found = shape(booking)
    assert (found["disposition"], found["forwarding"], found["sip"], found["cause"], found["by"]) == (disposition, forwarding, sip, cause, HungUpBy.SYSTEM)
    assert (found["to"], found["trunk"], len(found["legs"]), found["seconds"]) == (MOBILE, "trunk-a", 1, 0)


def test_the_caller_gives_up_while_it_rings() -> None:
    ending = f"{IN}|{BY}|m:{MOBILE}:trunk-a||0|CANCEL|3000||1200|{CALLER}|{CALLER}"
    booking = book(line(0, "PJSIP/trunk-a-00000001", start=0.1, end=3.1, disposition="NO ANSWER", ending=ending))
    legs = [(1, MOBILE, "trunk-a", Disposition.ABANDONED, None)]
    assert shape(booking) == expected(Disposition.ABANDONED, ForwardingStatus.NOT_ANSWERED, to=MOBILE, trunk="trunk-a", by=HungUpBy.CALLER, legs=legs)
    assert booking.call.ringing_at == moment(1.3)


def test_the_caller_gives_up_before_anybody_was_rung() -> None:
    booking = book(line(0, "", start=0.1, end=0.2, disposition="FAILED", ending=f"{IN}|||||||||{CALLER}|{CALLER}"))
    assert shape(booking) == expected(Disposition.ABANDONED, ForwardingStatus.NOT_FORWARDED, by=HungUpBy.CALLER)
    assert booking.call.routed_by is RoutedBy.DIALPLAN


def test_an_unknown_number() -> None:
    booking = book(line(0, "", start=0.1, end=0.2, disposition="FAILED", ending=f"{IN}|ari:7:::unknown_number|||1|||||dialplan/builtin|{CALLER}"))
    assert shape(booking) == expected(Disposition.UNALLOCATED, ForwardingStatus.NOT_FORWARDED, cause=1, refusal="unknown_number")


def test_two_rang_together_and_one_won() -> None:
    other = "+447700900002"
    ending = f"{IN}|{BY}|m:{MOBILE}:trunk-a&m:{other}:trunk-a||16|ANSWER|900|700|1|PJSIP/trunk-a-00000004|{CALLER}"
    booking = book(
        line(2, "PJSIP/trunk-a-00000004", start=0.1, answer=0.3, end=1.0, disposition="ANSWERED"),
        line(3, "PJSIP/trunk-a-00000003", start=0.1, end=0.3, disposition="NO ANSWER", ending=ending),
    )
    legs = [(1, MOBILE, "trunk-a", Disposition.NO_ANSWER, None), (1, other, "trunk-a", Disposition.ANSWERED, None)]
    assert shape(booking) == expected(
        Disposition.ANSWERED, ForwardingStatus.FORWARDED, to=other, trunk="trunk-a", seconds=1, cause=16, by=HungUpBy.CALLEE, legs=legs
    )


def test_a_phone_is_the_target() -> None:
    ending = f"{IN}|{BY}|e:desk-1:||16|ANSWER|900|700|1|PJSIP/desk-1-00000001|{CALLER}"
    booking = book(line(0, "PJSIP/desk-1-00000001", start=0.1, answer=0.3, end=1.0, disposition="ANSWERED", ending=ending))
    legs = [(1, "desk-1", None, Disposition.ANSWERED, None)]
    assert shape(booking) == expected(Disposition.ANSWERED, ForwardingStatus.FORWARDED, to="desk-1", seconds=1, cause=16, by=HungUpBy.CALLEE, legs=legs)
    assert booking.legs[0].kind is TargetKind.ENDPOINT


def test_a_phone_that_is_not_registered_has_no_channel() -> None:
    tried = "^e:desk-1:=CHANUNAVAIL="
    ending = f"{IN}|{BY}|m:{MOBILE}:trunk-a|{tried}|16|ANSWER|900|700|1|{CALLER}|{CALLER}"
    booking = book(line(0, "PJSIP/trunk-a-00000001", start=0.1, answer=0.3, end=1.0, disposition="ANSWERED", leg="2", ending=ending))
    assert shape(booking)["legs"] == [(1, "desk-1", None, Disposition.FAILED, None), (2, MOBILE, "trunk-a", Disposition.ANSWERED, None)]
    assert booking.legs[0].dialled_at is None


@pytest.mark.parametrize("legs", ["", f"m:{MOBILE}:trunk-a"])
def test_refused_over_the_limit_rang_nobody(legs: str) -> None:
    booking = book(line(0, "", start=0.1, end=0.2, disposition="FAILED", ending=f"{IN}|{BY}over_limit|{legs}||17|||||dialplan/builtin|{CALLER}"))
    assert shape(booking) == expected(Disposition.REFUSED, ForwardingStatus.NOT_FORWARDED, cause=17, refusal="over_limit")


def test_routed_by_astdb() -> None:
    ending = f"{IN}|astdb:7:1:+442079460001:|m:{MOBILE}:trunk-b||16|ANSWER|711|704|1|{CALLER}|{CALLER}"
    booking = book(line(6, "PJSIP/trunk-b-00000005", start=0.5, answer=0.6, end=1.2, disposition="ANSWERED", ending=ending))
    assert (booking.call.routed_by, booking.call.plan_version, booking.call.disposition) == (RoutedBy.ASTDB, 7, Disposition.ANSWERED)


def test_refused_by_the_dialplan() -> None:
    booking = book(line(0, "", start=0.1, end=0.2, disposition="FAILED", ending=f"in::::carrier:0:|dialplan::::not_a_number|||1|||||dialplan/builtin|{CALLER}"))
    assert shape(booking) == expected(Disposition.UNALLOCATED, ForwardingStatus.NOT_FORWARDED, cause=1, refusal="not_a_number")
    assert booking.call.caller is None


def test_nobody_could_be_asked() -> None:
    booking = book(line(0, "", start=0.1, end=0.2, disposition="FAILED", ending=f"{IN}|dialplan::::nobody_to_ask|||34|||||dialplan/builtin|{CALLER}"))
    assert shape(booking) == expected(Disposition.REFUSED, ForwardingStatus.NOT_FORWARDED, cause=34, refusal="nobody_to_ask")


def test_a_withheld_caller_is_kept_for_tracing_and_marked() -> None:
    facts = IN.replace("allowed_not_screened", "prohib_passed_screen")
    booking = book(line(0, "", start=0.1, end=0.2, disposition="FAILED", ending=f"{facts}|ari:7:::unknown_number|||1|||||dialplan/builtin|{CALLER}"))
    assert (booking.call.caller, booking.call.caller_withheld) == ("+447700900999", True)


def test_an_answer_whose_own_record_is_unreadable_is_still_billed() -> None:
    ending = f"{IN}|{BY}|m:{MOBILE}:trunk-a&m:+447700900002:trunk-a||16|ANSWER|5200|5000|1|{CALLER}|{CALLER}"
    booking = book(line(3, "PJSIP/trunk-a-00000003", start=0.1, end=5.3, disposition="NO ANSWER", ending=ending))
    assert (booking.call.disposition, booking.call.answered_at, booking.call.billable_seconds) == (Disposition.ANSWERED, moment(0.3), 5)


def test_a_clock_set_back_never_ends_a_call_before_it_began() -> None:
    ending = f"{IN}|{BY}|m:{MOBILE}:trunk-b||16|ANSWER|711|704|1|{CALLER}|{CALLER}"
    call = book(line(6, "PJSIP/trunk-b-00000005", start=0.5, answer=0.6, end=-3600, disposition="ANSWERED", ending=ending)).call
    assert (call.ended_at, call.billable_seconds) == (call.started_at, 0)


def test_parts_of_a_second_count_as_one() -> None:
    begin = moment(0)
    cases = {0: 0, 1: 1, 999_999: 1, 1_000_000: 1, 1_000_001: 2, 60_000_000: 60}
    assert {extra: billable_seconds(begin, begin + extra) for extra in cases} == cases
    assert billable_seconds(None, begin) == 0


@pytest.mark.parametrize(
    "ending",
    [
        "x",
        "|".join([IN, BY, "", "", "16", "", "", "", "", "", "", "extra"]),
        f"{IN}|ari:7:99999999999:+442079460001:|||16||||||{CALLER}",
        f"{IN}|{BY}|||999||||||{CALLER}",
        f"{IN}|{BY}|||1|ANSWER;x|||||{CALLER}",
        f"{IN}|{BY}|z:1:trunk|||||||{CALLER}|{CALLER}",
        f"{IN}|{BY}||||ANSWER|1e3||||{CALLER}",
    ],
)
def test_an_ending_of_another_shape_is_refused(ending: str) -> None:
    with pytest.raises(Invalid):
        book(line(0, "", start=0.1, end=0.2, disposition="FAILED", ending=ending))
