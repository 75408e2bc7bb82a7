"""What each trunk is told of the caller, as it was on the wire (claim NN-6): the trunk's rule, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from ari_app.private.scenario import Answers, Call, Refuses
from ari_app.private.sip_trace import SipMessage
from tests.asterisk.stage import ACCOUNT, TRUNKS, Stage, invite

pytestmark = pytest.mark.asterisk

NETWORK = "+442079460990"
WITHHELD = {
    "privacy header": {"privacy": "id"},
    "privacy header and identity": {"privacy": "id", "asserted_identity": "+441174960991"},
    "several kinds of privacy": {"privacy": "User;ID;critical", "asserted_identity": "+441174960991"},
    "anonymous": {"from_host": "anonymous.invalid", "caller": "anonymous"},
    "anonymous and identity": {"from_host": "anonymous.invalid", "caller": "anonymous", "asserted_identity": "+441174960991"},
}
UNPRESENTABLE = {
    "premium": "+449098790001",
    "premium, national": "09098790001",
    "not in use": "08979123456",
    "service charge": "+448714960001",
    "personal": "07012345678",
    "pager": "07612345678",
    "too short": "12345",
    "too long": "+4420794600000000",
    "no number": "unknown",
    "a short code": "999",
    "letters": "acme",
}


class Heard:
    """The identity in an INVITE."""

    def __init__(self, message: SipMessage) -> None:
        self.message = message
        self.source = message.get("From").partition(";tag")[0]
        self.asserted = message.all("P-Asserted-Identity")
        self.privacy = message.all("Privacy")
        self.diversion = message.all("Diversion")
        self.text = "\n".join((message.start, *(f"{name}: {value}" for name, value in message.headers), message.body))

    def tells_nothing_of(self, *texts: str) -> None:
        """Check that none of these is anywhere in it, nor what belongs to the account or to our network."""
        others = ("P-Preferred-Identity", "Remote-Party-ID", "History-Info", "P-Charging-Vector", "X-", "Call-Info", "Reply-To", "Alert-Info")
        assert [name for name, _ in self.message.headers if name.startswith(others)] == []
        for text in (*texts, ACCOUNT, ACCOUNT.title(), *TRUNKS, "carrier", "node1"):
            assert text.lower() not in self.text.lower()


def forward(stage: Stage, trunk: str, caller: str, settings: dict[str, Any] | None = None, **call: Any) -> tuple[str, Heard]:
    """Forward a call by a trunk; give the DID and what the trunk heard."""
    did = stage.did([stage.numbers.mobile()])
    with stage.behind({trunk: settings or {}}, **{trunk: Answers(ring_ms=None)}) as carriers:
        stage.call(did, Call(hold_ms=50, **call), caller=caller)
    return did, Heard(invite(carriers[trunk]))


def test_the_did_is_shown(stage: Stage) -> None:
    caller = stage.numbers.caller()
    did, heard = forward(stage, "first", caller, display="Mary Caller", asserted_identity="+441174960991")
    assert heard.source == f"<sip:{did}@127.0.0.1>"
    assert (heard.asserted, heard.privacy, heard.diversion) == ([], [], [])
    heard.tells_nothing_of(caller[3:], "Mary", "1174960991")


def test_the_caller_is_passed(stage: Stage) -> None:
    caller = stage.numbers.caller()
    did, heard = forward(stage, "first", caller, {"caller_id_mode": "pass"}, display="Mary Caller")
    assert heard.source == f"<sip:{caller}@127.0.0.1>"
    assert (heard.asserted, heard.privacy, heard.diversion) == ([], [], [])
    heard.tells_nothing_of(did[3:], "Mary")


def test_the_caller_is_passed_with_a_diversion(stage: Stage) -> None:
    caller = stage.numbers.caller()
    did, heard = forward(stage, "diverting", caller, display="Mary Caller")
    assert heard.source == f"<sip:{caller}@127.0.0.1>"
    assert heard.diversion == [f"<sip:{did}@127.0.0.1>;reason=unconditional"]
    assert (heard.asserted, heard.privacy) == ([], [])
    heard.tells_nothing_of("Mary")


@pytest.mark.parametrize("trunk", ["first", "diverting"])
def test_an_identity_in_the_carriers_network_counts(stage: Stage, trunk: str) -> None:
    """The trunk is trusted: P-Asserted-Identity says who calls, whatever From shows."""
    identity, shown = stage.numbers.caller(), stage.numbers.caller()
    _, heard = forward(stage, trunk, shown, {"caller_id_mode": "pass"} if trunk == "first" else {}, asserted_identity=identity)
    assert heard.source == f"<sip:{identity}@127.0.0.1>"
    heard.tells_nothing_of(shown[3:])


@pytest.mark.parametrize("mode", ["did", "pass"])
def test_a_network_number_is_asserted_once(stage: Stage, mode: str) -> None:
    caller = stage.numbers.caller()
    did, heard = forward(stage, "first", caller, {"caller_id_mode": mode, "network_number": NETWORK}, asserted_identity=caller)
    assert heard.source == f"<sip:{caller if mode == 'pass' else did}@127.0.0.1>"
    assert heard.asserted == [f"<sip:{NETWORK}@127.0.0.1>"]
    assert heard.privacy == []
    heard.tells_nothing_of(did[3:] if mode == "pass" else caller[3:])


@pytest.mark.parametrize(("mode", "network"), [("did", None), ("pass", None), ("pass", NETWORK), ("pass_diversion", NETWORK)])
@pytest.mark.parametrize("how", WITHHELD.values(), ids=WITHHELD)
def test_what_is_withheld_stays_withheld(stage: Stage, how: dict[str, str], network: str | None, mode: str) -> None:
    caller = how.get("caller") or stage.numbers.caller()
    call = {key: value for key, value in how.items() if key != "caller"}
    trunk = "diverting" if mode == "pass_diversion" else "first"
    did, heard = forward(stage, trunk, caller, {"network_number": network, "caller_id_mode": mode}, display="Mary Caller", **call)
    assert heard.source == '"Anonymous" <sip:anonymous@anonymous.invalid>'
    assert heard.asserted == ([f"<sip:{network}@127.0.0.1>"] if network else [])
    assert heard.privacy == (["id"] if network else [])
    heard.tells_nothing_of("Mary", "1174960991", *([] if caller == "anonymous" else [caller[3:]]))
    identity = how.get("asserted_identity") or (None if caller == "anonymous" else caller)
    stage.cdr(did=did).shows(caller=identity, caller_withheld=True, disposition="answered")


@pytest.mark.parametrize("trunk", ["first", "diverting"])
@pytest.mark.parametrize("caller", UNPRESENTABLE.values(), ids=UNPRESENTABLE)
def test_a_number_that_may_not_be_shown_gives_way_to_the_did(stage: Stage, caller: str, trunk: str) -> None:
    did, heard = forward(stage, trunk, caller, {"caller_id_mode": "pass"} if trunk == "first" else {})
    assert heard.source == f"<sip:{did}@127.0.0.1>"
    assert heard.diversion == ([f"<sip:{did}@127.0.0.1>;reason=unconditional"] if trunk == "diverting" else [])
    if caller != "999":
        heard.tells_nothing_of(caller.lstrip("+0"))


@pytest.mark.parametrize("privacy", ["none", "session;critical", "history"])
def test_other_kinds_of_privacy_hide_no_number(stage: Stage, privacy: str) -> None:
    caller = stage.numbers.caller()
    did, heard = forward(stage, "first", caller, {"caller_id_mode": "pass"}, privacy=privacy, display="Ann Onymous")
    assert heard.source == f"<sip:{caller}@127.0.0.1>"
    stage.cdr(did=did).shows(caller=caller, caller_withheld=False)


FORMATS = {"e164_plus": "+44{}", "e164": "44{}", "national": "0{}"}


@pytest.mark.parametrize("mode", ["did", "pass"])
@pytest.mark.parametrize(("number_format", "form"), FORMATS.items(), ids=FORMATS)
def test_numbers_as_the_trunk_wants_them(stage: Stage, number_format: str, form: str, mode: str) -> None:
    caller, mobile = stage.numbers.caller(), stage.numbers.mobile()
    did = stage.did([mobile])
    with stage.behind({"first": {"number_format": number_format, "caller_id_mode": mode}}, first=Answers(ring_ms=None)) as carriers:
        stage.call(did, Call(hold_ms=50), caller="0" + caller[3:])
    heard = Heard(invite(carriers["first"]))
    assert heard.message.start.startswith(f"INVITE sip:{form.format(mobile[3:])}@127.0.0.3:")
    assert heard.source == f"<sip:{form.format((caller if mode == 'pass' else did)[3:])}@127.0.0.1>"
    stage.cdr(did=did).shows(forwarded_to=mobile, caller=caller)


@pytest.mark.parametrize("mode", ["did", "pass"])
def test_an_earlier_diversion_is_not_passed_on(stage: Stage, mode: str) -> None:
    earlier = stage.numbers.caller()
    _, heard = forward(stage, "first", stage.numbers.caller(), {"caller_id_mode": mode, "network_number": NETWORK}, diverted_from=(earlier,))
    assert heard.diversion == []
    heard.tells_nothing_of(earlier[3:])


def test_of_an_earlier_diversion_a_trunk_hears_our_own_only(stage: Stage) -> None:
    earlier = stage.numbers.caller()
    did, heard = forward(stage, "diverting", stage.numbers.caller(), diverted_from=(earlier,))
    assert heard.diversion == [f"<sip:{did}@127.0.0.1>;reason=unconditional"]
    heard.tells_nothing_of(earlier[3:])


def test_a_phone_and_a_trunk_that_ring_together_are_told_different_things(stage: Stage) -> None:
    caller, mobile = stage.numbers.caller(), stage.numbers.mobile()
    did = stage.did([mobile, "desk"])
    settings = {"first": {"network_number": NETWORK}}
    with stage.phone("desk", Answers(ring_ms=400)) as desk, stage.behind(settings, first=Answers(ring_ms=100)) as carriers:
        stage.call(did, caller=caller)
    by_trunk, by_phone = Heard(invite(carriers["first"])), Heard(invite(desk))
    assert by_trunk.source == f"<sip:{did}@127.0.0.1>"
    assert by_trunk.asserted == [f"<sip:{NETWORK}@127.0.0.1>"]
    assert by_phone.source == f"<sip:{caller}@127.0.0.1>"
    assert (by_phone.asserted, by_phone.diversion) == ([], [])
    by_trunk.tells_nothing_of(caller[3:])


def test_after_a_failure_each_trunk_is_told_by_its_own_rule(stage: Stage) -> None:
    caller = stage.numbers.caller()
    did = stage.did([stage.numbers.mobile()])
    settings = {"second": {"network_number": NETWORK}, "third": {"caller_id_mode": "pass"}}
    refuses = Refuses(status=503)
    with stage.behind(settings, diverting=refuses, second=refuses, third=Answers(ring_ms=None)) as carriers:
        stage.call(did, caller=caller)
    first, second, third = (Heard(invite(server)) for server in carriers.values())
    assert [heard.source for heard in (first, second, third)] == [f"<sip:{number}@127.0.0.1>" for number in (caller, did, caller)]
    assert [heard.asserted for heard in (first, second, third)] == [[], [f"<sip:{NETWORK}@127.0.0.1>"], []]
    assert [len(heard.diversion) for heard in (first, second, third)] == [1, 0, 0]
