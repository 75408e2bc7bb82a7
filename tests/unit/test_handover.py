from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialplan.call import CallFacts, parse_facts, parse_legs, parse_routed
from dialplan.handover import TICKET_MAX, HandOver, astdb_value, dial_string, hand_over, place, variables
from dialplan.routing import Attempt, Question, Rules, decide
from ringfence.errors import Invalid
from ringfence.values import E164, CallerIdMode, DidState, NumberFormat, PlanDid, PlanTarget, PlanTrunk, RoutedBy, TargetKind
from tests.unit.plans import CALLER, DID, MOBILE, SECOND_MOBILE, PlanOf, account, did, from_phone, inbound, mobile, phone, phone_target, trunk
from tests.unit.test_routing import plans, some_facts

# What must never be in a value: the dialplan's own syntax, the separators of its functions, and line ends.
SYNTAX = re.compile(r"[$\[\]{};|,\\'\r\n\0`!?*%\x00-\x1f\x7f-\U0010ffff]")


def decided(facts: CallFacts, plan: PlanOf) -> Attempt:
    decision = decide(Question(facts=facts, seed="x"), plan, Rules())
    assert isinstance(decision, Attempt)
    return decision


def handed(facts: CallFacts, plan: PlanOf) -> dict[str, str]:
    return variables(decided(facts, plan), facts)


def test_a_forwarded_call() -> None:
    plan = PlanOf([did(DID, mobile())])
    assert handed(inbound(), plan) == {
        "RF_BY": f"ari:7:1:{DID}:",
        "RF_DIAL": f"PJSIP/{MOBILE}@trunk-a",
        "RF_SECS": "25",
        "RF_LEGS": f"m:{MOBILE}:trunk-a",
        "CALLERID(all)": f'"" <{DID}>',
    }
    assert place(decided(inbound(), plan)) == ("forward", "dial")


def test_a_refused_call_carries_its_reason_and_nothing_to_dial() -> None:
    decision = decide(Question(facts=inbound(), seed="x"), PlanOf([]), Rules())
    assert variables(decision, inbound()) == {"RF_BY": "ari:7:::unknown_number"}
    assert place(decision) == ("finish", "1")


def test_withheld_is_said_and_lifted() -> None:
    plan = PlanOf([did(DID, mobile())], endpoints=[phone()])
    assert handed(inbound(presentation="prohib"), plan)["CALLERID(pres)"] == "prohib"
    assert handed(from_phone("14107700900456"), plan)["CALLERID(pres)"] == "prohib"
    assert handed(from_phone("147007700900456", presentation="prohib_not_screened"), plan)["CALLERID(pres)"] == "allowed"
    assert "CALLERID(pres)" not in handed(from_phone("07700900456"), plan)


def test_what_became_clearer_is_written_again() -> None:
    plan = PlanOf([did(DID, mobile())], endpoints=[phone()])
    assert handed(from_phone("07700900456"), plan)["RF_IN"] == f"out:{SECOND_MOBILE}:{DID}:allowed:desk-1:0:"


def test_limits_are_checked_where_the_call_is_dialled() -> None:
    plan = PlanOf([did(DID, mobile(), mobile(SECOND_MOBILE))], trunks=[trunk(capacity=30)], accounts=[account(limit=2)])
    values = handed(inbound(), plan)
    assert (values["RF_GROUP"], values["RF_LIMIT"], values["RF_CAPACITY"], values["RF_OPTIONS"]) == ("1", "2", "trunk-a:30:2", "b(leg^s^1)")
    assert place(decided(inbound(), plan)) == ("forward", "limits")


def test_the_network_number_and_its_privacy_go_to_the_legs_of_that_trunk() -> None:
    plan = PlanOf([did(DID, mobile())], trunks=[trunk(network_number=E164("+442079460000"))])
    values = handed(inbound(presentation="prohib"), plan)
    assert (values["RF_PAI_trunk-a"], values["RF_PRIVACY_trunk-a"]) == ("+442079460000", "id")
    assert handed(inbound(), plan)["RF_PRIVACY_trunk-a"] == "none"


def test_legs_may_show_different_numbers() -> None:
    plan = PlanOf([did(DID, mobile(), phone_target())], endpoints=[phone()])
    values = handed(inbound(), plan)
    assert values["CALLERID(all)"] == f'"" <{DID}>'
    assert values["RF_SHOW_desk-1"] == CALLER
    assert values["RF_OPTIONS"] == "b(leg^s^1)"


def test_diversion_counts_on() -> None:
    plan = PlanOf([did(DID, mobile())], trunks=[trunk(caller_id_mode=CallerIdMode.PASS_DIVERSION)])
    values = handed(inbound(diversions=2), plan)
    assert (values["REDIRECTING(from-num,i)"], values["REDIRECTING(reason,i)"], values["REDIRECTING(count,i)"]) == (DID, "cfu", "3")
    assert values["CALLERID(all)"] == f'"" <{CALLER}>'


def test_as_many_targets_as_may_be_set_fit_with_the_longest_names() -> None:
    name = "t" + "-x" * 19 + "y"
    plan = PlanOf([did(DID, *(mobile(f"+8816234567890{n}") for n in range(10)))], trunks=[trunk(name)])
    values = handed(inbound(), plan)
    assert values["RF_DIAL"].count("&") == 9
    assert parse_legs(values["RF_LEGS"]) == tuple(leg.leg for leg in decided(inbound(), plan).legs)


def test_the_fall_back_is_the_first_attempt() -> None:
    plan = PlanOf([did(DID, mobile(), mobile(SECOND_MOBILE, 2))])
    assert astdb_value(plan.dids[E164(DID)], plan, Rules()) == f"astdb:7:1:{DID}:|m:{MOBILE}:trunk-a|PJSIP/{MOBILE}@trunk-a|25|{DID}"
    passing = PlanOf([did(DID, mobile())], trunks=[trunk(caller_id_mode=CallerIdMode.PASS)])
    assert (astdb_value(passing.dids[E164(DID)], passing, Rules()) or "").endswith("|25|")


@pytest.mark.parametrize("one", [did(DID), did(DID, mobile(), state=DidState.INACTIVE), did(DID, mobile(), account_id=9)])
def test_what_is_not_routed_has_no_fall_back(one: PlanDid) -> None:
    assert astdb_value(one, PlanOf([one]), Rules()) is None


@settings(max_examples=250, deadline=None)
@given(facts=some_facts, plan=plans, by=st.sampled_from(RoutedBy))
def test_values_never_carry_dialplan_syntax_and_read_back(facts: CallFacts, plan: PlanOf, by: RoutedBy) -> None:
    decision = decide(Question(facts=facts, seed="x"), plan, Rules(international=True), by=by)
    values = variables(decision, facts)
    for name, value in values.items():
        assert not SYNTAX.search(value), name
    assert parse_routed(values["RF_BY"]) == decision.routed
    if "RF_IN" in values:
        assert parse_facts(values["RF_IN"]) == decision.facts
    if isinstance(decision, Attempt):
        assert parse_legs(values["RF_LEGS"]) == tuple(leg.leg for leg in decision.legs)


NASTY = st.text(st.sampled_from("a1-&/@^|,;${}[]()\"'\\\r\n +:=~é"), min_size=1, max_size=20) | st.sampled_from(
    ("desk-1&PJSIP/+447700900456@trunk-a", "x,5,tT", "${SHELL(id)}", "desk-1\nexten => s,1,System(id)", "a^b", "trunk-a:30:2&b", "")
)


@settings(max_examples=250, deadline=None)
@given(name=NASTY, number=NASTY, where=st.sampled_from(("phone", "trunk", "target", "network", "did")))
def test_a_store_that_was_tampered_with_cannot_reach_the_dialplan(name: str, number: str, where: str) -> None:
    one = did(DID, mobile())
    trunks: list[PlanTrunk] = [trunk()]
    endpoints = []
    if where == "phone":
        one = did(DID, phone_target(name))
        endpoints = [phone(name)]
    elif where == "trunk":
        trunks = [trunk(name)]
    elif where == "target":
        one = did(DID, PlanTarget(1, TargetKind.MOBILE, number, 25))
    elif where == "network":
        trunks = [trunk(network_number=E164(number))]
    plan = PlanOf([one], trunks=trunks, endpoints=endpoints)
    if where == "did":
        plan.dids = {E164(DID): msgspec.structs.replace(one, e164=E164(number))}
    decision = decide(Question(facts=inbound(), seed="x"), plan, Rules())
    try:
        values = variables(decision, inbound())
    except Invalid:
        return
    handed = hand_over(decision, inbound())
    assert all(not SYNTAX.search(value) for value in (*values.values(), handed.extension.replace(",", "")))
    if isinstance(decision, Attempt):
        if not handed.variables:
            seconds, by, legs = handed.extension.split(",")
            assert (seconds, parse_routed(by)) == ("25", decision.routed)
            assert re.fullmatch(r"m:\+?[0-9]{1,20}:[a-z0-9][a-z0-9-]*", legs)
        assert re.fullmatch(r"PJSIP/(\+?[0-9]{1,20}@)?[a-z0-9][a-z0-9-]*", values["RF_DIAL"])
        pai = next((value for key, value in values.items() if key.startswith("RF_PAI_")), "")
        assert re.fullmatch(r"\+?[0-9]*", pai)
        assert re.fullmatch(r'"" <\+?[0-9]*>', values["CALLERID(all)"])


def test_an_ordinary_decision_is_one_ticket() -> None:
    plan = PlanOf([did(DID, mobile())])
    assert hand_over(decided(inbound(), plan), inbound()) == HandOver({}, "show-did", f"25,ari:7:1:{DID}:,m:{MOBILE}:trunk-a")
    passing = PlanOf([did(DID, mobile())], trunks=[trunk(caller_id_mode=CallerIdMode.PASS)])
    assert hand_over(decided(inbound(), passing), inbound()).context == "show-caller"
    refused = decide(Question(facts=inbound(), seed="x"), PlanOf([]), Rules())
    assert hand_over(refused, inbound()) == HandOver({}, "refuse", "1,ari:7:::unknown_number")


SPECIAL = [
    PlanOf([did(DID, mobile(), mobile(SECOND_MOBILE))]),
    PlanOf([did(DID, phone_target())], endpoints=[phone()]),
    PlanOf([did(DID, mobile())], accounts=[account(limit=1)]),
    PlanOf([did(DID, mobile())], trunks=[trunk(capacity=1)]),
    PlanOf([did(DID, mobile())], trunks=[trunk(network_number=E164(DID))]),
    PlanOf([did(DID, mobile())], trunks=[trunk(caller_id_mode=CallerIdMode.PASS_DIVERSION)]),
    PlanOf([did(DID, mobile())], trunks=[trunk(number_format=NumberFormat.NATIONAL)]),
    PlanOf([did(DID, mobile())], trunks=[trunk("t" * 40)]),
]


@pytest.mark.parametrize("plan", SPECIAL)
def test_whatever_a_ticket_cannot_say_is_said_in_variables(plan: PlanOf) -> None:
    handed = hand_over(decided(inbound(), plan), inbound())
    assert (handed.variables, handed.context) == (handed_variables := variables(decided(inbound(), plan), inbound()), "forward")
    assert handed_variables["RF_DIAL"]


@settings(max_examples=250, deadline=None)
@given(facts=some_facts, plan=plans)
def test_a_ticket_says_the_whole_decision(facts: CallFacts, plan: PlanOf) -> None:
    decision = decide(Question(facts=facts, seed="x"), plan, Rules(international=True))
    handed = hand_over(decision, facts)
    assert len(handed.extension) <= TICKET_MAX
    if not handed.variables:
        assert decision.facts == facts
        first, routed, *legs = handed.extension.split(",")
        assert parse_routed(routed) == decision.routed
        if isinstance(decision, Attempt):
            (leg,) = decision.legs
            assert (first, parse_legs(legs[0])) == (str(decision.ring_seconds), (leg.leg,))
            assert leg.identity.number == (facts.called if handed.context == "show-did" else facts.caller)
        else:
            assert (first, legs, handed.context) == (str(decision.cause), [], "refuse")


def test_a_dial_string_names_each_leg_once() -> None:
    plan = PlanOf([did(DID, mobile(), phone_target())], endpoints=[phone()], trunks=[trunk(number_format=NumberFormat.NATIONAL)])
    assert dial_string(decided(inbound(), plan)) == "PJSIP/07700900123@trunk-a&PJSIP/desk-1"
