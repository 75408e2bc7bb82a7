"""`call list`, `call watch`, `call hangup` and `number explain` against calls that are up on a real Asterisk."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from ari_app.private.node import wait_until
from ari_app.private.scenario import Answers, Call, Rings
from dialplan.numbers import mask
from ringfence.values import E164, Disposition, HungUpBy
from tests.asterisk.stage import Stage, invite

pytestmark = pytest.mark.asterisk


def listed(stage: Stage, did: str, *arguments: str) -> list[dict[str, object]]:
    return [row for row in stage.read("call", "list", "--reveal", *arguments) if row["called"] == did]


def test_an_answered_call_is_listed_shown_and_ended(stage: Stage) -> None:
    caller, target = stage.numbers.caller(), stage.numbers.mobile()
    with stage.behind(first=Answers()):
        did = stage.did([target])
        calls = stage.begin(did, Call(hold_ms=None), caller=caller)
        wait_until(lambda: [row for row in listed(stage, did) if row["state"] == "answered"], 20, "the call to be answered")
        (row,) = listed(stage, did)
        assert (row["caller"], row["did"], row["answered_by"], row["routed_by"]) == (caller, did, "first", "ari")
        assert (row["direction"], row["inbound_trunk"], row["targets"]) == ("inbound", "carrier", [f"{target} by first"])
        hidden = stage.cli("call", "list").stdout
        assert mask(caller) in hidden
        for number in (caller, did, target):
            assert number[1:] not in hidden
        shown = stage.cli("call", "watch", "--once").stdout
        assert "answered" in shown
        assert did[1:] not in shown
        call_id = str(row["call_id"])
        assert stage.cli("call", "hangup", call_id).stdout.startswith("would end")
        assert listed(stage, did)
        assert stage.cli("call", "hangup", call_id, "--commit").stdout.startswith(call_id)
        wait_until(lambda: not listed(stage, did), 20, "the call to be gone")
        assert stage.cli("call", "hangup", call_id, "--commit", check=False).returncode == 4
        calls.wait(10)
        stage.cdr(did=did).shows(disposition=Disposition.ANSWERED, hung_up_by=HungUpBy.SYSTEM)


def test_a_ringing_call_is_listed_and_unknown_ones_cannot_be_ended(stage: Stage) -> None:
    target = stage.numbers.mobile()
    with stage.behind(first=Rings()):
        did = stage.did([target], seconds=60)
        calls = stage.begin(did, Call(give_up_ms=60_000))
        wait_until(lambda: [row for row in listed(stage, did) if row["state"] == "dialling"], 20, "the target to be dialled")
        (row,) = listed(stage, did)
        assert row["answered_by"] is None
        stage.cli("call", "hangup", str(row["call_id"]), "--commit")
        wait_until(lambda: not listed(stage, did), 20, "the call to be gone")
        assert calls.wait(20).failed == 1  # it heard of the end before it gave up
    assert stage.cli("call", "hangup", "node1-1.1", check=False).returncode == 4
    assert stage.cli("call", "hangup", "../asterisk/info", "--commit", check=False).returncode == 4


@pytest.mark.parametrize("withheld", [False, True])
def test_explain_tells_the_headers_that_the_trunk_gets(stage: Stage, *, withheld: bool) -> None:
    caller, target, network = stage.numbers.caller(), stage.numbers.mobile(), E164("+442079460998")
    with stage.behind(settings={"diverting": {"network_number": network}}, diverting=Answers()) as servers:
        did = stage.did([target])
        (leg,) = stage.read("number", "explain", did, "--from", caller, *(["--withheld"] if withheld else []))["steps"][0]["rings"]
        hidden = Call(privacy="id", asserted_identity=caller, from_host="anonymous.invalid")
        stage.call(did, hidden if withheld else Call(), caller="anonymous" if withheld else caller)
        got = invite(servers["diverting"])
    assert leg["from_header"].partition("@")[0] in got.get("From")
    assert got.get("P-Asserted-Identity") == leg["p_asserted_identity"]
    assert got.get("Privacy") == leg["privacy"]
    assert got.get("Diversion") == leg["diversion"]


def test_the_status_of_a_node_that_is_well(stage: Stage) -> None:
    with stage.behind(first=Answers()):
        did = stage.did([stage.numbers.mobile()])
        stage.call(did, Call(hold_ms=100))
        stage.cdr(did=did)
    wait_until(lambda: stage.cli("node", "status", check=False).returncode == 0, 20, "every part to be up")  # on a busy machine one may be late
    done = stage.node.cli("node", "status", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["down"]) == (0, [])
    assert {part["name"]: part["condition"] for part in found["parts"]} == dict.fromkeys(
        ("asterisk", "ari application", "manager", "ari app", "route server", "booker", "astdb keeper", "worker", "store", "plan"), "up"
    )
    assert found["plan"]["app_version"] == found["plan"]["store_version"]
    assert found["routed_last_hour"]["ari"] >= 1
    assert found["ledger"]["bytes_behind"] == 0
    asterisk = next(part["detail"] for part in found["parts"] if part["name"] == "asterisk")
    wanted = (stage.node.settings.node, False, datetime.fromisoformat(asterisk.rpartition(" ")[2]))
    wait_until(lambda: nodes_of(stage) == [wanted], 10, "the app to say that it is there: every five seconds")


def nodes_of(stage: Stage) -> list[tuple[str, bool, datetime | None]]:
    nodes = json.loads(stage.cli("node", "status", "--json", check=False).stdout)["nodes"]
    return [(node["name"], node["silent"], (began := node["asterisk_started_at"]) and datetime.fromisoformat(began)) for node in nodes]
