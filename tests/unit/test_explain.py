from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

import cli
from ari_app.plan import LoadedPlan, Snapshot
from ari_app.stored_plan import StoredPlan
from dialplan.call_back import read_remembered, tell
from dialplan.explanation import ANONYMOUS, explain
from dialplan.handover import hand_over
from dialplan.routing import Question, Rules, decide
from ringfence import migrate
from ringfence.clock import FixedClock
from ringfence.commands.installation import Installation
from ringfence.errors import Invalid
from ringfence.values import E164, CallerIdMode, NumberFormat
from tests.unit.plans import CALLER, DID, LANDLINE, MOBILE, SECOND_MOBILE, PlanOf, account, did, from_phone, inbound, mobile, phone, phone_target, trunk

HOST = "192.0.2.1"
SEED = "node1-1795302588.12"


def test_the_explanation_is_what_a_live_call_gets() -> None:
    plan = PlanOf([did(DID, mobile(), mobile(SECOND_MOBILE, 2))], accounts=[account(limit=3)])
    steps = explain(inbound(), plan, Rules(), seed=SEED, host=HOST)
    live = decide(Question(facts=inbound(), seed=SEED), plan, Rules())
    assert steps[0].variables["RF_DIAL"] == f"PJSIP/{MOBILE}@trunk-a"
    handed = hand_over(live, inbound())
    assert (steps[0].variables, steps[0].context, steps[0].extension) == (handed.variables, handed.context, handed.extension)
    assert [(leg.address, leg.trunk) for leg in steps[0].rings] == [(leg.leg.address, leg.leg.trunk) for leg in getattr(live, "legs", ())]
    assert [[leg.address for leg in step.rings] for step in steps] == [[MOBILE], [MOBILE], [SECOND_MOBILE], [SECOND_MOBILE], []]
    assert steps[0].after_final == f"rings {SECOND_MOBILE} by trunk-a"
    assert steps[2].after_final == "ends: the caller hears 486 Busy Here"
    assert (steps[-1].caller_hears, steps[-1].cause, steps[-1].refusal) == ("503 Service Unavailable", 34, "")
    assert steps[0].concurrency_limit == 3


def test_every_rule_is_told_with_its_reason() -> None:
    (step,) = explain(inbound("+442079460999"), PlanOf([]), Rules(), seed=SEED, host=HOST)
    assert [(rule.rule, rule.applies) for rule in step.rules] == [("overload", False), ("number", True)]
    assert (step.refusal, step.caller_hears, step.context, step.extension) == ("unknown_number", "404 Not Found", "refuse", "1,ari:7:::unknown_number")


def test_a_trunks_own_rules_do_not_stop_the_simulation() -> None:
    trunks = [trunk("trunk-a", causes={"503": "final", "486": "transient", "q34": "final"}), trunk("trunk-b", priority=2, causes={"q17": "transient"})]
    steps = explain(inbound(), PlanOf([did(DID, mobile())], trunks=trunks), Rules(), seed=SEED, host=HOST)
    assert [len(step.rings) for step in steps] == [1, 1, 0]
    assert steps[0].after_final == "ends: the caller hears 486 Busy Here"


def test_the_headers_that_each_trunk_gets() -> None:
    trunks = [
        trunk("a", caller_id_mode=CallerIdMode.PASS_DIVERSION, network_number=E164("+442079460000")),
        trunk("b", priority=2, number_format=NumberFormat.NATIONAL),
    ]
    plan = PlanOf([did(DID, mobile())], trunks=trunks)
    first, second, _ = explain(inbound(), plan, Rules(), seed=SEED, host=HOST)
    (leg,) = first.rings
    assert leg.from_header == f"<sip:{CALLER}@{HOST}>"
    assert (leg.p_asserted_identity, leg.privacy, leg.diversion) == (f"<sip:+442079460000@{HOST}>", "", f"<sip:{DID}@{HOST}>;reason=unconditional")
    (leg,) = second.rings
    assert (leg.dialled, leg.from_header, leg.p_asserted_identity, leg.diversion) == ("07700900123", f"<sip:02079460123@{HOST}>", "", "")
    (leg,) = explain(inbound(presentation="prohib"), plan, Rules(), seed=SEED, host=HOST)[0].rings
    assert (leg.from_header, leg.privacy) == (ANONYMOUS, "id")
    assert CALLER not in leg.from_header + leg.p_asserted_identity + leg.diversion


def test_a_phones_own_call() -> None:
    plan = PlanOf([did(DID)], endpoints=[phone()])
    steps = explain(from_phone("07700900456"), plan, Rules(), seed=SEED, host=HOST)
    assert steps[0].variables["RF_IN"] == f"out:{SECOND_MOBILE}:{DID}:allowed:desk-1:0:"
    assert steps[0].rings[0].from_header == f"<sip:{DID}@{HOST}>"
    assert "RF_IN" not in steps[1].variables


def test_phones_and_numbers_that_ring_together() -> None:
    plan = PlanOf([did(DID, phone_target(), mobile(LANDLINE))], endpoints=[phone()])
    step = explain(inbound(), plan, Rules(), seed=SEED, host=HOST)[0]
    assert [(leg.trunk, leg.dialled) for leg in step.rings] == [("", "desk-1"), ("trunk-a", LANDLINE)]


# ---- The command, on a real store.


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    monkeypatch.setenv("RINGFENCE_HOME", str(tmp_path))
    monkeypatch.setenv("RINGFENCE_ROUTING__DRAMA_NUMBERS", "true")
    monkeypatch.delenv("RINGFENCE_CONFIG", raising=False)
    made = Installation(None)
    made.clock = FixedClock(datetime(2026, 11, 1, 12, tzinfo=UTC))
    migrate.upgrade(made.engine)
    for command in (
        "account add ACME --name Acme",
        "account add NEXT --name Next",
        "number add 02079460123 --account ACME",
        "trunk add carrier-a --host sip.example.com --match 192.0.2.1 --caller-id pass_diversion",
        "number forward 02079460123 --to mobile:07700900123:20",
    ):
        assert cli.run(command.split(), installation=made) == 0, command
    yield made
    made.engine.dispose()


def run(installation: Installation, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert cli.run(["number", "explain", *arguments, "--json"], installation=installation) == 0
    return json.loads(capsys.readouterr().out)


def test_explain_as_json_is_complete(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(installation, capsys, "02079460123", "--from", "01174960999")
    assert (shown["number"], shown["account_now"], shown["account_then"]) == (DID, "ACME", "ACME")
    assert shown["facts"]["caller"] == "01174960999"
    assert shown["steps"][0]["rings"][0]["diversion"].startswith(f"<sip:{DID}@")
    assert shown["steps"][0]["ring_seconds"] == 20
    assert shown["steps"][-1]["cause"] == 34


def test_explain_tells_whose_number_it_was(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(installation.clock, FixedClock)
    installation.clock.set(datetime(2026, 11, 10, tzinfo=UTC))
    assert cli.run(["number", "release", "02079460123", "--commit"], installation=installation) == 0
    installation.clock.set(datetime(2026, 11, 20, tzinfo=UTC))
    assert cli.run(["number", "assign", "02079460123", "NEXT", "--end-quarantine"], installation=installation) == 0
    owners = [
        run(installation, capsys, "02079460123", "--at", at)["account_then"]
        for at in ("2026-10-31", "2026-11-01T12:00", "2026-11-10T01:30+02:00", "2026-11-10T00:00Z", "2026-11-15T00:00", "2026-11-20T00:00:00Z")
    ]
    assert owners == [None, "ACME", "ACME", None, None, "NEXT"]
    assert run(installation, capsys, "02079460123")["account_now"] == "NEXT"


def test_explain_for_people(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["number", "explain", "+44 20 7946 0123", "--withheld", "--from", "01174960999"], installation=installation) == 0
    shown = capsys.readouterr().out
    assert "1. When the call arrives:" in shown
    assert ANONYMOUS in shown
    assert "503 Service Unavailable" in shown
    assert "\\x0a" not in shown


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["abc"], 2),
        (["02079460123", "--at", "yesterday"], 2),
        (["02079460123", "--trunk", "nope"], 4),
        (["02079460123", "--endpoint", "desk-1", "--from", "07700900123"], 2),
    ],
)
def test_explain_refuses_what_cannot_be_meant(installation: Installation, arguments: list[str], code: int) -> None:
    assert cli.run(["number", "explain", *arguments], installation=installation) == code


def test_the_stored_plan_equals_the_one_in_memory_and_reads_only_what_is_asked(installation: Installation) -> None:
    statements: list[str] = []
    with installation.reading() as session:
        snapshot = Snapshot()
        snapshot.replace(LoadedPlan(session))
        event.listen(installation.engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
        stored = StoredPlan(session)
        assert (stored.version, stored.outbound_trunks()) == (snapshot.version, snapshot.outbound_trunks())
        assert (stored.did(DID), stored.account(1), stored.endpoint("desk-1")) == (snapshot.did(DID), snapshot.account(1), None)
        assert stored.did("+442079460999") is None
    assert len(statements) == 6
    assert all("WHERE" in statement or "FROM trunk" in statement for statement in statements)


def test_the_call_back_of_the_emergency_services_is_told_and_that_it_was_not_asked_for(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(installation, capsys, "02079460123")["call_back"]
    assert (found["phones"], found["asked"], found["remembered"]) == ([], False, None)
    assert "no phone presents this number to 999 now" in found["why"]
    add = ["endpoint", "add", "desk-1", "--account", "ACME", "--did", "02079460123", "--password-out", str(Path(installation.settings.home) / "desk-1")]
    assert cli.run(add, installation=installation) == 0
    capsys.readouterr()
    found = run(installation, capsys, "02079460123")["call_back"]
    assert (found["phones"], found["minutes"], found["ring_seconds"], found["asked"]) == (["desk-1"], 60, 60, False)
    assert "for 60 minutes from a call to 999 by desk-1 that phone rings first" in found["why"]
    assert "was not asked: add --ask-asterisk" in found["why"]
    assert cli.run(["number", "explain", "02079460123"], installation=installation) == 0
    assert "Call back from the emergency services: for 60 minutes" in capsys.readouterr().out
    assert run(installation, capsys, "01174960123", "--endpoint", "desk-1")["call_back"] is None
    assert cli.run(["number", "explain", "01174960123", "--endpoint", "desk-1", "--ask-asterisk"], installation=installation) == 2
    assert cli.run(["number", "explain", "02079460123", "--ask-asterisk"], installation=installation) in {69, 78}  # no Asterisk runs here


def test_what_asterisk_remembers_of_a_call_to_999() -> None:
    now = datetime(2026, 11, 22, 8, tzinfo=UTC)
    at = int(now.timestamp()) - 600
    found = read_remembered(f"{at}|desk-1|static::7:+442079460123:", now)
    assert found is not None
    assert (found.phone, (now - found.called_at).total_seconds(), (found.until - now).total_seconds()) == ("desk-1", 600, 3000)
    assert "phone desk-1 called 999 at 07:50:00 UTC: until 08:50:00 UTC it rings first" in tell(["desk-1"], asked=True, remembered=found).why
    assert "remembers no call to 999 of the last 60 minutes" in tell(["desk-1"], asked=True).why
    assert read_remembered("", now) is None
    assert read_remembered(f"{at - 3001}|desk-1|static::7:+442079460123:", now) is None


@given(st.text(alphabet="0123456789|abc-:+${}\r\n \0é", max_size=60))
def test_whatever_asterisk_answers_is_read_or_refused(text: str) -> None:
    try:
        found = read_remembered(text, datetime(2026, 11, 22, tzinfo=UTC))
    except Invalid:
        return
    assert found is None or re.fullmatch(r"[a-z0-9-]+", found.phone)
