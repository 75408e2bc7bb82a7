"""Customers' phones: they register, numbers ring them, they call out with their number, and what is barred is refused with a clear cause."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from ari_app.private.node import wait_until
from ari_app.private.scenario import Answers, Call, Refuses, Rings
from dialplan.emergency.state import AddressEvent
from ringfence.clock import SystemClock
from ringfence.queries import accounts
from ringfence.values import E164, AccountState
from tests.asterisk.stage import PHONE, Stage, invite, invites

pytestmark = pytest.mark.asterisk


@pytest.fixture(scope="module")
def own(stage: Stage) -> Iterator[E164]:
    """The number that the phone presents."""
    did = stage.did(["desk"])
    stage.present("desk", did)
    yield did
    stage.change(accounts.set_endpoint, "desk", caller_did=None)


def contacts(stage: Stage) -> str:
    return stage.node.rx("pjsip show contacts")


def test_a_phone_registers_and_takes_it_back(stage: Stage) -> None:
    stage.register("lobby").check()
    assert f"sip:lobby@{PHONE}:{stage.ports['lobby']}" in contacts(stage)
    stage.register("lobby", expires=0).check()
    assert "sip:lobby@" not in contacts(stage)


def test_a_look_up_for_999_tells_from_where_a_phone_registered_last(stage: Stage) -> None:
    def shown() -> dict[str, Any]:
        return dict(stage.read("emergency", "lookup", stage.sites["late-desk"], "--purpose", "test"))

    assert shown()["last_registered_from"] is None
    before = SystemClock().now().replace(microsecond=0)
    stage.register("late-desk").check()
    wait_until(lambda: shown()["last_registered_from"] == PHONE, 10, "the registration to be in the store")
    stage.register("late-desk", expires=0).check()
    found = shown()  # also when the phone is gone
    assert (found["last_registered_from"], found["last_registered_phone"], found["phones"]) == (PHONE, "late-desk", ["late-desk"])
    assert before <= datetime.fromisoformat(found["last_registered_at"]) <= SystemClock().now()


@pytest.mark.parametrize("phone", ["lobby", "closed-desk"])
def test_a_registration_that_is_refused(stage: Stage, phone: str) -> None:
    """A wrong password, and a phone that is disabled: both hear the same, so that nobody learns which phones there are."""
    stage.register(phone, secret="wrong" if phone == "lobby" else None, expect=401).check()
    assert f"sip:{phone}@" not in contacts(stage)


def test_a_call_with_a_wrong_password_goes_nowhere(stage: Stage, own: E164) -> None:
    with stage.behind(first=Answers()) as carriers:
        calls = stage.begin(stage.numbers.mobile(), Call(expect=401, user="desk", secret="wrong"), caller="desk", host=PHONE)
        calls.wait(10).check()
    assert invites(carriers["first"]) == []
    assert own


def test_a_voip_number_rings_the_phone(stage: Stage) -> None:
    caller, did = stage.numbers.caller(), stage.did(["lobby"], number="+445603101234")
    with stage.behind(), stage.phone("lobby", Answers(ring_ms=200)) as lobby:
        stage.call("05603101234", Call(hold_ms=300), caller=caller)
    message = invite(lobby)
    assert message.start.startswith(f"INVITE sip:lobby@{PHONE}:{stage.ports['lobby']}")
    assert message.get("From").startswith(f"<sip:{caller}@127.0.0.1>")
    booked = stage.cdr(did=did)
    booked.shows(
        disposition="answered", direction="inbound", caller=caller, forwarded_to="lobby", trunk=None, billable_seconds=1, forwarding_status="forwarded"
    )
    assert booked.ways == [(1, "lobby", None, "answered", None)]
    assert booked.legs[0].kind == "endpoint"


def test_a_withheld_caller_is_withheld_from_the_phone(stage: Stage) -> None:
    caller, did = stage.numbers.caller(), stage.did(["lobby"])
    with stage.behind(), stage.phone("lobby") as lobby:
        stage.call(did, Call(privacy="id", display="Mary"), caller=caller)
    text = repr(invite(lobby))
    assert invite(lobby).get("From").startswith('"Anonymous" <sip:anonymous@anonymous.invalid>')
    assert caller[3:] not in text
    assert "Mary" not in text


def test_a_phone_that_is_away_gives_way_to_the_next_target(stage: Stage) -> None:
    mobile = stage.numbers.mobile()
    did = stage.did(["hall"], [mobile])
    with stage.behind(first=Answers()):
        stage.call(did)
    booked = stage.cdr(did=did)
    booked.shows(disposition="answered", forwarded_to=mobile)
    assert booked.ways == [(1, "hall", None, "failed", None), (2, mobile, "first", "answered", None)]


def test_only_a_phone_that_is_away(stage: Stage) -> None:
    did = stage.did(["hall"])
    with stage.behind(first=Answers()):
        stage.call(did, Call(expect=480))
    stage.cdr(did=did).shows(disposition="failed", forwarding_status="not_reached", forwarded_to="hall", refusal=None)


def test_the_phone_calls_out_and_presents_its_number(stage: Stage, own: E164) -> None:
    mobile = stage.numbers.mobile()
    with stage.behind({"first": {"network_number": "+442079460990"}}, first=Answers(ring_ms=100)) as carriers:
        stage.dial("desk", "0" + mobile[3:], hold_ms=1100, display="Mary Desk")
    message = invite(carriers["first"])
    assert message.start.startswith(f"INVITE sip:{mobile}@")
    assert message.get("From").startswith(f"<sip:{own}@127.0.0.1>")
    assert message.all("P-Asserted-Identity") == ["<sip:+442079460990@127.0.0.1>"]
    assert (message.all("Privacy"), message.all("Diversion")) == ([], [])
    assert "desk" not in repr(message).lower()
    booked = stage.cdr(called=mobile)
    booked.shows(
        direction="outbound",
        caller=own,
        did=own,
        caller_withheld=False,
        inbound_trunk="desk",
        forwarded_to=mobile,
        trunk="first",
        disposition="answered",
        billable_seconds=2,
        hung_up_by="caller",
        routed_by="ari",
    )
    assert booked.call.account_id
    assert booked.ways == [(1, mobile, "first", "answered", None)]


@pytest.mark.parametrize(
    ("callee", "heard", "disposition"), [(Refuses(status=486), 486, "busy"), (Refuses(status=603), 603, "declined"), (Refuses(status=404), 480, "failed")]
)
def test_the_phone_hears_what_became_of_its_call(stage: Stage, own: E164, callee: Refuses, heard: int, disposition: str) -> None:
    mobile = stage.numbers.mobile()
    with stage.behind(first=Refuses(status=503), second=callee, third=Answers()) as carriers:
        stage.dial("desk", mobile, expect=heard)
    assert [len(invites(server)) for server in carriers.values()] == [1, 1, 0]
    stage.cdr(called=mobile).shows(direction="outbound", disposition=disposition, billable_seconds=0, trunk="second", caller=own)


HIDDEN = {"141": ("141", {}), "privacy header": ("", {"privacy": "id"})}


@pytest.mark.parametrize(("prefix", "call"), HIDDEN.values(), ids=HIDDEN)
def test_the_phone_withholds_its_number(stage: Stage, own: E164, prefix: str, call: dict[str, str]) -> None:
    mobile = stage.numbers.mobile()
    with stage.behind({"first": {"network_number": "+442079460990"}}, first=Answers(ring_ms=None)) as carriers:
        stage.dial("desk", f"{prefix}0{mobile[3:]}", hold_ms=50, **call)
    message = invite(carriers["first"])
    assert message.get("From").startswith('"Anonymous" <sip:anonymous@anonymous.invalid>')
    assert message.all("Privacy") == ["id"]
    assert own[3:] not in repr(message)
    stage.cdr(called=mobile).shows(caller=own, caller_withheld=True, direction="outbound", disposition="answered")


def test_1470_shows_the_number_all_the_same(stage: Stage, own: E164) -> None:
    mobile = stage.numbers.mobile()
    with stage.behind(first=Answers(ring_ms=None)) as carriers:
        stage.dial("desk", f"14700{mobile[3:]}", hold_ms=50, privacy="id")
    assert invite(carriers["first"]).get("From").startswith(f"<sip:{own}@127.0.0.1>")
    stage.cdr(called=mobile).shows(caller=own, caller_withheld=False)


def test_the_phone_calls_another_number_of_ours(stage: Stage, own: E164) -> None:
    """Inside: by the other number's targets, with the caller's number shown as its rule says."""
    mobile = stage.numbers.mobile()
    other, to_phone = stage.did([mobile]), stage.did(["lobby"])
    with stage.behind({"first": {"caller_id_mode": "pass"}}, first=Answers(ring_ms=None)) as carriers, stage.phone("lobby") as lobby:
        stage.dial("desk", "0" + other[3:], hold_ms=50)
        stage.dial("desk", "0" + to_phone[3:], hold_ms=50)
    assert invite(carriers["first"]).get("From").startswith(f"<sip:{own}@127.0.0.1>")
    assert invite(lobby).get("From").startswith(f"<sip:{own}@127.0.0.1>")
    stage.cdr(called=other).shows(direction="internal", did=other, caller=own, forwarded_to=mobile, disposition="answered")
    stage.cdr(called=to_phone).shows(direction="internal", did=to_phone, caller=own, forwarded_to="lobby", disposition="answered")


BARRED = {
    "premium": ("09098790001", "+449098790001", "number_class_barred", 403),
    "personal": ("07012345678", "+447012345678", "number_class_barred", 403),
    "pager": ("07612345678", "+447612345678", "number_class_barred", 403),
    "not in use": ("04012345678", "+444012345678", "number_class_barred", 403),
    "premium, hidden": ("14109098790002", "+449098790002", "number_class_barred", 403),
    "abroad": ("0035312345678", "+35312345678", "international_barred", 403),
    "abroad with plus": ("+12025550123", "+12025550123", "international_barred", 403),
    "directory": ("118500", "118500", "short_code_not_provisioned", 403),
    "voicemail": ("1571", "1571", "short_code_not_provisioned", 403),
    "no number": ("12345", "12345", "invalid_number", 404),
    "too long": ("020794600000000", "020794600000000", "invalid_number", 404),
    "a word": ("sales", "", "not_a_number", 404),
    "a star code": ("*21*999#", "", "not_a_number", 404),
}


@pytest.mark.parametrize(("number", "called", "refusal", "heard"), BARRED.values(), ids=BARRED)
def test_what_a_phone_may_not_call(stage: Stage, own: E164, number: str, called: str, refusal: str, heard: int) -> None:
    before = len(stage.find(inbound_trunk="desk", refusal=refusal))
    with stage.behind(first=Answers()) as carriers:
        stage.dial("desk", number, expect=heard)
    assert invites(carriers["first"]) == []
    booked = stage.booked(before + 1, inbound_trunk="desk", refusal=refusal)[-1]
    booked.shows(called=called, disposition="unallocated" if heard == 404 else "refused", billable_seconds=0)
    assert booked.legs == []
    assert own


def test_a_phone_without_a_number_cannot_call(stage: Stage) -> None:
    mobile = stage.numbers.mobile()
    with stage.behind(first=Answers()) as carriers:
        stage.dial("hall", mobile, expect=403)
    assert invites(carriers["first"]) == []
    stage.cdr(called=mobile).shows(refusal="no_caller_number", disposition="refused", inbound_trunk="hall")


def test_a_phone_whose_number_has_no_address_for_999_cannot_call_until_a_carrier_has_it(stage: Stage) -> None:
    did, before, drafted, after = stage.did(["hall"]), stage.numbers.mobile(), stage.numbers.mobile(), stage.numbers.mobile()
    stage.present("hall", did, until=None)
    with stage.behind(first=Answers()) as carriers:
        stage.dial("hall", before, expect=403)
        stage.locate(did, AddressEvent.DRAFTED)
        stage.dial("hall", drafted, expect=403)
        assert invites(carriers["first"]) == []
        stage.locate(did, AddressEvent.SENT)
        stage.dial("hall", after, hold_ms=50)
    for mobile in (before, drafted):
        stage.cdr(called=mobile).shows(refusal="emergency_address_missing", disposition="refused", direction="outbound", did=did)
    stage.cdr(called=after).shows(refusal=None, disposition="answered", caller=did)
    stage.change(accounts.set_endpoint, "hall", caller_did=None)


def test_the_phone_of_a_suspended_account(stage: Stage) -> None:
    did = stage.did(["late-desk"], account="late")
    stage.present("late-desk", did)
    mobile, again = stage.numbers.mobile(), stage.numbers.mobile()
    stage.change(accounts.set_account_state, "late", AccountState.SUSPENDED)
    with stage.behind(first=Answers()), stage.phone("late-desk") as phone:
        stage.dial("late-desk", mobile, expect=403)
        stage.call(did, Call(expect=403))
        assert invites(phone) == []
        stage.change(accounts.set_account_state, "late", AccountState.ACTIVE)
        stage.dial("late-desk", again)
    stage.cdr(called=mobile).shows(refusal="account_not_active", disposition="refused", direction="outbound")
    stage.cdr(called=did).shows(refusal="account_not_active", disposition="refused", direction="inbound")
    stage.cdr(called=again).shows(disposition="answered", caller=did)


def test_a_phone_that_is_disabled_cannot_call_nor_be_rung_from_that_moment(stage: Stage, own: E164) -> None:
    mobile = stage.numbers.mobile()
    with stage.behind(first=Answers()), stage.phone("desk", Rings()) as desk:
        stage.change(accounts.set_endpoint, "desk", enabled=False)
        try:
            stage.dial("desk", mobile, expect=403)
            stage.call(own, Call(expect=503), caller=stage.numbers.caller())
        finally:
            stage.change(accounts.set_endpoint, "desk", enabled=True)
    assert invites(desk) == []
    stage.cdr(called=mobile).shows(refusal="unknown_endpoint", disposition="refused")
