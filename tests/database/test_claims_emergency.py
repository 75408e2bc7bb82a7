"""The checks on addresses for 999: one number that calls without an address turns exactly those promises red that rest on it."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from dialplan.emergency.state import AddressEvent
from retention.claims.checking import Status
from ringfence.audit import log
from ringfence.clock import FixedClock
from ringfence.models import EmergencyCall
from ringfence.queries import emergency_tests
from ringfence.settings import Settings
from ringfence.values import Disposition
from tests.database.addressing import DID, START, enter, happen, stock
from tests.database.claiming import checked, evidence, red
from tests.database.purging import NOW


def test_a_number_that_calls_without_an_accepted_address_is_red_after_its_time(
    sessions: sessionmaker[Session], engine: Engine, store_settings: Settings
) -> None:
    clock = FixedClock(START)
    with sessions() as session:
        stock(session, clock)
        clock.set(START + timedelta(days=9))
        found = evidence(checked(engine, store_settings, clock), "emergency_coverage")
        assert (found.status, found.result["overdue"], found.result["gaps"][0]["calls_refused"]) == (Status.PASS, 0, True)  # it makes no calls
        record = happen(session, clock, enter(session, clock), AddressEvent.SENT)
    clock.set(START + timedelta(days=11))
    before = red(checked(engine, store_settings, clock))
    clock.set(START + timedelta(days=13))
    results = checked(engine, store_settings, clock)
    assert red(results) - before == {"NN-4", "NU-2"}
    found = evidence(results, "emergency_coverage")
    assert (found.status, found.result["can_call"], found.result["overdue"]) == (Status.FAIL, 1, 1)
    assert DID[-6:] not in json.dumps(found.result, default=str)
    with sessions() as session:
        happen(session, clock, record, AddressEvent.ACCEPTED)
    assert evidence(checked(engine, store_settings, clock), "emergency_coverage").result["gaps"] == []


def test_a_look_up_that_took_too_long_is_red(sessions: sessionmaker[Session], engine: Engine, store_settings: Settings) -> None:
    clock = FixedClock(START)
    with sessions.begin() as session:
        for milliseconds in (12, 1_000):
            log.append(session, clock, "emergency.looked_up", actor="operator", record=None, purpose="emergency_services", ms=milliseconds)
    found = evidence(checked(engine, store_settings, clock), "emergency_lookup")
    assert (found.status, found.result["lookups"], found.result["slowest_ms"], found.result["by_purpose"]) == (Status.PASS, 2, 1_000, {"emergency_services": 2})
    with sessions.begin() as session:
        log.append(session, clock, "emergency.looked_up", actor="operator", record=None, purpose="test", ms=1_001)
    results = checked(engine, store_settings, clock)
    assert "VF-3" in red(results)
    assert evidence(results, "emergency_lookup").result["over_a_second"] == 1


def test_a_call_to_999_that_reached_nobody_is_red(engine: Engine, store_settings: Settings) -> None:
    assert evidence(checked(engine, store_settings), "emergency_calls").status is Status.NOT_CHECKABLE
    before = red(checked(engine, store_settings))
    for disposition in (Disposition.ANSWERED, Disposition.ABANDONED, Disposition.FAILED, Disposition.BUSY, Disposition.NO_ANSWER, Disposition.LOST):
        results = checked(engine, store_settings, seed=partial(_seed, disposition))
        assert red(results) - before == (set() if disposition in (Disposition.ANSWERED, Disposition.ABANDONED) else {"VF-3"})
        assert evidence(results, "emergency_calls").result["calls"] == {disposition.value: 1}


def test_a_test_of_999_that_is_overdue_is_red(engine: Engine, store_settings: Settings) -> None:
    early, late = FixedClock(START), FixedClock(START + timedelta(days=8))

    def seed(session: Session) -> None:
        emergency_tests.put_way(session, early, "n1", ("a" * 64, "b" * 64))

    due = evidence(checked(engine, store_settings, early, seed=seed), "emergency_calls")
    assert (due.status, due.result["tests_overdue"], due.result["tests_due"][0]["cause"]) == (Status.PASS, 0, "never_tested")
    before = red(checked(engine, store_settings, late))
    results = checked(engine, store_settings, late, seed=seed)
    assert red(results) - before == {"VF-3"}
    assert evidence(results, "emergency_calls").result["tests_overdue"] == 1


def _seed(disposition: Disposition, session: Session) -> None:
    ended = {"ended_at": NOW, "disposition": disposition}
    session.add(EmergencyCall(call_id="n1-1.1", started_at=NOW, node="n1", endpoint="desk", presented=DID, called="999", tried=[], **ended))
