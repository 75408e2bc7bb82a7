from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialplan import causes
from dialplan.call import CallFacts, TriedAttempt
from dialplan.causes import Verdict, verdict
from dialplan.routing import Attempt, End, Question, Rules, decide
from ringfence.emergency import NOTHING_KNOWN, AddressState, LocationClass, RecordFacts
from ringfence.values import (
    AccountState,
    CallerIdMode,
    DidState,
    Direction,
    NumberFormat,
    PlanTarget,
    RoutedBy,
    TargetKind,
    TrunkDirection,
)
from tests.unit.deciding import ask, attempt, end, rung
from tests.unit.plans import (
    CALLER,
    DID,
    LANDLINE,
    MOBILE,
    OTHER_DID,
    SECOND_MOBILE,
    PlanOf,
    account,
    did,
    failed,
    failed_legs,
    from_phone,
    inbound,
    mobile,
    phone,
    phone_target,
    trunk,
)

SIMPLE = PlanOf([did(DID, mobile())])


def test_a_call_is_forwarded() -> None:
    decision = attempt(ask(inbound(), SIMPLE))
    (leg,) = decision.legs
    assert (leg.leg.kind, leg.leg.address, leg.leg.trunk, leg.dial_number) == (TargetKind.MOBILE, MOBILE, "trunk-a", MOBILE)
    assert decision.ring_seconds == 25
    assert (decision.routed.by, decision.routed.plan_version, decision.routed.account_id, decision.routed.did) == (RoutedBy.ARI, 7, 1, DID)


@pytest.mark.parametrize("called", ["+442079460123", "442079460123", "00442079460123", "02079460123"])
def test_the_called_number_is_read_as_carriers_write_it(called: str) -> None:
    assert rung(ask(inbound(called), SIMPLE)) == [(MOBILE, "trunk-a")]


MISSING = ("emergency_address_missing", causes.REJECTED)
REFUSED: list[tuple[str, CallFacts, PlanOf, dict[str, Any], tuple[str, int]]] = [
    ("not ours", inbound("+442079460199"), SIMPLE, {}, ("unknown_number", causes.UNALLOCATED)),
    ("no number", inbound(""), SIMPLE, {}, ("unknown_number", causes.UNALLOCATED)),
    ("inactive", inbound(), PlanOf([did(DID, mobile(), state=DidState.INACTIVE)]), {}, ("number_not_active", causes.UNALLOCATED)),
    ("quarantined", inbound(), PlanOf([did(DID, mobile(), state=DidState.QUARANTINED)]), {}, ("number_not_active", causes.UNALLOCATED)),
    ("no owner", inbound(), PlanOf([did(DID, mobile(), account_id=None)]), {}, ("number_not_active", causes.UNALLOCATED)),
    (
        "suspended",
        inbound(),
        PlanOf([did(DID, mobile())], accounts=[account(state=AccountState.SUSPENDED)]),
        {},
        ("account_not_active", causes.REJECTED),
    ),
    ("account unknown", inbound(), PlanOf([did(DID, mobile())], accounts=[]), {}, ("account_not_active", causes.REJECTED)),
    ("no target", inbound(), PlanOf([did(DID)]), {}, ("no_target", causes.UNREACHABLE)),
    ("diversions", inbound(diversions=5), SIMPLE, {}, ("too_many_diversions", causes.CONGESTION)),
    ("came back", inbound(diverted_from="07700900123"), SIMPLE, {}, ("diverted_back", causes.CONGESTION)),
    ("repeats", inbound(), SIMPLE, {"repeats": 8}, ("repeated_call", causes.CONGESTION)),
    ("overload", inbound(), SIMPLE, {"overloaded": True}, ("overload", causes.CONGESTION)),
    ("no trunk", inbound(), PlanOf([did(DID, mobile())], trunks=[trunk(enabled=False)]), {}, ("no_route", causes.CONGESTION)),
    ("inbound trunk", inbound(), PlanOf([did(DID, mobile())], trunks=[trunk(direction=TrunkDirection.INBOUND)]), {}, ("no_route", causes.CONGESTION)),
    ("target is caller", inbound(caller="07700900123"), SIMPLE, {}, ("no_route", causes.CONGESTION)),
    ("target is ours", inbound(), PlanOf([did(DID, mobile(OTHER_DID)), did(OTHER_DID, mobile())]), {}, ("no_route", causes.CONGESTION)),
    ("unknown phone", from_phone("07700900123", "desk-9"), PlanOf([did()], endpoints=[phone()]), {}, ("unknown_endpoint", causes.REJECTED)),
    ("disabled phone", from_phone("07700900123"), PlanOf([did()], endpoints=[phone(enabled=False)]), {}, ("unknown_endpoint", causes.REJECTED)),
    (
        "phone of a suspended account",
        from_phone("07700900123"),
        PlanOf([did()], endpoints=[phone()], accounts=[account(state=AccountState.SUSPENDED)]),
        {},
        ("account_not_active", causes.REJECTED),
    ),
    ("receive only", from_phone("07700900123"), PlanOf([did()], endpoints=[phone(receive_only=True)]), {}, ("receive_only", causes.REJECTED)),
    ("no own number", from_phone("07700900123"), PlanOf([did()], endpoints=[phone(caller_did=None)]), {}, ("no_caller_number", causes.REJECTED)),
    ("another's number", from_phone("07700900123"), PlanOf([did(account_id=2)], endpoints=[phone()]), {}, ("no_caller_number", causes.REJECTED)),
    (
        "own number not active",
        from_phone("07700900123"),
        PlanOf([did(state=DidState.INACTIVE)], endpoints=[phone()]),
        {},
        ("no_caller_number", causes.REJECTED),
    ),
    ("no number dialled", from_phone(""), PlanOf([did()], endpoints=[phone()]), {}, ("invalid_number", causes.UNALLOCATED)),
    ("half a number", from_phone("79460123"), PlanOf([did()], endpoints=[phone()]), {}, ("invalid_number", causes.UNALLOCATED)),
    ("emergency", from_phone("999"), PlanOf([did()], endpoints=[phone()]), {}, ("emergency_not_provisioned", causes.REJECTED)),
    ("emergency, withheld", from_phone("141112"), PlanOf([did()], endpoints=[phone()]), {}, ("emergency_not_provisioned", causes.REJECTED)),
    ("relay emergency", from_phone("18000"), PlanOf([did()], endpoints=[phone()]), {}, ("emergency_not_provisioned", causes.REJECTED)),
    ("voicemail", from_phone("1571"), PlanOf([did()], endpoints=[phone()]), {}, ("short_code_not_provisioned", causes.REJECTED)),
    ("speaking clock", from_phone("123"), PlanOf([did()], endpoints=[phone()]), {}, ("short_code_not_provisioned", causes.REJECTED)),
    ("directory", from_phone("118500"), PlanOf([did()], endpoints=[phone()]), {}, ("short_code_not_provisioned", causes.REJECTED)),
    *(
        (name, from_phone("07700900123"), PlanOf([did()], endpoints=[phone(record=facts)]), {}, (slug, causes.REJECTED))
        for name, facts, slug in (
            ("no address", NOTHING_KNOWN, "emergency_address_missing"),
            ("address not sent", RecordFacts(LocationClass.FIXED, AddressState.DRAFT), "emergency_address_missing"),
            ("address rejected", RecordFacts(LocationClass.NOMADIC, AddressState.REJECTED), "emergency_address_rejected"),
            ("forwards only", RecordFacts(LocationClass.FORWARD_ONLY), "forward_only_number"),
            ("abroad, not told", RecordFacts(LocationClass.OUTSIDE_UK), "emergency_access_not_acknowledged"),
        )
    ),
    ("own network, no address", from_phone(OTHER_DID), PlanOf([did(), did(OTHER_DID, mobile())], endpoints=[phone(record=NOTHING_KNOWN)]), {}, MISSING),
    ("emergency, no address", from_phone("999"), PlanOf([did()], endpoints=[phone(record=NOTHING_KNOWN)]), {}, ("emergency_not_provisioned", causes.REJECTED)),
    ("premium", from_phone("09098790123"), PlanOf([did()], endpoints=[phone()]), {}, ("number_class_barred", causes.REJECTED)),
    ("personal", from_phone("07012345678"), PlanOf([did()], endpoints=[phone()]), {}, ("number_class_barred", causes.REJECTED)),
    ("abroad", from_phone("+12025550123"), PlanOf([did()], endpoints=[phone()]), {}, ("international_barred", causes.REJECTED)),
]


@pytest.mark.parametrize(("facts", "plan", "more", "expected"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refusals_have_a_reason_and_a_cause(facts: CallFacts, plan: PlanOf, more: dict[str, Any], expected: tuple[str, int]) -> None:
    assert end(ask(facts, plan, **more)) == expected


def test_overload_does_not_cut_a_call_that_is_being_tried() -> None:
    first = attempt(ask(inbound(), SIMPLE))
    assert rung(ask(inbound(), SIMPLE, failed(first), overloaded=True)) == [(MOBILE, "trunk-b")]


@pytest.mark.parametrize(("diversions", "limit"), [(4, 5), (0, 1)])
def test_fewer_diversions_than_a_loop_has_are_let_through(diversions: int, limit: int) -> None:
    assert rung(ask(inbound(diversions=diversions), SIMPLE, rules=Rules(max_diversions=limit)))


def test_diverted_from_elsewhere_is_no_loop() -> None:
    assert rung(ask(inbound(diverted_from=LANDLINE, diversions=1), SIMPLE))


def test_targets_are_rung_in_their_order() -> None:
    plan = PlanOf([did(DID, mobile(SECOND_MOBILE, 2), mobile(MOBILE, 1), mobile(LANDLINE, 2, 40))])
    first = attempt(ask(inbound(), plan))
    assert rung(first) == [(MOBILE, "trunk-a")]
    second = attempt(ask(inbound(), plan, failed(first, 486)))
    assert rung(second) == [(SECOND_MOBILE, "trunk-a"), (LANDLINE, "trunk-a")]
    assert second.ring_seconds == 40
    assert end(ask(inbound(), plan, failed(first, 486), failed(second, 480, rang=True))) == ("", causes.UNREACHABLE)


def test_a_transient_failure_goes_to_the_next_trunk_before_the_next_target() -> None:
    plan = PlanOf([did(DID, mobile(MOBILE, 1), mobile(SECOND_MOBILE, 2))])
    first = attempt(ask(inbound(), plan))
    second = attempt(ask(inbound(), plan, failed(first, 503)))
    third = attempt(ask(inbound(), plan, failed(first, 503), failed(second, 500)))
    fourth = attempt(ask(inbound(), plan, failed(first), failed(second), failed(third)))
    assert [rung(decision)[0] for decision in (first, second, third, fourth)] == [
        (MOBILE, "trunk-a"),
        (MOBILE, "trunk-b"),
        (SECOND_MOBILE, "trunk-a"),
        (SECOND_MOBILE, "trunk-b"),
    ]
    assert end(ask(inbound(), plan, *(failed(decision) for decision in (first, second, third, fourth)))) == ("", causes.CONGESTION)


def test_of_targets_that_rang_together_only_those_without_an_answer_are_tried_again() -> None:
    plan = PlanOf([did(DID, mobile(MOBILE), mobile(SECOND_MOBILE))])
    first = attempt(ask(inbound(), plan))
    tried = failed_legs(tuple(leg.leg for leg in first.legs), [486, 503])
    assert rung(ask(inbound(), plan, tried)) == [(SECOND_MOBILE, "trunk-b")]


@pytest.mark.parametrize(
    ("status", "dialstatus", "cause"),
    [(486, "BUSY", causes.BUSY), (603, "BUSY", causes.DECLINED), (480, "CHANUNAVAIL", causes.UNREACHABLE), (404, "CHANUNAVAIL", causes.UNREACHABLE)],
)
def test_a_final_answer_is_told_to_the_caller(status: int, dialstatus: str, cause: int) -> None:
    first = attempt(ask(inbound(), SIMPLE))
    assert end(ask(inbound(), SIMPLE, failed(first, status, dialstatus=dialstatus))) == ("", cause)


def test_no_answer_is_final_when_it_rang_and_not_when_the_trunk_was_silent() -> None:
    first = attempt(ask(inbound(), SIMPLE))
    assert end(ask(inbound(), SIMPLE, failed(first, None, dialstatus="NOANSWER", rang=True))) == ("", causes.NO_ANSWER)
    assert rung(ask(inbound(), SIMPLE, failed(first, None, dialstatus="NOANSWER"))) == [(MOBILE, "trunk-b")]


def test_a_trunk_may_say_otherwise() -> None:
    plan = PlanOf([did(DID, mobile())], trunks=[trunk("trunk-a", causes={"486": "transient", "503": "final"}), trunk("trunk-b", priority=2)])
    first = attempt(ask(inbound(), plan))
    assert rung(ask(inbound(), plan, failed(first, 486, dialstatus="BUSY"))) == [(MOBILE, "trunk-b")]
    assert end(ask(inbound(), plan, failed(first, 503))) == ("", causes.CONGESTION)


def test_a_trunk_that_is_gone_meanwhile_does_not_matter() -> None:
    first = attempt(ask(inbound(), SIMPLE))
    plan = PlanOf([did(DID, mobile())], trunks=[trunk("trunk-b")])
    assert rung(ask(inbound(), plan, failed(first, 503))) == [(MOBILE, "trunk-b")]


def test_a_phone_is_rung_once_and_one_that_is_away_cannot_be_reached() -> None:
    plan = PlanOf([did(DID, phone_target())], endpoints=[phone()])
    first = attempt(ask(inbound(), plan))
    assert rung(first) == [("desk-1", "")]
    assert end(ask(inbound(), plan, failed(first, None, dialstatus="CHANUNAVAIL"))) == ("", causes.UNREACHABLE)


@pytest.mark.parametrize("endpoint", [phone(enabled=False), phone(account_id=2), phone("desk-2")])
def test_only_enabled_phones_of_the_account_are_rung(endpoint: Any) -> None:
    plan = PlanOf([did(DID, phone_target(), mobile(position=2))], endpoints=[endpoint])
    assert rung(ask(inbound(), plan)) == [(MOBILE, "trunk-a")]


def test_trunks_of_equal_priority_share_calls_by_weight() -> None:
    plan = PlanOf([did(DID, mobile())], trunks=[trunk("one", weight=1), trunk("three", weight=3), trunk("later", priority=2)])
    drawn = Counter(attempt(decide(Question(facts=inbound(), seed=f"node1-1795302588.{n}"), plan, Rules())).legs[0].leg.trunk for n in range(4000))
    assert set(drawn) == {"one", "three"}
    assert 0.22 < drawn["one"] / 4000 < 0.28


def test_the_draw_is_the_same_for_the_same_call_and_goes_on_with_the_rest() -> None:
    trunks = [trunk(name) for name in ("a", "b", "c")]
    plan = PlanOf([did(DID, mobile())], trunks=trunks)
    tried: list[TriedAttempt] = []
    used = []
    for _ in trunks:
        decision = attempt(ask(inbound(), plan, *tried))
        assert decision == ask(inbound(), plan, *tried)
        used.append(decision.legs[0].leg.trunk)
        tried.append(failed(decision))
    assert sorted(used) == ["a", "b", "c"]


def test_limits_go_with_the_attempt() -> None:
    plan = PlanOf([did(DID, mobile())], trunks=[trunk(capacity=30)], accounts=[account(limit=2)])
    decision = attempt(ask(inbound(), plan))
    assert (decision.concurrency_limit, decision.legs[0].capacity) == (2, 30)


def test_the_trunk_gets_the_number_as_it_wants_it() -> None:
    for number_format, expected in ((NumberFormat.NATIONAL, "07700900123"), (NumberFormat.E164, "447700900123"), (NumberFormat.E164_PLUS, MOBILE)):
        plan = PlanOf([did(DID, mobile())], trunks=[trunk(number_format=number_format)])
        assert attempt(ask(inbound(), plan)).legs[0].dial_number == expected


class Notes:
    def __init__(self) -> None:
        self.rules: list[tuple[str, bool, str]] = []

    def note(self, rule: str, applies: bool, why: str) -> None:
        self.rules.append((rule, applies, why))


def test_the_trace_names_every_rule_that_was_looked_at_and_changes_nothing() -> None:
    notes = Notes()
    question = Question(facts=inbound(), seed="x")
    assert decide(question, SIMPLE, Rules(), trace=notes) == decide(question, SIMPLE, Rules())
    assert [rule for rule, _, _ in notes.rules] == ["overload", "number", "account", "diversions", "diverted back", "repeats", "targets", "target 1"]
    assert all(why for _, _, why in notes.rules)


# ---- Properties: whatever the plan and the results, a call comes to an end, and nobody is rung again who has answered the question.

addresses = st.sampled_from((MOBILE, SECOND_MOBILE, LANDLINE, CALLER, DID, OTHER_DID))
targets = st.one_of(
    st.builds(PlanTarget, st.integers(1, 3), st.sampled_from((TargetKind.MOBILE, TargetKind.LANDLINE)), addresses, st.integers(5, 60)),
    st.builds(PlanTarget, st.integers(1, 3), st.just(TargetKind.ENDPOINT), st.sampled_from(("desk-1", "desk-2", "desk-3")), st.integers(5, 60)),
)
overrides = st.dictionaries(st.sampled_from(("486", "503", "408", "q17", "q34", "q19")), st.sampled_from(("final", "transient")), max_size=3)
some_trunks = st.lists(
    st.builds(
        trunk,
        st.sampled_from(("a", "b", "c", "d")),
        direction=st.sampled_from(TrunkDirection),
        enabled=st.booleans(),
        priority=st.integers(1, 2),
        weight=st.integers(1, 5),
        caller_id_mode=st.sampled_from(CallerIdMode),
        number_format=st.sampled_from(NumberFormat),
        network_number=st.sampled_from((None, DID)),
        capacity=st.sampled_from((None, 2)),
        causes=overrides,
    ),
    max_size=4,
    unique_by=lambda one: one.name,
)
plans = st.builds(
    lambda wanted, state, trunks, owner: PlanOf(
        [did(DID, *wanted, state=state), did(OTHER_DID, mobile(), account_id=2)],
        trunks=trunks,
        endpoints=[phone(), phone("desk-2", enabled=False), phone("desk-3", account_id=owner)],
    ),
    st.lists(targets, max_size=6, unique_by=lambda target: target.address),
    st.sampled_from((DidState.ACTIVE, DidState.ACTIVE, DidState.QUARANTINED)),
    some_trunks,
    st.sampled_from((1, 2)),
)
signalled = st.from_regex(r"\+?[0-9]{0,20}", fullmatch=True) | st.sampled_from((DID, MOBILE, "02079460123", "999", "14102079460124", "07700900456"))
some_facts = st.builds(
    CallFacts,
    st.sampled_from(Direction),
    signalled,
    signalled,
    st.sampled_from(("allowed", "prohib", "prohib_passed_screen", "unavailable", "")),
    st.sampled_from(("", "trunk-a", "desk-1", "desk-2")),
    st.integers(0, 7),
    signalled,
)
outcomes = st.tuples(
    st.sampled_from((None, 404, 408, 480, 486, 487, 500, 503, 603)),
    st.sampled_from(("", "BUSY", "NOANSWER", "CONGESTION", "CHANUNAVAIL", "CANCEL")),
    st.booleans(),
    st.sampled_from((None, 17, 19, 21, 34)),
)


@settings(max_examples=400, deadline=None)
@given(facts=some_facts, plan=plans, data=st.data())
def test_every_call_ends_and_no_target_is_rung_after_its_answer(facts: CallFacts, plan: PlanOf, data: st.DataObject) -> None:
    tried: list[TriedAttempt] = []
    answered: set[str] = set()
    used: set[tuple[str, str]] = set()
    for _ in range(40):
        decision = decide(Question(facts=facts, seed="node1-1795302588.12", tried=tuple(tried), repeats=data.draw(st.integers(0, 9))), plan, Rules())
        if isinstance(decision, End):
            assert decision.cause in {1, 17, 19, 20, 21, 34, 55}
            return
        facts = decision.facts
        assert decision.legs
        results = []
        for leg in decision.legs:
            place = (leg.leg.address, leg.leg.trunk)
            assert leg.leg.address not in answered
            assert place not in used
            used.add(place)
            status, dialstatus, rang, cause = data.draw(outcomes)
            (result,) = failed_legs((leg.leg,), [status], dialstatus=dialstatus, rang=rang, cause=cause).results
            of_trunk = plan.trunk(leg.leg.trunk)
            if verdict(result, of_trunk.causes if of_trunk else {}) is Verdict.FINAL:
                answered.add(leg.leg.address)
            results.append(result)
        tried.append(TriedAttempt(tuple(result.leg for result in results), "CONGESTION", False, tuple(results)))
    pytest.fail("the call never ends")


@settings(max_examples=150, deadline=None)
@given(facts=some_facts, plan=plans)
def test_withheld_stays_withheld_and_only_enabled_outbound_trunks_are_used(facts: CallFacts, plan: PlanOf) -> None:
    decision = decide(Question(facts=facts, seed="x"), plan, Rules(international=True))
    if isinstance(decision, Attempt):
        names = {one.name for one in plan.outbound_trunks()}
        assert {leg.leg.trunk for leg in decision.legs} <= names | {""}
        assert all(leg.identity.withheld == decision.facts.withheld for leg in decision.legs)
        if facts.direction is Direction.INBOUND:
            assert decision.facts == facts
