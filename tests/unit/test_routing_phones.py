"""Calls that customers' phones make."""

from __future__ import annotations

import pytest

from dialplan import causes
from dialplan.routing import Question, Rules, decide
from ringfence.emergency import NOTHING_KNOWN
from ringfence.values import AccountState, Direction, NumberFormat, TargetKind
from tests.unit.deciding import ask, attempt, end, rung
from tests.unit.plans import DID, OTHER_DID, SECOND_MOBILE, PlanOf, account, did, failed, from_phone, mobile, phone, trunk

OFFICE = PlanOf([did(DID, mobile())], endpoints=[phone()])


def test_a_phone_presents_its_own_number() -> None:
    decision = attempt(ask(from_phone("07700900456"), OFFICE))
    assert rung(decision) == [(SECOND_MOBILE, "trunk-a")]
    assert decision.legs[0].identity.number == DID
    assert (decision.facts.caller, decision.facts.called, decision.routed.did) == (DID, SECOND_MOBILE, DID)
    assert attempt(ask(from_phone("01174960555"), OFFICE)).legs[0].leg.kind is TargetKind.LANDLINE


@pytest.mark.parametrize(
    ("dialled", "presentation", "withheld"),
    [
        ("07700900456", "allowed", False),
        ("14107700900456", "allowed", True),
        ("07700900456", "prohib_not_screened", True),
        ("147007700900456", "prohib", False),
    ],
)
def test_a_phone_may_withhold_its_number_or_show_it_for_one_call(dialled: str, presentation: str, withheld: bool) -> None:
    decision = attempt(ask(from_phone(dialled, presentation=presentation), OFFICE))
    assert (decision.legs[0].identity.withheld, decision.facts.withheld) == (withheld, withheld)
    again = attempt(decide(Question(facts=decision.facts, seed="x", tried=(failed(decision),)), OFFICE, Rules()))
    assert again.legs[0].identity.withheld is withheld
    assert rung(again) == [(SECOND_MOBILE, "trunk-b")]


def test_a_phones_call_fails_over_and_ends_like_any_other() -> None:
    first = attempt(ask(from_phone("07700900456"), OFFICE))
    second = attempt(decide(Question(facts=first.facts, seed="x", tried=(failed(first),)), OFFICE, Rules()))
    assert rung(second) == [(SECOND_MOBILE, "trunk-b")]
    assert end(decide(Question(facts=first.facts, seed="x", tried=(failed(first), failed(second, 486))), OFFICE, Rules())) == ("", causes.BUSY)


def test_a_phones_call_to_one_of_our_numbers_stays_inside() -> None:
    plan = PlanOf([did(DID, mobile()), did(OTHER_DID, mobile(SECOND_MOBILE), account_id=2)], endpoints=[phone()])
    decision = attempt(ask(from_phone("020 7946 0124".replace(" ", "")), plan))
    assert rung(decision) == [(SECOND_MOBILE, "trunk-a")]
    assert (decision.facts.direction, decision.facts.caller, decision.routed.account_id, decision.routed.did) == (Direction.INTERNAL, DID, 2, OTHER_DID)
    again = attempt(decide(Question(facts=decision.facts, seed="x", tried=(failed(decision),)), plan, Rules()))
    assert (rung(again), again.facts) == ([(SECOND_MOBILE, "trunk-b")], decision.facts)


def test_abroad_when_the_operator_allows_it() -> None:
    assert rung(ask(from_phone("0012025550123"), OFFICE, rules=Rules(international=True))) == [("+12025550123", "trunk-a")]


@pytest.mark.parametrize("dialled", ["101", "105", "111", "119", "159", "116123", "141101"])
def test_an_essential_number_is_always_possible(dialled: str) -> None:
    accounts = [account(state=AccountState.SUSPENDED, limit=0)]
    plan = PlanOf([did()], endpoints=[phone(record=NOTHING_KNOWN)], accounts=accounts, trunks=[trunk(number_format=NumberFormat.NATIONAL)])
    found = attempt(ask(from_phone(dialled), plan))
    (leg,) = found.legs
    assert (leg.leg.address, leg.dial_number, leg.leg.kind) == (dialled.removeprefix("141"),) * 2 + (TargetKind.LANDLINE,)
    assert (leg.identity.number, leg.identity.withheld, found.concurrency_limit) == ("0" + DID[3:], False, None)
    assert found.routed.account_id == 1
