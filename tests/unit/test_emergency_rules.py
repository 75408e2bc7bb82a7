from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialplan.emergency import matrix
from dialplan.emergency.matrix import judge
from dialplan.emergency.state import TRANSITIONS, AddressEvent, AddressState, move
from ringfence.emergency import AT_CARRIER, SUFFICIENT, LocationClass, RecordFacts
from ringfence.errors import Conflict

S, E = AddressState, AddressEvent
USED = (None, LocationClass.FIXED, LocationClass.NOMADIC, LocationClass.MULTI_SITE)


def test_a_record_goes_its_usual_way() -> None:
    state = S.MISSING
    way = [(E.DRAFTED, S.DRAFT), (E.SENT, S.SUBMITTED), (E.REVIEWED, S.PENDING_REVIEW), (E.ACCEPTED, S.ACCEPTED), (E.LEFT, S.WITHDRAWING)]
    for event, after in [*way, (E.WITHDRAWN, S.WITHDRAWN)]:
        step = move(state, event)
        assert (step.before, step.after, step.changes) == (state, after, True)
        state = after


@pytest.mark.parametrize(("state", "event"), [(state, event) for state, event in product(S, E) if event not in TRANSITIONS[state]])
def test_what_cannot_happen_is_refused_by_name(state: AddressState, event: AddressEvent) -> None:
    with pytest.raises(Conflict, match=f"{state} cannot be {event}"):
        move(state, event)


def test_who_leaves_something_with_the_carrier_has_it_withdrawn() -> None:
    for state in S:
        if state in AT_CARRIER:
            assert move(state, E.LEFT).after is S.WITHDRAWING
    assert move(S.DRAFT, E.LEFT).after is S.WITHDRAWN
    assert move(S.DRAFT, E.LEFT, standing=True).after is S.WITHDRAWING


@given(st.lists(st.sampled_from(list(E)), max_size=30))
def test_no_history_ends_where_nothing_can_be_done_but_in_withdrawn(events: list[AddressEvent]) -> None:
    state, drafted = S.MISSING, False
    for event in events:
        try:
            step = move(state, event)
        except Conflict:
            continue
        drafted = drafted or event is E.DRAFTED
        state = step.after
        assert drafted  # nothing is with a carrier that was not entered here
    assert bool(TRANSITIONS[state]) is (state is not S.WITHDRAWN)


def test_the_carriers_answer_may_come_twice() -> None:
    for state, event in ((S.SUBMITTED, E.SENT), (S.ACCEPTED, E.ACCEPTED), (S.REJECTED, E.REJECTED), (S.REPORTED_MISSING, E.REPORTED_MISSING)):
        assert not move(state, event).changes


@pytest.mark.parametrize("location", USED)
@pytest.mark.parametrize("state", list(S))
def test_a_number_that_makes_calls_needs_a_record_that_is_at_least_submitted(location: LocationClass | None, state: AddressState) -> None:
    verdict = judge(RecordFacts(location, state))
    assert (verdict.can_originate, verdict.needs_record, verdict.covered) == (True, True, state is S.ACCEPTED)
    assert bool(verdict.blocks) is (state not in SUFFICIENT)
    assert verdict.blocks in {"", matrix.ADDRESS_MISSING, matrix.ADDRESS_REJECTED}
    assert (verdict.blocks == matrix.ADDRESS_REJECTED) is (state is S.REJECTED)


@pytest.mark.parametrize("state", [S.DRAFT, S.REJECTED])
def test_a_new_address_does_not_silence_who_had_one(state: AddressState) -> None:
    verdict = judge(RecordFacts(LocationClass.FIXED, state, standing=True))
    assert (verdict.blocks, verdict.covered) == ("", False)


@pytest.mark.parametrize("state", list(S))
def test_a_number_that_only_forwards_needs_none_and_is_presented_on_no_call(state: AddressState) -> None:
    facts = RecordFacts(LocationClass.FORWARD_ONLY, state, acknowledged=True)
    shown, not_shown = judge(facts), judge(facts, presented=False)
    assert (shown.can_originate, shown.needs_record, shown.covered, shown.blocks) == (False, False, False, matrix.FORWARD_ONLY)
    assert (not_shown.can_originate, not_shown.needs_record, not_shown.covered, not_shown.blocks) == (False, False, True, "")


@pytest.mark.parametrize("location", [None, *LocationClass])
def test_a_number_that_no_phone_presents_makes_no_calls(location: LocationClass | None) -> None:
    verdict = judge(RecordFacts(location, S.MISSING), presented=False)
    assert (verdict.can_originate, verdict.covered, verdict.blocks) == (False, True, "")


@pytest.mark.parametrize("state", list(S))
def test_outside_the_uk_the_customer_must_know_that_999_does_not_work(state: AddressState) -> None:
    unaware, aware = (judge(RecordFacts(LocationClass.OUTSIDE_UK, state, acknowledged=known)) for known in (False, True))
    assert (unaware.blocks, unaware.needs_record, unaware.covered) == (matrix.NOT_ACKNOWLEDGED, False, False)
    assert (aware.blocks, aware.needs_record, aware.covered) == ("", False, True)


def test_every_combination_has_an_answer_with_words() -> None:
    for location, state, standing, acknowledged in product([None, *LocationClass], S, (False, True), (False, True)):
        assert judge(RecordFacts(location, state, standing, acknowledged)).why
