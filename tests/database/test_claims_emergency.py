"""The checks on addresses for 999: one number that calls without an address turns exactly those promises red that rest on it."""

from __future__ import annotations

import json
from datetime import timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from dialplan.emergency.state import AddressEvent
from retention.claims.checking import Status
from ringfence.audit import log
from ringfence.clock import FixedClock
from ringfence.settings import Settings
from tests.database.addressing import DID, START, enter, happen, stock
from tests.database.claiming import checked, evidence, red


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
