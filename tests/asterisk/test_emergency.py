"""Calls to 999 on a real Asterisk: by the first trunk that works, with the site's number, whatever is off, refused, limited or down."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ari_app.private.node import wait_until
from ari_app.private.root import Root
from ari_app.private.scenario import Answers, Call, Callee, Refuses, Stalls
from ari_app.private.sipp import SilentServer, SippServer
from ringfence.models import EmergencyCall, Incident
from ringfence.queries import accounts
from ringfence.values import AccountState
from tests.asterisk.stage import MOBILE, PHONE, WAIT, WAYS, BookedCall, Stage, invite, invites

pytestmark = pytest.mark.asterisk

DAEMONS = ("ari", "agi", "ami", "ledger")


@contextlib.contextmanager
def services(stage: Stage, blue: Callee | None, green: Callee | None) -> Iterator[dict[str, SippServer]]:
    """Put callees behind the two ways to 999; None = nobody is there."""
    with contextlib.ExitStack() as stack:
        callees = zip(WAYS, (blue, green), strict=True)
        yield {way: stack.enter_context(stage.serve(MOBILE, stage.ports[way], callee)) for way, callee in callees if callee is not None}


@contextlib.contextmanager
def alone(stage: Stage) -> Iterator[None]:
    """Everything of ours stands still; Asterisk goes on alone."""
    with stage.node.frozen(*DAEMONS):
        yield
    wait_until(lambda: stage.decides, 10, "the app")


def dialled(stage: Stage, code: str, phone: str = "desk", **values: Any) -> float:
    """Dial an emergency number and return the seconds that it took, with a short talk."""
    began = time.monotonic()
    stage.dial(phone, code, hold_ms=50, **values)
    return time.monotonic() - began


def booked(stage: Stage, called: str, already: int) -> BookedCall:
    """Return the call that was booked after `already` others from the same phone to the same number."""
    return stage.booked(already + 1, called=called, inbound_trunk="desk")[-1]


def shows_the_site(server: SippServer, site: str) -> None:
    message = invite(server)
    assert message.get("From").startswith(f"<sip:{site}@")
    assert message.all("P-Asserted-Identity") == [f"<sip:{site}@127.0.0.1>"]
    assert (message.all("Privacy"), message.all("Diversion")) == ([], [])


@pytest.mark.parametrize("code", ["999", "112", "18000"])
def test_it_reaches_the_first_trunk_with_the_number_of_the_site_while_everything_of_ours_stands_still(stage: Stage, code: str) -> None:
    already, site = len(stage.find(called=code, inbound_trunk="desk")), stage.sites["desk"]
    with services(stage, Answers(), Answers()) as servers:
        with alone(stage):
            dialled(stage, code, display="Mary")
        assert invite(servers["blue"]).start.startswith(f"INVITE sip:{code}@{MOBILE}")
        shows_the_site(servers["blue"], site)
        assert "Mary" not in repr(invite(servers["blue"]))
        assert invites(servers["green"]) == []
    call = booked(stage, code, already)
    call.shows(direction="outbound", disposition="answered", routed_by="static", did=site, trunk="blue", refusal=None, caller_withheld=False)
    kept = next(row for row in stage.rows(EmergencyCall) if row.call_id == call.call.call_id)
    assert (kept.called, kept.trunk, kept.disposition.value) == (code, "blue", "answered")
    assert call.ways == [(1, code, "blue", "answered", None)]


NOBODY, SILENCE = "nobody", "silence"
FAULTS: dict[str, tuple[Callee | str, float, tuple[str, int | None]]] = {
    "dead": (NOBODY, WAIT, ("failed", None)),
    "silent": (SILENCE, WAIT, ("failed", None)),
    "slow": (Stalls(), WAIT, ("failed", None)),
    "refusing": (Refuses(status=503), 0, ("failed", 503)),
    "busy": (Refuses(status=486), 0, ("busy", 486)),
    "declining after it rang": (Refuses(status=603, ring_ms=100), 0, ("declined", 603)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_trunk_that_does_not_work_gives_way_to_the_next(stage: Stage, fault: str) -> None:
    callee, wait, told = FAULTS[fault]
    already, site = len(stage.find(called="999", inbound_trunk="desk")), stage.sites["desk"]
    with contextlib.ExitStack() as stack:
        if callee == SILENCE:
            stack.enter_context(SilentServer(MOBILE, stage.ports["blue"]))
        servers = stack.enter_context(services(stage, None if isinstance(callee, str) else callee, Answers()))
        with alone(stage):
            seconds = dialled(stage, "999")
        assert wait <= seconds < wait + 2.5
        shows_the_site(servers["green"], site)
    call = booked(stage, "999", already)
    call.shows(disposition="answered", routed_by="static", did=site, trunk="green")
    assert call.ways == [(1, "999", "blue", *told), (2, "999", "green", "answered", None)]


def test_a_trunk_that_rings_is_never_left(stage: Stage) -> None:
    already = len(stage.find(called="999", inbound_trunk="desk"))
    with services(stage, Answers(ring_ms=int(WAIT * 2000)), Answers()) as servers:
        dialled(stage, "999")
        assert invites(servers["green"]) == []
    call = booked(stage, "999", already)
    call.shows(disposition="answered", trunk="blue")
    begins = [line for line in stage.node.log("ami").splitlines() if "emergency_call_begins" in line]
    assert [line for line in begins if call.call.call_id in line and "desk" in line]


def test_every_trunk_fails_twice_before_a_call_is_given_up(stage: Stage) -> None:
    already = len(stage.find(called="112", inbound_trunk="desk"))
    with services(stage, Refuses(status=503), Refuses(status=500)) as servers:
        stage.dial("desk", "112", expect=503)
        assert [len(invites(server)) for server in servers.values()] == [2, 2]
    call = booked(stage, "112", already)
    call.shows(disposition="failed", billable_seconds=0, answered_at=None, routed_by="static")
    assert [(trunk, status) for _, _, trunk, _, status in call.ways] == [("blue", 503), ("green", 500)] * 2
    kept = next(row for row in stage.rows(EmergencyCall) if row.call_id == call.call.call_id)
    assert [(attempt["trunk"], attempt["sip_status"]) for attempt in kept.tried] == [("blue", 503), ("green", 500)] * 2
    assert (kept.called, kept.presented, kept.endpoint, kept.trunk, kept.answered_at) == ("112", stage.sites["desk"], "desk", None, None)
    (incident,) = [row for row in stage.rows(Incident) if call.call.call_id in row.detail]
    assert (incident.cause, incident.data_class, incident.closed_at) == ("emergency_call_failed", "emergency_call", None)
    assert "blue 503, green 500" in incident.detail
    assert '"event": "emergency_call_failed"' in stage.node.log("ledger").replace('":"', '": "')


@pytest.mark.parametrize("form", ["141999", "1470112", "1411470999", "9999"])
def test_however_it_is_dialled_the_number_is_never_withheld(stage: Stage, form: str) -> None:
    with services(stage, Answers(), None) as servers:
        dialled(stage, form, privacy="id;header", from_host="anonymous.invalid")
        assert invite(servers["blue"]).start.startswith(f"INVITE sip:{form[-3:]}@")
        shows_the_site(servers["blue"], stage.sites["desk"])


def test_by_relay_it_is_the_relay_s_emergency_number(stage: Stage) -> None:
    with services(stage, Answers(), None) as servers:
        dialled(stage, "18001999")
        assert invite(servers["blue"]).start.startswith("INVITE sip:18000@")


def test_an_account_that_is_suspended_or_at_its_limit_or_whose_number_has_no_address(stage: Stage) -> None:
    stage.change(accounts.set_account, "late", concurrency_limit=0)
    stage.change(accounts.set_account_state, "late", AccountState.SUSPENDED)
    with stage.behind(first=Answers()), services(stage, Answers(), Answers()) as servers:
        stage.dial("late-desk", stage.numbers.mobile(), expect=403)
        dialled(stage, "999", phone="late-desk")
        shows_the_site(servers["blue"], stage.sites["late-desk"])
    stage.change(accounts.set_account_state, "late", AccountState.ACTIVE)
    stage.change(accounts.set_account, "late", concurrency_limit=None)
    stage.cdr(called="999", inbound_trunk="late-desk").shows(disposition="answered", trunk="blue", did=stage.sites["late-desk"])


def test_during_ordinary_calls(stage: Stage) -> None:
    dids = [stage.did([stage.numbers.mobile()]) for _ in range(30)]  # many: the same call again and again would be taken for a loop
    with stage.behind(first=Answers(ring_ms=None)), services(stage, Answers(ring_ms=None), None) as servers:
        load = stage.begin(dids, Call(hold_ms=300), count=180, rate=60)
        for _ in range(3):
            assert dialled(stage, "999") < 2
        assert load.wait(30).failed == 0
        assert len({message.get("Call-ID") for message in invites(servers["blue"])}) == 3  # one may be sent again when both cores are busy


def test_a_call_back_rings_the_phone_that_called_whatever_else_is_set(stage: Stage) -> None:
    site, caller, mobile = stage.sites["cellar"], stage.numbers.caller(), stage.numbers.mobile()
    stage.did([mobile], account="late", number=site, again=True)
    stage.change(accounts.set_account_state, "late", AccountState.SUSPENDED)
    with stage.behind(first=Answers()) as carriers, services(stage, Answers(), None), stage.phone("cellar") as phone:
        stage.call(site, Call(expect=403), caller=caller)
        assert explained(stage, site)["remembered"] is None
        dialled(stage, "999", phone="cellar")
        back = explained(stage, site)
        assert (back["phones"], back["asked"], back["remembered"]["phone"]) == (["cellar"], True, "cellar")
        with alone(stage):
            stage.call("0" + site[3:], caller=caller)
            stage.call("0044" + site[3:], Call(privacy="id"), caller=caller)
        assert [message.get("From").startswith(f"<sip:{caller}@") for message in invites(phone)] == [True, False]
        assert invites(carriers["first"]) == []
    stage.change(accounts.set_account_state, "late", AccountState.ACTIVE)
    (refused,) = stage.booked(1, called=site, inbound_trunk="carrier")
    rung = [stage.cdr(called=form + site[3:]) for form in ("0", "0044")]
    refused.shows(refusal="account_not_active")
    for call in rung:
        call.shows(disposition="answered", direction="inbound", routed_by="static", did=site, forwarded_to="cellar", caller=caller)
    with stage.behind(first=Answers()):  # the phone is away: the number's own targets are rung after it
        stage.call(site, caller=caller)
    last = stage.booked(2, called=site, inbound_trunk="carrier")[-1]
    assert last.ways == [(1, "cellar", None, "failed", None), (2, mobile, "first", "answered", None)]


def explained(stage: Stage, number: str) -> dict[str, Any]:
    back: dict[str, Any] = stage.read("number", "explain", number, "--ask-asterisk")["call_back"]
    return back


@pytest.fixture(scope="module")
def small(asterisk_root: Root) -> Iterator[Stage]:
    """A node with room for one ordinary call, which asks its trunks whether they are there."""
    home = Path(tempfile.mkdtemp(prefix="rf-"))
    stage = Stage(asterisk_root, home, max_calls=1, qualify_seconds=1, emergency_wait=10.0)
    try:
        stage.start()
        yield stage
    finally:
        stage.stop()
        shutil.rmtree(home)


def test_room_is_kept_and_a_trunk_that_is_known_to_be_dead_costs_no_time(small: Stage) -> None:
    stage = small
    with services(stage, None, Answers()) as servers:
        did = stage.did([stage.numbers.mobile()])
        with stage.serve(MOBILE, stage.ports["first"], Answers()), stage.behind(first=None):
            found = {"blue": " Unavail ", "green": " Avail ", "first": " Avail "}
            wait_until(lambda: all(status in contact(stage, name) for name, status in found.items()), 20, "what qualifying finds")
            up = stage.begin(did, Call(hold_ms=2500))
            wait_until(lambda: "!Up!Dial!" in stage.node.rx("core show channels concise"), 5, "the call that fills it")
            stage.call(did, Call(expect=503))
            stage.call(did, Call(expect=503, privacy="id"))
            assert dialled(stage, "999") < 5  # of 10 that a silent one gets
            up.wait(10).check()
        assert len(invites(servers["green"])) == 1
        assert [call.call.refusal for call in stage.booked(3, called=did)] == [None, "node_full", "node_full"]
        assert stage.cdr(called="999").ways == [(1, "999", "blue", "failed", None), (2, "999", "green", "answered", None)]


def test_calls_that_go_down_with_their_asterisk_are_booked_once_and_somebody_is_told(small: Stage) -> None:
    """One is heard of at its beginning; the other begins while the manager process hangs, and the next one finds it up."""
    stage, node = small, small.node
    begun = []

    def begin(number: str) -> None:
        call = Call(hold_ms=60_000, user="desk", secret=stage.secrets["desk"])
        begun.append(stage.begin(number, call, caller="desk", host=PHONE))
        wait_until(lambda: node.rx("core show channels concise").count("!Up!Dial!") == len(begun), 10, "the call")

    with services(stage, Answers(), Answers()):
        begin("112")
        wait_until(lambda: "112" in journalled(stage), 10, "the note of the first call")
        node.signal("ami", signal.SIGSTOP)
        begin("18000")
        node.signal("ami", signal.SIGKILL)
        wait_until(lambda: "18000" in journalled(stage), 20, "the note of the second call")
        node.signal("asterisk", signal.SIGKILL)
        for up in begun:
            up.kill()
        calls = [stage.cdr(called=number) for number in ("112", "18000")]
    for call in calls:
        call.shows(disposition="lost", end_estimated=True, direction="outbound", routed_by="static", inbound_trunk="desk", did=stage.sites["desk"])
        kept = next(row for row in stage.rows(EmergencyCall) if row.call_id == call.call.call_id)
        assert (kept.endpoint, kept.presented, kept.disposition.value, kept.tried) == ("desk", stage.sites["desk"], "lost", [])
        (incident,) = [row for row in stage.rows(Incident) if call.call.call_id in row.detail]
        assert (incident.cause, "Ring the customer back" in incident.detail) == ("emergency_call_failed", True)


def journalled(stage: Stage) -> list[str]:
    """Return what the calls dialled that the manager process noted."""
    paths = stage.node.settings.journal_dir.glob("decisions-*-static.jsonl")
    return [json.loads(line)["in"].split(":")[1] for path in paths for line in path.read_text(encoding="ascii").splitlines()]


def contact(stage: Stage, way: str) -> str:
    return next(line for line in stage.node.rx("pjsip show contacts").splitlines() if f" {way}/" in line)
