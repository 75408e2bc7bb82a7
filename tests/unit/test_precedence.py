from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.calendar import Period, YearEnd, deletable_at
from retention.classes import StartEvent
from retention.policies.load import shipped_keys, shipped_policy
from retention.precedence import Facts, Hold, Outcome, Reason, Span, Verdict, shown, spans, verdict
from ringfence.models.base import DataClass

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
CALL, CLOSED, BILLED = StartEvent.CALL_STARTED, StartEvent.ACCOUNT_CLOSED, StartEvent.BILLED
YEAR = Span(Period(12), CALL, "window")
OLD, YOUNG = NOW - timedelta(days=500), NOW - timedelta(days=5)


def test_a_hold_wins_over_everything() -> None:
    for hold in (Hold.OPEN, Hold.SECRET):
        found = verdict(Facts({CALL: OLD}, hold=hold, erasure_requested=True), [YEAR], [], NOW)
        assert found == Verdict(Outcome.KEEP, Reason.LEGAL_HOLD, None)


def test_a_minimum_wins_over_an_erasure_and_the_longest_wins() -> None:
    minimums = [Span(Period(18), CALL, "short"), Span(Period(24), CALL, "long"), Span(Period(6), CALL, "over")]
    found = verdict(Facts({CALL: OLD}, erasure_requested=True), [YEAR], minimums, NOW)
    assert found == Verdict(Outcome.KEEP, Reason.MINIMUM, deletable_at(OLD, Period(24)), "long")


def test_a_minimum_whose_event_has_not_happened_keeps_without_a_date() -> None:
    minimums = [Span(Period(24), CALL, "dated"), Span(Period(1), CLOSED, "open")]
    assert verdict(Facts({CALL: OLD}), [YEAR], minimums, NOW) == Verdict(Outcome.KEEP, Reason.MINIMUM, None, "open")


def test_an_erasure_wins_over_the_window() -> None:
    young = Facts({CALL: YOUNG}, erasure_requested=True)
    assert verdict(young, [YEAR], [], NOW) == Verdict(Outcome.DUE, Reason.ERASURE, NOW, "UK GDPR art. 17")
    assert verdict(msgspec.structs.replace(young, erasure_requested=False), [YEAR], [], NOW).outcome is Outcome.KEEP


def test_what_is_in_use_is_not_purged_nor_erased() -> None:
    """ON-6a: an erasure of an open account begins by closing it."""
    for erasure in (False, True):
        found = verdict(Facts({}, erasure_requested=erasure), [Span(Period(72), CLOSED, "six years")], [], NOW)
        assert (found.outcome, found.reason, found.until) == (Outcome.KEEP, Reason.IN_USE, None)


def test_the_window_ends_to_the_moment_and_the_shortest_wins() -> None:
    end = deletable_at(OLD, Period(12))
    windows = [YEAR, Span(Period(60), CALL, "longer"), Span(Period(1), CLOSED, "not begun")]
    assert verdict(Facts({CALL: OLD}), windows, [], end) == Verdict(Outcome.DUE, Reason.WINDOW, end, "window")
    assert verdict(Facts({CALL: OLD}), windows, [], end - timedelta(microseconds=1)) == Verdict(Outcome.KEEP, Reason.WINDOW, end, "window")


def test_what_says_nothing_about_a_person_is_kept() -> None:
    assert verdict(Facts({CALL: OLD}), [], [], NOW) == Verdict(Outcome.KEEP, Reason.NO_END, None)


def test_the_end_of_a_financial_year_follows_from_the_charge() -> None:
    span = Span(Period(72), StartEvent.FINANCIAL_YEAR_END, "tax", YearEnd(3, 31))
    found = verdict(Facts({BILLED: datetime(2020, 4, 1, 12, tzinfo=UTC)}), [], [span], NOW)
    assert found == Verdict(Outcome.KEEP, Reason.MINIMUM, datetime(2027, 3, 31, 23, tzinfo=UTC), "tax")


def test_a_bill_after_closure_stays_its_own_six_years() -> None:
    windows, minimums = spans(shipped_policy("officenumber"), DataClass.BILLING)
    closed, billed = datetime(2020, 11, 1, 12, tzinfo=UTC), datetime(2020, 12, 1, 12, tzinfo=UTC)
    found = verdict(Facts({CLOSED: closed, BILLED: billed}), windows, minimums, NOW)
    assert (found.outcome, found.reason, found.until) == (Outcome.KEEP, Reason.MINIMUM, datetime(2026, 12, 2, tzinfo=UTC))
    assert verdict(Facts({CLOSED: closed, BILLED: closed}), windows, minimums, NOW).outcome is Outcome.DUE


facts = st.builds(
    Facts,
    events=st.dictionaries(st.sampled_from([CALL, CLOSED, BILLED]), st.datetimes(datetime(2015, 1, 1), datetime(2026, 11, 22), timezones=st.just(UTC))),  # noqa: DTZ001
    hold=st.sampled_from(Hold),
    erasure_requested=st.booleans(),
)
some_spans = st.lists(st.builds(Span, st.builds(Period, st.integers(0, 90)), st.sampled_from([CALL, CLOSED, BILLED]), st.just("law")), max_size=3)


@settings(max_examples=200, deadline=None)
@given(facts=facts, windows=some_spans, minimums=some_spans)
def test_nothing_is_due_under_a_hold_or_a_minimum_and_never_before_its_end(facts: Facts, windows: list[Span], minimums: list[Span]) -> None:
    found = verdict(facts, windows, minimums, NOW)
    if found.outcome is Outcome.DUE:
        assert facts.hold is Hold.NONE
        assert all(m.start in facts.events and deletable_at(facts.events[m.start], m.period) <= NOW for m in minimums)
        assert found.reason is Reason.ERASURE or any(w.start in facts.events and deletable_at(facts.events[w.start], w.period) <= NOW for w in windows)
    else:
        assert found.until is None or found.until > NOW


@settings(max_examples=100, deadline=None)
@given(facts=facts, windows=some_spans, minimums=some_spans)
def test_a_secret_hold_changes_nothing_that_is_shown(facts: Facts, windows: list[Span], minimums: list[Span]) -> None:
    without, secret = (msgspec.structs.replace(facts, hold=hold) for hold in (Hold.NONE, Hold.SECRET))
    assert shown(secret, windows, minimums, NOW) == shown(without, windows, minimums, NOW)
    assert verdict(secret, windows, minimums, NOW).outcome is Outcome.KEEP


@settings(max_examples=100, deadline=None)
@given(facts=facts, windows=some_spans, minimums=some_spans, extra=some_spans)
def test_another_minimum_never_lets_anything_go_earlier(facts: Facts, windows: list[Span], minimums: list[Span], extra: list[Span]) -> None:
    if verdict(facts, windows, minimums, NOW).outcome is Outcome.KEEP:
        assert verdict(facts, windows, minimums + extra, NOW).outcome is Outcome.KEEP


@pytest.mark.parametrize("key", shipped_keys())
def test_verdicts_agree_with_the_cutoffs_of_a_run(key: str) -> None:
    policy = shipped_policy(key)
    for data_class in DataClass:
        windows, minimums = spans(policy, data_class)
        for window, cutoff in zip(windows, filter(None, [policy.cutoff(data_class, NOW)]), strict=True):
            event = BILLED if window.start is StartEvent.FINANCIAL_YEAR_END else window.start
            at_the_edge = dict.fromkeys(StartEvent, cutoff.at) | {event: cutoff.at}
            before = {other: cutoff.at - timedelta(microseconds=1) for other in StartEvent}
            assert verdict(Facts(at_the_edge), [window], [], NOW).outcome is Outcome.KEEP
            assert verdict(Facts(before), [window], [], NOW).outcome is Outcome.DUE
        assert len(minimums) == (policy.minimum_cutoff(data_class, NOW) is not None)
