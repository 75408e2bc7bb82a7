"""The main job: a call to a DID reaches the customer's mobile, the caller hears what became of it, and one CDR says so."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from ari_app.private.node import wait_until
from ari_app.private.scenario import Answers, Call, Callee, Refuses, Rings
from tests.asterisk.stage import RINGS, Stage, invite, invites

pytestmark = pytest.mark.asterisk


def test_an_answered_call_reaches_the_mobile_and_is_booked_to_the_second(stage: Stage) -> None:
    mobile, caller = stage.numbers.mobile(), stage.numbers.caller()
    did = stage.did([mobile])
    with stage.behind(first=Answers(ring_ms=200)) as carriers:
        stage.call(did, Call(hold_ms=1200), caller=caller)
    assert invite(carriers["first"]).start.startswith(f"INVITE sip:{mobile}@127.0.0.3:")
    booked = stage.cdr(did=did)
    booked.shows(
        direction="inbound",
        caller=caller,
        caller_withheld=False,
        called=did,
        inbound_trunk="carrier",
        forwarded_to=mobile,
        trunk="first",
        billable_seconds=2,
        disposition="answered",
        forwarding_status="forwarded",
        hangup_cause=16,
        sip_status=None,
        hung_up_by="caller",
        routed_by="ari",
        refusal=None,
        node="node1",
    )
    assert booked.ways == [(1, mobile, "first", "answered", None)]
    call = booked.call
    assert call.ringing_at
    assert call.answered_at
    assert call.started_at <= call.ringing_at < call.answered_at < call.ended_at
    assert 1.1 < (call.ended_at - call.answered_at).total_seconds() < 1.9
    assert call.account_id
    assert call.plan_version


def test_the_mobile_hangs_up(stage: Stage) -> None:
    did = stage.did([stage.numbers.mobile()])
    with stage.behind(first=Answers(ring_ms=None, talk_ms=300)):
        stage.call(did, Call(hold_ms=None))
    stage.cdr(did=did).shows(disposition="answered", hung_up_by="callee", billable_seconds=1, hangup_cause=16)


@pytest.mark.parametrize("status", [500, 503])
def test_a_trunk_that_fails_is_passed_over(stage: Stage, status: int) -> None:
    mobile = stage.numbers.mobile()
    did = stage.did([mobile])
    with stage.behind(first=Refuses(status=status), second=Answers()) as carriers:
        stage.call(did)
    assert invite(carriers["first"]).start.startswith(f"INVITE sip:{mobile}@")
    assert invite(carriers["second"]).start.startswith(f"INVITE sip:{mobile}@")
    booked = stage.cdr(did=did)
    booked.shows(disposition="answered", trunk="second", forwarded_to=mobile, hung_up_by="caller")
    assert booked.ways == [(1, mobile, "first", "failed", status), (2, mobile, "second", "answered", None)]


FINAL = {
    "busy": (Refuses(status=486, ring_ms=100), 486, "busy", "not_answered"),
    "busy without ringing": (Refuses(status=486), 486, "busy", "not_answered"),
    "busy everywhere": (Refuses(status=600), 486, "busy", "not_answered"),
    "declined": (Refuses(status=603, ring_ms=100), 603, "declined", "not_answered"),
    "not in service": (Refuses(status=404), 480, "failed", "not_reached"),
    "switched off": (Refuses(status=480), 480, "no_answer", "not_reached"),
    "rang out at the carrier": (Refuses(status=408, ring_ms=100), 480, "no_answer", "not_answered"),
}


@pytest.mark.parametrize(("callee", "heard", "disposition", "forwarding"), FINAL.values(), ids=FINAL)
def test_what_the_callee_answered_is_final(stage: Stage, callee: Refuses, heard: int, disposition: str, forwarding: str) -> None:
    mobile = stage.numbers.mobile()
    did = stage.did([mobile])
    with stage.behind(first=callee, second=Answers()) as carriers:
        stage.call(did, Call(expect=heard))
    assert len(invites(carriers["first"])) == 1
    assert invites(carriers["second"]) == []
    booked = stage.cdr(did=did)
    booked.shows(
        disposition=disposition, forwarding_status=forwarding, sip_status=callee.status, billable_seconds=0, answered_at=None, trunk="first", refusal=None
    )
    assert [(attempt, trunk, status) for attempt, _, trunk, _, status in booked.ways] == [(1, "first", callee.status)]


def test_nobody_answers(stage: Stage) -> None:
    mobile = stage.numbers.mobile()
    did = stage.did([mobile])
    with stage.behind(first=Rings(), second=Answers()) as carriers:
        stage.call(did, Call(expect=480))
    assert len(carriers["first"].messages("CANCEL", sent=False)) == 1
    assert invites(carriers["second"]) == []
    booked = stage.cdr(did=did)
    booked.shows(disposition="no_answer", forwarding_status="not_answered", billable_seconds=0, hung_up_by="system", forwarded_to=mobile)
    assert booked.ways == [(1, mobile, "first", "no_answer", None)]
    assert RINGS <= (booked.call.ended_at - booked.call.started_at).total_seconds() < RINGS + 3


def test_the_caller_gives_up(stage: Stage) -> None:
    mobile = stage.numbers.mobile()
    did = stage.did([mobile])
    with stage.behind(first=Rings(), second=Answers()) as carriers:
        stage.call(did, Call(give_up_ms=500))
    assert len(carriers["first"].messages("CANCEL", sent=False)) == 1
    assert invites(carriers["second"]) == []
    booked = stage.cdr(did=did)
    booked.shows(disposition="abandoned", forwarding_status="not_answered", billable_seconds=0, hung_up_by="caller", refusal=None)
    assert booked.ways == [(1, mobile, "first", "abandoned", None)]
    assert booked.call.ringing_at


def test_every_trunk_fails(stage: Stage) -> None:
    mobile = stage.numbers.mobile()
    did = stage.did([mobile])
    with stage.behind(first=Refuses(status=503), second=Refuses(status=500), third=Refuses(status=408)):
        stage.call(did, Call(expect=503))
    booked = stage.cdr(did=did)
    booked.shows(disposition="failed", forwarding_status="not_reached", billable_seconds=0, sip_status=408, refusal=None)
    assert [way[2:] for way in booked.ways] == [("first", "failed", 503), ("second", "failed", 500), ("third", "failed", 408)]


def test_a_silent_trunk_is_passed_over_when_the_ring_time_is_over(stage: Stage) -> None:
    mobile = stage.numbers.mobile()
    did = stage.did([mobile])
    with stage.behind(silent=None, second=Answers()):
        stage.call(did)
    booked = stage.cdr(did=did)
    booked.shows(disposition="answered", trunk="second")
    assert booked.ways == [(1, mobile, "silent", "failed", None), (2, mobile, "second", "answered", None)]
    assert booked.call.answered_at
    assert RINGS <= (booked.call.answered_at - booked.call.started_at).total_seconds() < RINGS + 3


def test_no_trunk_at_all(stage: Stage) -> None:
    did = stage.did([stage.numbers.mobile()])
    with stage.behind():
        stage.call(did, Call(expect=503))
    booked = stage.cdr(did=did)
    booked.shows(disposition="refused", refusal="no_route", forwarding_status="not_forwarded")
    assert booked.legs == []


OVERRIDES: dict[str, tuple[dict[str, str], int, bool]] = {
    "404 is the trunk's fault": ({"404": "transient"}, 404, True),
    "busy is the trunk's fault": ({"486": "transient"}, 486, True),
    "cause 17 is the trunk's fault": ({"q17": "transient"}, 486, True),
    "503 is the callee's answer": ({"503": "final"}, 503, False),
    "403 is the callee's answer": ({"403": "final"}, 403, False),
}


@pytest.mark.parametrize(("causes", "status", "goes_on"), OVERRIDES.values(), ids=OVERRIDES)
def test_a_trunks_own_rule_for_a_cause(stage: Stage, causes: dict[str, str], status: int, *, goes_on: bool) -> None:
    did = stage.did([stage.numbers.mobile()])
    with stage.behind({"first": {"causes": causes}}, first=Refuses(status=status), second=Answers()) as carriers:
        stage.call(did, Call(expect=200 if goes_on else 503))
    assert len(invites(carriers["second"])) == int(goes_on)
    stage.cdr(did=did).shows(disposition="answered" if goes_on else "failed", trunk="second" if goes_on else "first")


def test_the_second_target_is_rung_when_the_first_does_not_answer(stage: Stage) -> None:
    mobile = stage.numbers.mobile()
    did = stage.did(["desk"], [mobile])
    with stage.phone("desk", Rings()) as desk, stage.behind(first=Answers()) as carriers:
        stage.call(did)
    assert len(invites(desk)) == len(invites(carriers["first"])) == 1
    booked = stage.cdr(did=did)
    booked.shows(disposition="answered", forwarded_to=mobile, trunk="first")
    assert booked.ways == [(1, "desk", None, "no_answer", None), (2, mobile, "first", "answered", None)]


def test_the_second_target_is_rung_at_once_when_the_first_is_busy(stage: Stage) -> None:
    mobile = stage.numbers.mobile()
    did = stage.did(["desk"], [mobile], seconds=30)
    with stage.phone("desk", Refuses(status=486)), stage.behind(first=Answers()):
        stage.call(did)
    booked = stage.cdr(did=did)
    assert booked.ways == [(1, "desk", None, "busy", 486), (2, mobile, "first", "answered", None)]
    assert (booked.call.ended_at - booked.call.started_at).total_seconds() < 20  # not after its ring time


def test_the_caller_gives_up_at_the_second_target(stage: Stage) -> None:
    mobile = stage.numbers.mobile()
    did = stage.did(["desk"], [mobile])
    with stage.phone("desk", Refuses(status=486)), stage.behind(first=Rings()):
        stage.call(did, Call(give_up_ms=700))
    booked = stage.cdr(did=did)
    booked.shows(disposition="abandoned", hung_up_by="caller", forwarded_to=mobile)
    assert booked.ways == [(1, "desk", None, "busy", 486), (2, mobile, "first", "abandoned", None)]


def test_of_several_that_ring_together_one_wins(stage: Stage) -> None:
    mobile = stage.numbers.mobile()
    did = stage.did(["desk", mobile])
    with stage.phone("desk", Rings()) as desk, stage.behind(first=Answers(ring_ms=300)):
        stage.call(did)
    assert len(desk.messages("CANCEL", sent=False)) == 1
    booked = stage.cdr(did=did)
    booked.shows(disposition="answered", forwarded_to=mobile, trunk="first", billable_seconds=1)
    assert booked.ways == [(1, "desk", None, "no_answer", None), (1, mobile, "first", "answered", None)]


def test_two_that_answer_at_the_same_moment(stage: Stage) -> None:
    mobiles = [stage.numbers.mobile(), stage.numbers.mobile()]
    did = stage.did(mobiles)
    with stage.behind(first=Answers(ring_ms=150)) as carriers:
        stage.call(did, Call(hold_ms=500))
    starts = {message.start.partition("@")[0] for message in invites(carriers["first"])}
    assert starts == {f"INVITE sip:{mobile}" for mobile in mobiles}
    booked = stage.cdr(did=did)
    booked.shows(disposition="answered", billable_seconds=1)
    assert sorted(way[3] for way in booked.ways) == ["answered", "no_answer"]
    (winner,) = (leg for leg in booked.legs if leg.answered_at)
    assert booked.call.forwarded_to == winner.address
    assert {leg.address for leg in booked.legs} == set(mobiles)


def test_all_that_ring_together_are_busy(stage: Stage) -> None:
    mobiles = [stage.numbers.mobile(), stage.numbers.mobile()]
    did = stage.did(mobiles)
    with stage.behind(first=Refuses(status=486), second=Answers()) as carriers:
        stage.call(did, Call(expect=486))
    assert invites(carriers["second"]) == []
    booked = stage.cdr(did=did)
    booked.shows(disposition="busy")
    assert booked.ways == [(1, mobile, "first", "busy", 486) for mobile in mobiles]


def test_all_that_ring_together_go_on_when_the_trunk_fails(stage: Stage) -> None:
    mobiles = [stage.numbers.mobile(), stage.numbers.mobile()]
    did = stage.did(mobiles)
    with stage.behind(first=Refuses(status=503), second=Answers(ring_ms=100)):
        stage.call(did)
    booked = stage.cdr(did=did)
    booked.shows(disposition="answered", trunk="second")
    assert [(way[0], way[1], way[2]) for way in booked.ways] == [
        (attempt, mobile, trunk) for attempt, trunk in ((1, "first"), (2, "second")) for mobile in mobiles
    ]


def test_a_trunk_of_lower_priority_waits(stage: Stage) -> None:
    did = stage.did([stage.numbers.mobile()])
    with stage.behind({"first": {"priority": 50}, "second": {"priority": 5}}, first=Answers(), second=Answers()) as carriers:
        stage.call(did)
    assert (len(invites(carriers["first"])), len(invites(carriers["second"]))) == (0, 1)
    stage.cdr(did=did).shows(trunk="second")


SHARES: list[tuple[int, int, range]] = [(100, 100, range(1, 20)), (10_000, 1, range(18, 21))]


@pytest.mark.parametrize(("first", "second", "expected"), SHARES, ids=["even", "one-sided"])
def test_trunks_of_equal_priority_share_by_weight(stage: Stage, first: int, second: int, expected: range) -> None:
    did = stage.did([stage.numbers.mobile()])
    settings: dict[str, dict[str, Any]] = {"first": {"priority": 10, "weight": first}, "second": {"priority": 10, "weight": second}}
    callees: dict[str, Callee] = {"first": Answers(ring_ms=None), "second": Answers(ring_ms=None)}
    with stage.behind(settings, **callees) as carriers:
        stage.begin(did, Call(hold_ms=0), count=20, rate=40).wait(20).check()
    by_first = len(invites(carriers["first"]))
    assert by_first in expected
    assert by_first + len(invites(carriers["second"])) == 20
    assert sum(booked.call.trunk == "first" for booked in stage.booked(20, did=did)) == by_first


def test_a_trunk_is_disabled_while_calls_come(stage: Stage) -> None:
    did = stage.did([stage.numbers.mobile()])
    with stage.behind(first=Answers(), second=Answers()) as carriers:
        stage.call(did)
        up = stage.begin(did, Call(hold_ms=None))
        wait_until(lambda: len(invites(carriers["first"])) == 2, 20, "the call that is up meanwhile")
        stage.cli("trunk", "disable", "first")
        stage.await_plan()
        stage.call(did)
        stage.hang_up()
        up.wait(20).check()
    assert (len(invites(carriers["first"])), len(invites(carriers["second"]))) == (2, 1)
    assert [booked.call.trunk for booked in stage.booked(3, did=did)] == ["first", "first", "second"]


def test_the_caller_gives_up_before_anybody_decides(stage: Stage) -> None:
    caller, did = stage.numbers.caller(), stage.did([stage.numbers.mobile()])
    with stage.behind(first=Answers()) as carriers:
        stage.await_plan()
        stage.node.signal("ari", signal.SIGSTOP)
        try:
            stage.call(did, Call(give_up_ms=300), caller=caller)
        finally:
            stage.node.signal("ari", signal.SIGCONT)
        booked = stage.cdr(called=did)
        wait_until(lambda: stage.decides, 30, "the app, should the watchdog have ended it")
    assert invites(carriers["first"]) == []
    booked.shows(disposition="abandoned", caller=caller, called=did, refusal=None, forwarding_status="not_forwarded", hung_up_by="caller")
    assert booked.legs == []
