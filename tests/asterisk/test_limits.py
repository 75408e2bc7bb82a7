"""Limits: calls at once of an account and of a trunk, loops, and calls that come too fast."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from ari_app.private.node import wait_until
from ari_app.private.root import Root
from ari_app.private.scenario import Answers, Call, Refuses, Rings
from ringfence.queries import accounts
from tests.asterisk.stage import ACCOUNT, Stage, invites

pytestmark = pytest.mark.asterisk


def test_an_accounts_calls_at_once(stage: Stage) -> None:
    ref = stage.account("two-at-once", limit=2)
    one, other = stage.did([stage.numbers.mobile()], account=ref), stage.did([stage.numbers.mobile()], account=ref)
    with stage.behind(first=Refuses(status=486)):  # failures must not use the limit up
        for _ in range(3):
            stage.call(one, Call(expect=486))
    with stage.behind(first=Refuses(status=503), second=Rings()):
        stage.call(one, Call(give_up_ms=400))
    with stage.behind(first=Answers()) as carriers:
        up = [stage.begin(did, Call(hold_ms=None)) for did in (one, other)]
        wait_until(lambda: _counted(stage, "account") == 2, 20, "two calls of the account")
        stage.call(other, Call(expect=486))
        stage.hang_up()
        for calls in up:
            calls.wait(20).check()
        wait_until(lambda: _counted(stage, "account") == 0, 20, "the end of both")
        stage.call(other)
    assert len(invites(carriers["first"])) == 3
    calls_of_other = stage.booked(3, did=other)
    assert [(booked.call.disposition, booked.call.refusal) for booked in calls_of_other] == [("answered", None), ("refused", "over_limit"), ("answered", None)]
    refused = calls_of_other[1]
    refused.shows(forwarding_status="not_forwarded", hangup_cause=17, forwarded_to=None, billable_seconds=0)
    assert refused.legs == []
    wait_until(lambda: _counted(stage, "account") == 0, 20, "no call of the account")


def test_a_limit_holds_for_an_attempt_after_a_failure_too(stage: Stage) -> None:
    ref = stage.account("one-at-once", limit=1)
    did = stage.did([stage.numbers.mobile()], account=ref)
    with stage.behind(first=Refuses(status=503), second=Answers()):
        stage.call(did)
        stage.call(did)
        stage.change(accounts.set_account, ref, concurrency_limit=None)
        stage.call(did)
    for booked in stage.booked(3, did=did):
        booked.shows(disposition="answered", trunk="second", refusal=None)


def test_a_full_trunk_is_passed_over(stage: Stage) -> None:
    mobile = stage.numbers.mobile()
    did = stage.did([mobile])
    with stage.behind({"first": {"capacity": 1}}, first=Answers(), second=Answers()) as carriers:
        up = stage.begin(did, Call(hold_ms=None))
        wait_until(lambda: _counted(stage, "trunk") == 1, 20, "a call on the trunk")
        stage.call(did)
        stage.hang_up()
        up.wait(20).check()
        wait_until(lambda: _counted(stage, "trunk") == 0, 20, "its end")
        stage.call(did)
    assert (len(invites(carriers["first"])), len(invites(carriers["second"]))) == (2, 1)
    calls = stage.booked(3, did=did)
    assert [booked.call.trunk for booked in calls] == ["first", "second", "first"]
    assert calls[1].ways == [(1, mobile, "first", "failed", None), (2, mobile, "second", "answered", None)]
    calls[1].shows(disposition="answered", forwarding_status="forwarded")


def test_every_trunk_is_full(stage: Stage) -> None:
    mobiles = [stage.numbers.mobile(), stage.numbers.mobile()]
    did = stage.did(mobiles)  # both ring together: two channels of one
    with stage.behind({"first": {"capacity": 1}}, first=Answers()) as carriers:
        stage.call(did, Call(expect=503))
    assert invites(carriers["first"]) == []
    stage.cdr(did=did).shows(disposition="failed", forwarding_status="not_reached")


def test_a_call_that_was_diverted_too_often(stage: Stage) -> None:
    did = stage.did([stage.numbers.mobile()])
    with stage.behind(first=Answers()) as carriers:
        stage.call(did, Call(diverted_from=tuple(stage.numbers.caller() for _ in range(4))))
        stage.call(did, Call(expect=503, diverted_from=tuple(stage.numbers.caller() for _ in range(5))))
    assert len(invites(carriers["first"])) == 1
    through, refused = stage.booked(2, did=did)
    through.shows(disposition="answered")
    refused.shows(disposition="refused", refusal="too_many_diversions", forwarding_status="not_forwarded")


def test_a_count_of_diversions_in_one_header(stage: Stage) -> None:
    did = stage.did([stage.numbers.mobile()])
    with stage.behind(first=Answers()):
        stage.call(did, Call(expect=503, headers=(f"Diversion: <sip:{stage.numbers.caller()}@127.0.0.2>;reason=unconditional;counter=7",)))
    stage.cdr(did=did).shows(disposition="refused", refusal="too_many_diversions")


@pytest.mark.parametrize("form", ["+44{}", "0{}", "0044{}"])
def test_a_mobile_that_diverts_back(stage: Stage, form: str) -> None:
    mobile = stage.numbers.mobile()
    did = stage.did([mobile])
    with stage.behind(first=Answers()) as carriers:
        stage.call(did, Call(expect=503, diverted_from=(form.format(mobile[3:]),)), caller=stage.numbers.caller())
    assert invites(carriers["first"]) == []
    stage.cdr(did=did).shows(disposition="refused", refusal="diverted_back")


def test_a_target_that_calls_is_not_rung(stage: Stage) -> None:
    mobile, other = stage.numbers.mobile(), stage.numbers.mobile()
    did = stage.did([mobile], [other])
    with stage.behind(first=Answers()):
        stage.call(did, caller=mobile)
    assert stage.cdr(did=did).ways == [(1, other, "first", "answered", None)]


def test_the_same_call_again_and_again(stage: Stage) -> None:
    did, caller = stage.did([stage.numbers.mobile()]), stage.numbers.caller()
    with stage.behind(first=Answers(ring_ms=None)) as carriers:
        result = stage.begin(did, Call(hold_ms=0), caller=caller, count=10, rate=20).wait(20)
        stage.call(did, caller=stage.numbers.caller())
    assert (result.successful, result.failed) == (8, 2)
    assert len(invites(carriers["first"])) == 9
    found = Counter((booked.call.disposition.value, booked.call.refusal) for booked in stage.booked(11, did=did))
    assert found == {("answered", None): 9, ("refused", "repeated_call"): 2}


def test_calls_that_come_too_fast_are_refused_at_once(asterisk_root: Root) -> None:
    home = Path(tempfile.mkdtemp(prefix="rf-"))
    small = Stage(asterisk_root, home, max_rate="2\nburst = 5")
    try:
        small.start()
        did = small.did([small.numbers.mobile()], account=ACCOUNT)
        with small.behind(first=Answers(ring_ms=None)) as carriers:
            began = time.monotonic()
            result = small.begin(did, Call(hold_ms=100), count=30, rate=30).wait(60)
            served = result.successful
            assert 5 <= served <= 6 + 2 * (time.monotonic() - began)  # the burst, two a second, and one in the making
            assert result.failed == 30 - served
            assert result.errors.count("SIP/2.0 503") >= 30 - served
            wait_until(lambda: small.metric("ringfence_overload_refusals_total") == 30 - served, 20, "the metric")
            found = Counter((booked.call.disposition.value, booked.call.refusal) for booked in small.booked(30, called=did))
            assert found == {("answered", None): served, ("refused", "overload"): 30 - served}
            time.sleep(1)  # two calls' time
            small.call(did)
        assert len(invites(carriers["first"])) == served + 1
    finally:
        small.stop()
        shutil.rmtree(home)


def _counted(stage: Stage, category: str) -> int:
    """Return how many channels Asterisk counts for accounts, or for trunks."""
    lines = [line.split() for line in stage.node.rx("group show channels").splitlines()]
    return sum(1 for words in lines if len(words) == 3 and words[2] == category)
