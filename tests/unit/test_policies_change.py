from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.calendar import Period, YearEnd, midnight
from retention.classes import Action, StartEvent
from retention.policies.change import Change, Effect, Proposal, State, announce, approve, diff, earliest_day, in_force_from, resolve, state
from retention.policies.load import shipped_policy
from retention.policies.model import Policy
from ringfence.errors import Conflict, NotFound, Refused
from ringfence.models.base import DataClass

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
NOTICE, EXPIRES = Period(days=30), Period(days=14)
OLD = shipped_policy("officenumber")
PROPOSAL = Proposal("officenumber", 2, "ab" * 32, date(2027, 1, 10), "ann", NOW)


def with_rule(policy: Policy, data_class: DataClass, **changes: object) -> Policy:
    rule = msgspec.structs.replace(policy.rules[data_class], **changes)
    return msgspec.structs.replace(policy, version=policy.version + 1, rules={**policy.rules, data_class: rule})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"window": Period(11)}, ("window", "P12M", "P11M", Effect.SHORTER)),
        ({"window": Period(13)}, ("window", "P12M", "P13M", Effect.LONGER)),
        ({"window": Period(days=365)}, ("window", "P12M", "P365D", Effect.SHORTER)),
        ({"minimum": Period(6)}, ("minimum", "", "P6M", Effect.LONGER)),
        ({"legal": "another law"}, ("legal", OLD.rules[DataClass.CALL_LOG].legal, "another law", Effect.NONE)),
        ({"action": Action.ANONYMISE}, ("action", "delete", "anonymise", Effect.EITHER)),
    ],
)
def test_a_difference_says_whether_data_live_shorter_or_longer(changes: dict[str, object], expected: tuple[str, str, str, Effect]) -> None:
    found = diff(OLD, with_rule(OLD, DataClass.CALL_LOG, **changes))
    assert Change(DataClass.CALL_LOG, *expected) in found
    assert {change.data_class for change in found} == {DataClass.CALL_LOG}


def test_a_month_against_thirty_days_is_either() -> None:
    thirty = with_rule(OLD, DataClass.VOICEMAIL, window=Period(days=30))
    assert [change.effect for change in diff(thirty, with_rule(thirty, DataClass.VOICEMAIL, window=Period(1)))] == [Effect.EITHER]


def test_a_class_that_gets_an_end_lives_shorter() -> None:
    ended = with_rule(OLD, DataClass.TRUNKING, action=Action.DELETE, window=Period(12), start=StartEvent.RECORDED)
    assert Change(DataClass.TRUNKING, "window", "", "P12M", Effect.SHORTER) in diff(OLD, ended)
    assert Change(DataClass.TRUNKING, "window", "P12M", "", Effect.LONGER) in diff(ended, OLD)


def test_nothing_changed_is_no_difference() -> None:
    assert diff(OLD, msgspec.structs.replace(OLD, version=2)) == []


def test_another_financial_year_touches_the_classes_that_run_from_it() -> None:
    recommended = shipped_policy("recommended")
    found = diff(recommended, msgspec.structs.replace(recommended, year_end=YearEnd(12, 31)))
    assert found == [Change(DataClass.BILLING, "financial_year_end", "03-31", "12-31", Effect.EITHER)]


def ready() -> Proposal:
    return approve(PROPOSAL, by="bob", sha256=PROPOSAL.sha256, now=NOW, expires=EXPIRES)


@pytest.mark.parametrize("name", ["ann", "Ann", " ANN "])
def test_nobody_approves_what_they_proposed(name: str) -> None:
    with pytest.raises(Refused, match="cannot approve"):
        approve(PROPOSAL, by=name, sha256=PROPOSAL.sha256, now=NOW, expires=EXPIRES)


def test_what_was_approved_is_what_was_proposed() -> None:
    with pytest.raises(Refused, match="not the one that was proposed"):
        approve(PROPOSAL, by="bob", sha256="cd" * 32, now=NOW, expires=EXPIRES)
    with pytest.raises(Conflict):
        approve(ready(), by="eve", sha256=PROPOSAL.sha256, now=NOW, expires=EXPIRES)


def test_proposals_and_approvals_expire() -> None:
    last, over = datetime(2026, 12, 6, 23, 59, 59, tzinfo=UTC), datetime(2026, 12, 7, tzinfo=UTC)
    assert state(PROPOSAL, now=last, notice=NOTICE, expires=EXPIRES) is State.PROPOSED
    assert state(PROPOSAL, now=over, notice=NOTICE, expires=EXPIRES) is State.EXPIRED
    with pytest.raises(Refused, match="expired"):
        approve(PROPOSAL, by="bob", sha256=PROPOSAL.sha256, now=over, expires=EXPIRES)
    assert state(ready(), now=last, notice=NOTICE, expires=EXPIRES) is State.APPROVED
    assert state(ready(), now=over, notice=NOTICE, expires=EXPIRES) is State.EXPIRED
    with pytest.raises(Refused, match="expired"):
        announce(ready(), now=over, notice=NOTICE, expires=EXPIRES)


def test_nothing_takes_effect_before_its_notice_is_over() -> None:
    """ON-10: at least 30 days."""
    assert earliest_day(NOW, NOTICE) == date(2026, 12, 23)
    soon = msgspec.structs.replace(ready(), effective=date(2026, 12, 22))
    with pytest.raises(Refused, match="notice is 30 days") as caught:
        announce(soon, now=NOW, notice=NOTICE, expires=EXPIRES)
    assert "2026-12-23" in caught.value.hint
    with pytest.raises(Refused, match="no second operator"):
        announce(PROPOSAL, now=NOW, notice=NOTICE, expires=EXPIRES)


def test_an_announced_version_is_in_force_from_midnight_and_does_not_expire() -> None:
    announced = announce(ready(), now=NOW, notice=NOTICE, expires=EXPIRES)
    begins = in_force_from(announced, NOTICE)
    assert begins == datetime(2027, 1, 10, tzinfo=UTC)
    assert state(announced, now=begins - timedelta(microseconds=1), notice=NOTICE, expires=EXPIRES) is State.ANNOUNCED
    assert state(announced, now=begins, notice=NOTICE, expires=EXPIRES) is State.IN_FORCE
    with pytest.raises(Conflict):
        announce(announced, now=NOW, notice=NOTICE, expires=EXPIRES)
    with pytest.raises(Conflict):
        in_force_from(PROPOSAL, NOTICE)


def test_a_forged_row_is_not_in_force() -> None:
    """Whatever is stored: one operator twice, or an effective day before the notice, changes nothing."""
    alone = msgspec.structs.replace(PROPOSAL, approved_by="Ann", approved_at=NOW, announced_at=NOW)
    assert state(alone, now=NOW + timedelta(days=400), notice=NOTICE, expires=EXPIRES) is State.EXPIRED
    early = msgspec.structs.replace(ready(), announced_at=NOW, effective=date(2026, 11, 23))
    assert state(early, now=NOW + timedelta(days=10), notice=NOTICE, expires=EXPIRES) is State.ANNOUNCED
    assert in_force_from(early, NOTICE) == midnight(date(2026, 12, 23))


@settings(max_examples=80)
@given(announced=st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)), days=st.integers(0, 400))  # noqa: DTZ001
def test_notice_is_never_shorter_than_promised(announced: datetime, days: int) -> None:
    proposal = msgspec.structs.replace(ready(), approved_at=announced, effective=announced.date() + timedelta(days=days))
    try:
        told = announce(proposal, now=announced, notice=NOTICE, expires=EXPIRES)
    except Refused:
        return
    assert in_force_from(told, NOTICE) - announced >= timedelta(days=29, hours=23)  # 30 days, of which one may be of 23 hours


def version(number: int, effective: date, key: str = "officenumber") -> Policy:
    return msgspec.structs.replace(shipped_policy(key), version=number, effective=effective)


def test_an_account_may_have_another_policy_than_the_default() -> None:
    known = [version(1, date(2026, 1, 1)), version(2, date(2026, 12, 1)), version(1, date(2026, 1, 1), "voipfone")]
    assert resolve("voipfone", "officenumber", known, NOW).key == "voipfone"
    assert resolve(None, "officenumber", known, NOW).version == 1
    assert resolve(None, "officenumber", known, datetime(2026, 11, 30, 23, 59, tzinfo=UTC)).version == 1
    assert resolve(None, "officenumber", known, datetime(2026, 12, 1, tzinfo=UTC)).version == 2
    assert resolve(None, "officenumber", known, datetime(2020, 1, 1, tzinfo=UTC)).version == 1, "the first holds from the beginning"
    with pytest.raises(NotFound):
        resolve("voipoffice", "officenumber", known, NOW)
