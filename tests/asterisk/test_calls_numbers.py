"""Which numbers are ours: every way to write a called number, those that are not ours, and those that stop being so while calls come."""

from __future__ import annotations

import pytest

from ari_app.private.scenario import Answers, Call
from ringfence.queries import accounts, numbering
from ringfence.values import E164, AccountState, NumberClass
from tests.asterisk.stage import Stage, invites

pytestmark = pytest.mark.asterisk

WRITTEN = {"+44": "+44{}", "0044": "0044{}", "0": "0{}", "44": "44{}"}


@pytest.mark.parametrize("form", WRITTEN.values(), ids=WRITTEN)
def test_a_called_number_in_every_form(stage: Stage, form: str) -> None:
    mobile, caller = stage.numbers.mobile(), stage.numbers.caller()
    did = stage.did([mobile])
    with stage.behind(first=Answers()):
        stage.call(form.format(did[3:]), caller=form.format(caller[3:]))
    stage.cdr(did=did).shows(disposition="answered", called=form.format(did[3:]), caller=caller, forwarded_to=mobile)


NOT_OURS = {"not provisioned": "+442079460999", "abroad": "+35312345678", "three digits": "999", "zeros": "0000000", "eighteen digits": "123456789012345678"}


@pytest.mark.parametrize("number", NOT_OURS.values(), ids=NOT_OURS)
def test_a_number_that_is_not_ours(stage: Stage, number: str) -> None:
    caller = stage.numbers.caller()
    with stage.behind(first=Answers()) as carriers:
        stage.call(number, Call(expect=404), caller=caller)
    assert invites(carriers["first"]) == []
    booked = stage.cdr(caller=caller)
    booked.shows(
        disposition="unallocated", refusal="unknown_number", called=number, did=None, account_id=None, forwarding_status="not_forwarded", routed_by="ari"
    )
    assert booked.legs == []


NO_NUMBERS = {
    "a word": "sales",
    "one digit": "1",
    "nineteen digits": "1234567890123456789",
    "plus only": "+",
    "star code": "*21#",
    "digits and letters": "02079460123abc",
    "a dot": "020.7946.0123",
    "dollar": "$",
    "shell": "$(reboot)",
    "a path": "..%2f..%2fetc",
    "a percent sign": "%25%0a",
    "quotes": "%22a%22",
    "underscore": "_X.",
    "s": "s",
    "h": "h",
    "i": "i",
    "t": "t",
    "spaces": "020%207946",
    "comma and parentheses": "a,b(c)&d=e",
    "500 digits": "9" * 500,
}


@pytest.mark.parametrize("number", NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_what_is_no_number_goes_nowhere_and_is_booked(stage: Stage, number: str) -> None:
    caller = stage.numbers.caller()
    with stage.behind():
        stage.call(number, Call(expect=404), caller=caller)
    stage.cdr(caller=caller).shows(disposition="unallocated", refusal="not_a_number", called="", did=None, routed_by="dialplan")


def test_what_is_no_sip_at_all_is_dropped(stage: Stage) -> None:
    caller, did = stage.numbers.caller(), stage.did([stage.numbers.mobile()])
    texts = ["${EXTEN}", "a|b", "a b", "a\\b", "<a>", "a^b", '"a"']
    dropped = stage.begin(texts, Call(answer_timeout_ms=500), caller=caller, count=len(texts), rate=40).wait(10)
    assert (dropped.successful, dropped.failed) == (0, len(texts))
    with stage.behind(first=Answers()):
        stage.call(did, caller=caller)
    stage.cdr(caller=caller).shows(did=did, disposition="answered")


def test_a_number_in_stock_is_not_routed(stage: Stage) -> None:
    did = stage.numbers.did()
    stage.change(lambda session, clock: numbering.add_did(session, clock, did, NumberClass.GEOGRAPHIC))
    stage.call(did, Call(expect=404))
    stage.cdr(did=did).shows(disposition="unallocated", refusal="number_not_active", account_id=None)


def test_a_number_that_forwards_nowhere(stage: Stage) -> None:
    did = stage.did()
    stage.call(did, Call(expect=480))
    stage.cdr(did=did).shows(disposition="refused", refusal="no_target", forwarding_status="not_forwarded")


def test_a_suspended_account_is_refused_at_once_and_back_at_once(stage: Stage) -> None:
    ref = stage.account("on-off")
    did = stage.did([stage.numbers.mobile()], account=ref)
    with stage.behind(first=Answers()) as carriers:
        stage.call(did)
        stage.cli("account", "suspend", ref)
        stage.await_plan()
        stage.call(did, Call(expect=403))
        stage.change(accounts.set_account_state, ref, AccountState.ACTIVE)
        stage.call(did)
    assert len(invites(carriers["first"])) == 2
    calls = [booked.call for booked in stage.booked(3, did=did)]
    assert [(call.disposition, call.refusal) for call in calls] == [("answered", None), ("refused", "account_not_active"), ("answered", None)]
    assert len({call.account_id for call in calls}) == 1


def test_a_released_number_is_refused_at_once(stage: Stage) -> None:
    did = stage.did([stage.numbers.mobile()])
    with stage.behind(first=Answers()) as carriers:
        stage.call(did)
        stage.cli("number", "release", did, "--commit")
        stage.await_plan()
        stage.call(did, Call(expect=404))
    assert len(invites(carriers["first"])) == 1
    before, after = stage.booked(2, did=did)
    before.shows(disposition="answered")
    after.shows(disposition="unallocated", refusal="number_not_active", account_id=None)
    assert after.legs == []


def test_a_number_is_forwarded_elsewhere_at_once(stage: Stage) -> None:
    old, new = stage.numbers.mobile(), stage.numbers.mobile()
    did = stage.did([old])
    with stage.behind(first=Answers()):
        stage.call(did)
        stage.cli("number", "forward", did, "--to", f"mobile:{new}")
        stage.await_plan()
        stage.call(did)
    assert [booked.call.forwarded_to for booked in stage.booked(2, did=did)] == [old, new]


def test_our_own_numbers_are_no_targets(stage: Stage) -> None:
    one, other = stage.did([stage.numbers.mobile()]), stage.did([stage.numbers.mobile()])
    done = stage.cli("number", "forward", one, "--to", other, check=False)
    assert done.returncode == 3
    assert "loop" in done.stderr
    target = E164("+441174960998")
    did = stage.did([target])
    done = stage.cli("number", "add", target, check=False)
    assert done.returncode == 5
    assert did in done.stderr
