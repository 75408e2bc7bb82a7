"""Many numbers at once, on both engines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from ringfence.clock import FixedClock
from ringfence.provisioning import DidWish
from ringfence.queries import accounts, numbering
from ringfence.queries.imports import Effect, ImportPlan, apply_import, plan_import
from ringfence.queries.plan import ChangeKind, begin_change, changes_since, current_version
from ringfence.values import E164, AccountState, DidState, NumberClass, PlanTarget, TargetKind

START = datetime(2026, 3, 29, tzinfo=UTC)
OWNED, SPARE, NEW = E164("+442079460001"), E164("+442079460002"), E164("+442079460003")
MOBILE = PlanTarget(1, TargetKind.MOBILE, "+447700900123", 25)
OTHER_MOBILE = PlanTarget(1, TargetKind.MOBILE, "+447700900456", 25)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START)


@pytest.fixture
def stocked(session: Session, clock: FixedClock) -> Session:
    accounts.add_account(session, clock, "ACME", "Acme Plumbing Ltd", None)
    accounts.add_account(session, clock, "OTHER", "Other Ltd", None)
    for number in (OWNED, SPARE):
        numbering.add_did(session, clock, number, NumberClass.GEOGRAPHIC)
    numbering.assign_did(session, clock, OWNED, "ACME")
    numbering.replace_targets(session, clock, OWNED, [MOBILE])
    accounts.add_endpoint(session, clock, "desk-1", "ACME", caller_did=OWNED, ha1="0" * 32)
    session.commit()
    return session


def wish(number: E164, account: str | None = None, targets: tuple[PlanTarget, ...] | None = None) -> DidWish:
    return DidWish(number, NumberClass.GEOGRAPHIC, account, targets)


def planned(session: Session, *wishes: DidWish) -> ImportPlan:
    return plan_import(session, list(enumerate(wishes, 2)))


def applied(session: Session, clock: FixedClock, *wishes: DidWish) -> ImportPlan:
    version = begin_change(session, clock)
    plan = planned(session, *wishes)
    assert plan.problems == ()
    apply_import(session, clock, version, plan.changes)
    session.commit()
    return plan


def test_each_number_has_one_effect(stocked: Session) -> None:
    plan = planned(stocked, wish(NEW, "ACME", (MOBILE,)), wish(SPARE, "ACME"), wish(OWNED, "OTHER"))
    assert [change.effect for change in plan.changes] == [Effect.NEW, Effect.ASSIGNED, Effect.MOVED]
    assert [change.targets for change in plan.changes] == [(MOBILE,), (), ()]
    assert planned(stocked, wish(OWNED, None, (OTHER_MOBILE,))).count(Effect.CHANGED) == 1
    assert planned(stocked, wish(OWNED, "ACME", (MOBILE,)), wish(SPARE)) == ImportPlan((), 2, ())


def test_a_plan_changes_nothing(stocked: Session) -> None:
    before = list(numbering.list_dids(stocked))
    version = current_version(stocked)
    planned(stocked, wish(NEW, "ACME", (MOBILE,)), wish(OWNED, "OTHER"))
    stocked.commit()
    assert list(numbering.list_dids(stocked)) == before
    assert current_version(stocked) == version


def test_what_was_planned_is_done_with_history_and_changes(stocked: Session, clock: FixedClock) -> None:
    clock.set(START + timedelta(days=1))
    before = current_version(stocked)
    applied(
        stocked,
        clock,
        wish(NEW, "ACME", (MOBILE, PlanTarget(1, TargetKind.ENDPOINT, "desk-1", 30))),
        wish(SPARE, "OTHER", (OTHER_MOBILE,)),
        wish(OWNED, "OTHER"),
    )
    lines = {line.e164: line for line in numbering.list_dids(stocked)}
    assert [(lines[n].account, lines[n].state, len(lines[n].targets)) for n in (OWNED, SPARE, NEW)] == [
        ("OTHER", DidState.ACTIVE, 0),
        ("OTHER", DidState.ACTIVE, 1),
        ("ACME", DidState.ACTIVE, 2),
    ]
    assert [(one.account, one.until) for one in numbering.history(stocked, OWNED)] == [("ACME", clock.now()), ("OTHER", None)]
    assert [(one.account, one.since) for one in numbering.history(stocked, NEW)] == [("ACME", clock.now())]
    assert accounts.get_endpoint(stocked, "desk-1").caller_did is None
    expected = {(ChangeKind.DID, n) for n in (OWNED, SPARE, NEW)} | {(ChangeKind.ENDPOINT, "desk-1")}
    assert set(changes_since(stocked, before) or []) == expected
    assert current_version(stocked) == before + 1


def test_a_second_time_nothing_changes(stocked: Session, clock: FixedClock) -> None:
    wishes = (wish(NEW, "ACME", (MOBILE,)), wish(SPARE, "OTHER", ()), wish(OWNED, "OTHER", (OTHER_MOBILE,)))
    assert len(applied(stocked, clock, *wishes).changes) == 3
    assert planned(stocked, *wishes) == ImportPlan((), 3, ())


def test_a_new_number_without_an_account_is_stock(stocked: Session, clock: FixedClock) -> None:
    applied(stocked, clock, wish(NEW, ""))
    line = next(numbering.find_dids(stocked, [NEW]))
    assert (line.account, line.state) == (None, DidState.INACTIVE)
    assert numbering.history(stocked, NEW) == []


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (wish(NEW, "ACM"), "did you mean ACME"),
        (wish(NEW, "CLOSED"), "closed"),
        (wish(OWNED, ""), "number release"),
        (wish(NEW, "", (MOBILE,)), "targets but no account"),
        (wish(NEW, "ACME", (PlanTarget(1, TargetKind.LANDLINE, OWNED, 25),)), "loop"),
        (wish(NEW, "ACME", (PlanTarget(1, TargetKind.LANDLINE, NEW, 25),)), "loop"),
        (wish(E164("+441174960999"), "ACME"), "another number forwards to it"),
        (wish(NEW, "OTHER", (PlanTarget(1, TargetKind.ENDPOINT, "desk-1", 25),)), "no endpoint desk-1"),
        (wish(E164("+442079460004"), "ACME"), "quarantine"),
    ],
)
def test_every_reason_against_a_row_is_found(stocked: Session, clock: FixedClock, bad: DidWish, message: str) -> None:
    accounts.add_account(stocked, clock, "CLOSED", "Gone", None)
    numbering.close_account(stocked, clock, "CLOSED")
    quarantined = E164("+442079460004")
    numbering.add_did(stocked, clock, quarantined, NumberClass.GEOGRAPHIC)
    numbering.assign_did(stocked, clock, quarantined, "ACME")
    numbering.release_dids(stocked, clock, [quarantined])
    numbering.replace_targets(stocked, clock, OWNED, [PlanTarget(1, TargetKind.LANDLINE, "+441174960999", 25)])
    plan = planned(stocked, wish(SPARE, "ACME"), bad)
    assert [problem.line for problem in plan.problems] == [3]
    assert message in plan.problems[0].message
    assert accounts.get_account(stocked, "CLOSED").state is AccountState.CLOSED


def test_a_number_comes_once(stocked: Session) -> None:
    plan = planned(stocked, wish(NEW, "ACME"), wish(SPARE), wish(NEW, "OTHER"))
    assert [(problem.line, problem.message) for problem in plan.problems] == [(4, "the number is in line 2 already")]
    assert plan.unchanged == 1


def test_a_loop_that_the_same_file_undoes_is_none(stocked: Session, clock: FixedClock) -> None:
    target = E164("+441174960999")
    numbering.replace_targets(stocked, clock, OWNED, [PlanTarget(1, TargetKind.LANDLINE, target, 25)])
    assert planned(stocked, wish(OWNED, "ACME", (MOBILE,)), wish(target, "ACME")).problems == ()
