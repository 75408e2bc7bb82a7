"""Tests of calls to 999 in the store, on both engines: what is due follows from what is in place, whatever was forgotten on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from retention.emergency import alarms
from retention.report.gather import gather
from retention.report.sections.emergency_tests import emergency_tests as section
from retention.report.span import parse_span
from retention.worker import jobs
from ringfence.clock import FixedClock
from ringfence.emergency import DueCause, HowTested, LocationClass
from ringfence.errors import Refused
from ringfence.models import AuditEntry, EmergencyTest, Incident
from ringfence.queries import emergency_tests, nodes
from ringfence.queries.emergency_tests import DueTest, Held
from ringfence.session import make_sessions
from ringfence.settings import Emergency, Settings
from tests.database.addressing import DID, OTHER, START, clock, enter, stock
from tests.database.workers import worker

__all__ = ["clock"]

C = DueCause
DAY = timedelta(days=1)
A, B, X, Y = ("a" * 64, "b" * 64, "e" * 64, "f" * 64)


@pytest.fixture
def apply(session: Session, clock: FixedClock) -> Callable[..., None]:
    """Put a way in place an hour later."""

    def act(trunks: str, dialplan: str, node: str = "n1") -> None:
        clock.set(clock.now() + timedelta(hours=1))
        emergency_tests.put_way(session, clock, node, (trunks, dialplan))
        session.commit()

    return act


@pytest.fixture
def held(session: Session, clock: FixedClock) -> Callable[..., EmergencyTest]:
    """Hold a test a minute later."""

    def act(*, passed: bool = True, node: str = "n1", how: HowTested = HowTested.WALKED, took: timedelta = timedelta(0)) -> EmergencyTest:
        clock.set(clock.now() + timedelta(minutes=1))
        checks = [{"check": "999", "ok": passed, "problem": "" if passed else "nobody answered"}]
        began = clock.now() - took
        test = emergency_tests.add(session, clock, Held(node=node, began_at=began, how=how, passed=passed, by="kim", note="as agreed", checks=checks))
        session.commit()
        return test

    return act


def due(session: Session, clock: FixedClock, node: str | None = None) -> list[tuple[DueCause, float]]:
    """Return each cause, with the hours for which it has been due."""
    return [(each.cause, (clock.now() - each.since) / timedelta(hours=1)) for each in emergency_tests.due(session, clock.now(), node=node)]


def test_what_is_in_place_and_was_not_tested_is_due(
    session: Session, clock: FixedClock, apply: Callable[..., None], held: Callable[..., EmergencyTest]
) -> None:
    assert due(session, clock) == []
    apply(A, X)
    assert due(session, clock) == [(C.NEVER, 0)]
    assert [each["cause"] for each in held().due] == ["never_tested"]
    assert due(session, clock) == []
    apply(B, X)
    apply(B, Y)
    assert due(session, clock) == [(C.TRUNKS, 1), (C.DIALPLAN, 0)]
    failed = held(passed=False)
    assert [cause for cause, _ in due(session, clock)] == [C.TRUNKS, C.DIALPLAN]
    assert [each["cause"] for each in held().due] == [each["cause"] for each in failed.due] == ["trunks", "dialplan"]
    assert due(session, clock) == []


def test_it_is_due_since_the_first_change_and_no_more_once_that_is_undone(
    session: Session, clock: FixedClock, apply: Callable[..., None], held: Callable[..., EmergencyTest]
) -> None:
    apply(A, X)
    held()
    apply(B, X)
    apply(Y, X)
    apply(Y, X)
    assert due(session, clock) == [(C.TRUNKS, 2)]
    apply(A, X)
    assert due(session, clock) == []
    apply(B, X)
    assert due(session, clock) == [(C.TRUNKS, 0)]
    emergency_tests.put_way(session, clock, "n1", None)  # the last phone that calls went
    assert due(session, clock) == []


def test_a_number_that_is_used_otherwise_is_a_cause_and_its_first_class_is_not(
    session: Session, clock: FixedClock, apply: Callable[..., None], held: Callable[..., EmergencyTest]
) -> None:
    stock(session, clock)
    apply(A, X)
    held()
    clock.set(clock.now() + DAY)
    enter(session, clock)
    enter(session, clock, OTHER, LocationClass.NOMADIC)
    assert due(session, clock) == []
    enter(session, clock, premises="105")
    assert due(session, clock) == []
    clock.set(clock.now() + timedelta(hours=1))
    enter(session, clock, DID, LocationClass.NOMADIC)
    clock.set(clock.now() + timedelta(hours=1))
    enter(session, clock, OTHER, LocationClass.FORWARD_ONLY)
    (found,) = emergency_tests.due(session, clock.now())
    assert (found.cause, found.count, clock.now() - found.since) == (C.NUMBERS, 2, timedelta(hours=1))
    held(took=timedelta(minutes=30))  # the second change came while that test went on
    (found,) = emergency_tests.due(session, clock.now())
    assert (found.cause, found.count, clock.now() - found.since) == (C.NUMBERS, 1, timedelta(minutes=1))
    held()
    assert due(session, clock) == []


def test_each_node_is_tested_by_itself_and_one_that_is_gone_is_not(
    session: Session, clock: FixedClock, apply: Callable[..., None], held: Callable[..., EmergencyTest]
) -> None:
    apply(A, X, node="n1")
    apply(A, X, node="n2")
    held(node="n1")
    assert due(session, clock, "n1") == []
    assert [cause for cause, _ in due(session, clock, "n2")] == [C.NEVER]
    for seen, causes in ((clock.now(), [C.NEVER]), (clock.now() - 31 * DAY, [])):
        nodes.report_node(session, "n2", worker_seen_at=seen)
        assert [cause for cause, _ in due(session, clock)] == causes


def test_where_nobody_calls_there_is_nothing_to_test(held: Callable[..., EmergencyTest]) -> None:
    with pytest.raises(Refused, match="no phone of n1 calls 999"):
        held()


def test_a_test_is_in_the_audit_log_without_who_held_it(session: Session, apply: Callable[..., None], held: Callable[..., EmergencyTest]) -> None:
    apply(A, X)
    tests = [held(passed=False), held(how=HowTested.CARRIER)]
    entries = session.scalars(select(AuditEntry).order_by(AuditEntry.seq)).all()
    assert [(entry.kind, json.loads(entry.body)) for entry in entries] == [
        ("emergency.tested", {"test": test.id, "how": how, "outcome": outcome})
        for test, how, outcome in zip(tests, ("walked", "carrier"), ("failed", "passed"), strict=True)
    ]


def test_what_is_overdue_is_an_incident_until_it_is_tested(
    engine: Engine, clock: FixedClock, apply: Callable[..., None], held: Callable[..., EmergencyTest]
) -> None:
    apply(A, X)
    at = worker(engine, Settings(emergency=Emergency(test_days=3)), clock)

    def told() -> list[tuple[str, str | None]]:
        jobs.watch_coverage(at)
        with make_sessions(engine)() as fresh:
            found = fresh.scalars(select(Incident).order_by(Incident.opened_at)).all()
            assert all("n1: no test was ever passed" in each.detail for each in found)
            return [(each.cause, each.outcome) for each in found]

    assert told() == []
    clock.set(clock.now() + 3 * DAY)
    assert told() == []
    clock.set(clock.now() + timedelta(seconds=1))
    assert told() == told() == [(alarms.UNTESTED, None)]
    held(passed=False)
    assert told() == [(alarms.UNTESTED, None)]
    held()
    assert told() == [(alarms.UNTESTED, "mended")]


def test_the_report_tells_what_is_due_overdue_and_was_held(
    session: Session, clock: FixedClock, apply: Callable[..., None], held: Callable[..., EmergencyTest]
) -> None:
    apply(A, X)
    held(passed=False)
    passed = held()
    apply(B, X)
    clock.set(clock.now() + 8 * DAY)
    apply(B, Y)
    session.rollback()
    report = gather(session, Settings(), clock, parse_span("2026-03..2026-04", clock.now()), sections=(section,))
    assert [(row["status"], row["reason"]) for row in report.table("emergency_tests", "due").rows] == [
        ("overdue", "the emergency trunks changed, or how they are tried"),
        ("due", "the dialplan that 999 goes through changed"),
    ]
    rows = report.table("emergency_tests", "held").rows
    assert [(row["status"], row["due"], row["failed"]) for row in rows] == [("passed", "never_tested", ""), ("failed", "never_tested", "999")]
    assert rows[0]["test"] == passed.id
    assert not [row for row in rows if "kim" in str(row) or "as agreed" in str(row)]
    made = report.section("emergency_tests").exceptions
    assert made[0] == "1 test(s) of calls to 999 have been due for more than 7 days."
    assert made[1].endswith("failed on n1.")


def test_what_was_due_is_told_in_words() -> None:
    assert DueTest("n1", C.NUMBERS, START, 2).reason == "2 number(s) changed their class of use"
