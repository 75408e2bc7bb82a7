from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialplan import causes
from dialplan.call import Leg, LegResult
from dialplan.causes import Verdict, cause_for_caller, check_overrides, verdict
from ringfence.errors import Invalid
from ringfence.values import TargetKind

LEG = Leg(TargetKind.MOBILE, "+447700900123", "trunk-a")


def result(sip_status: int | None = None, dialstatus: str = "", *, rang: bool = False, cause: int | None = None) -> LegResult:
    return LegResult(LEG, dialstatus, rang, sip_status, cause)


@pytest.mark.parametrize("status", [404, 410, 480, 484, 485, 486, 600, 603, 604])
def test_an_answer_of_the_called_party_is_final(status: int) -> None:
    assert verdict(result(status, "CHANUNAVAIL"), {}) is Verdict.FINAL


@pytest.mark.parametrize("status", [400, 401, 403, 407, 488, 500, 502, 503, 504])
def test_a_failure_of_the_trunk_is_transient(status: int) -> None:
    assert verdict(result(status, "CONGESTION", rang=True), {}) is Verdict.TRANSIENT


@pytest.mark.parametrize("status", [408, 487])
def test_silence_is_final_only_after_ringing(status: int) -> None:
    assert verdict(result(status, rang=True), {}) is Verdict.FINAL
    assert verdict(result(status), {}) is Verdict.TRANSIENT


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (result(None, "NOANSWER", rang=True), Verdict.FINAL),
        (result(None, "NOANSWER"), Verdict.TRANSIENT),
        (result(None, "BUSY"), Verdict.FINAL),
        (result(None, "CHANUNAVAIL", cause=20), Verdict.TRANSIENT),
        (result(None, "CONGESTION"), Verdict.TRANSIENT),
        (result(None, "", cause=17), Verdict.FINAL),
        (result(None, "", cause=34), Verdict.TRANSIENT),
        (result(None, ""), Verdict.TRANSIENT),
    ],
)
def test_without_a_status_the_dial_status_and_then_the_cause_decide(seen: LegResult, expected: Verdict) -> None:
    assert verdict(seen, {}) is expected


def test_a_trunks_own_rules_come_first_the_status_before_the_cause() -> None:
    assert verdict(result(486, "BUSY", cause=17), {"486": "transient"}) is Verdict.TRANSIENT
    assert verdict(result(486, "BUSY", cause=17), {"q17": "transient"}) is Verdict.TRANSIENT
    assert verdict(result(503, cause=34), {"503": "final", "q34": "transient"}) is Verdict.FINAL


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        (result(486), causes.BUSY),
        (result(600), causes.BUSY),
        (result(603), causes.DECLINED),
        (result(480), causes.UNREACHABLE),
        (result(404), causes.UNREACHABLE),
        (result(408, rang=True), causes.NO_ANSWER),
        (result(487, rang=True), causes.NO_ANSWER),
        (result(503), causes.CONGESTION),
        (result(None, "BUSY"), causes.BUSY),
        (result(None, "NOANSWER", rang=True), causes.NO_ANSWER),
        (result(None, "DONTCALL"), causes.DECLINED),
        (result(None, ""), causes.UNREACHABLE),
    ],
)
def test_what_the_caller_hears(seen: LegResult, cause: int) -> None:
    assert cause_for_caller(seen) == cause


def test_overrides_that_can_be_meant() -> None:
    check_overrides({"300": "final", "699": "transient", "q1": "final", "q127": "transient"})
    check_overrides({})


@pytest.mark.parametrize(
    ("key", "value"),
    [("200", "final"), ("700", "final"), ("0486", "final"), ("q0", "final"), ("q128", "final"), ("q", "final"), ("486", "maybe"), ("٤٨٦", "final"), ("", "")],
)
def test_overrides_that_cannot_be_meant(key: str, value: str) -> None:
    with pytest.raises(Invalid):
        check_overrides({key: value})


@settings(max_examples=200)
@given(
    overrides=st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3),
    status=st.none() | st.integers(100, 699),
    cause=st.none() | st.integers(0, 127),
)
def test_accepted_overrides_never_raise_later(overrides: dict[str, str], status: int | None, cause: int | None) -> None:
    try:
        check_overrides(overrides)
    except Invalid:
        return
    assert verdict(result(status, cause=cause), overrides) in set(Verdict)


def test_a_redirection_is_not_followed_and_not_tried_elsewhere() -> None:
    redirected = LegResult(leg=Leg(TargetKind.MOBILE, "+447700900123", "first"), dialstatus="CHANUNAVAIL", rang=False, sip_status=302, cause=23)
    assert verdict(redirected, {}) is Verdict.FINAL
    assert cause_for_caller(redirected) == 20
