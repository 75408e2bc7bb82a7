"""Addresses that customers must confirm again, on both engines: when, of which numbers, and who is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from retention.emergency import records
from retention.emergency.confirming import Due, count_due, due_at, list_due, periods_of
from retention.report.gather import gather
from retention.report.sections.emergency import emergency
from retention.report.span import parse_span
from retention.worker import jobs
from ringfence.clock import FixedClock
from ringfence.emergency import Confirmation, LocationClass
from ringfence.errors import Misconfigured
from ringfence.queries import accounts, numbering
from ringfence.settings import Emergency, Settings
from tests.database.addressing import DID, OTHER, START, clock, enter, stock
from tests.database.installed import Commands, Here
from tests.database.workers import incidents_of, worker

__all__ = ["clock"]

YEAR, HALF = datetime(2027, 3, 29, 23, tzinfo=UTC), datetime(2026, 9, 29, 23, tzinfo=UTC)  # 00:00 in London on the day after
MOMENT = timedelta(microseconds=1)
PERIODS = periods_of(Emergency())


@pytest.fixture
def stocked(session: Session, clock: FixedClock) -> Session:
    stock(session, clock)
    accounts.add_endpoint(session, clock, "desk-2", "ACME", caller_did=OTHER, ha1="0" * 32)
    return session


def due(session: Session, now: datetime) -> list[Due]:
    listed = list(list_due(session, PERIODS, now))
    assert count_due(session, PERIODS, now) == len(listed)
    return listed


def test_each_class_has_its_period_and_a_day_that_has_begun_is_over_in_london(stocked: Session, clock: FixedClock) -> None:
    fixed, nomadic = enter(stocked, clock), enter(stocked, clock, OTHER, LocationClass.NOMADIC)
    assert (due_at(fixed, PERIODS), due_at(nomadic, PERIODS)) == (YEAR, HALF)
    assert due(stocked, HALF - MOMENT) == []
    (first,) = due(stocked, HALF)
    assert first == Due(OTHER, "ACME", nomadic.account_id, "nomadic", START, True, "Ada Example", HALF, (HALF - START).days)
    assert [one.number for one in due(stocked, YEAR - MOMENT)] == [OTHER]
    assert [one.number for one in due(stocked, YEAR)] == [DID, OTHER]
    assert [one.number for one in list_due(stocked, PERIODS, YEAR, limit=1)] == [DID]
    assert list(list_due(stocked, PERIODS, YEAR, account_id=accounts.get_account(stocked, "OTHER").id)) == []


def test_a_confirmation_begins_the_period_anew_and_so_does_a_new_address(stocked: Session, clock: FixedClock) -> None:
    enter(stocked, clock)
    clock.set(YEAR)
    records.confirm(stocked, clock, DID, Confirmation("Bo Example", "visit"))
    stocked.commit()
    assert due(stocked, YEAR) == []
    clock.set(YEAR + timedelta(days=400))
    assert [one.confirmed_by for one in due(stocked, clock.now())] == ["Bo Example"]
    enter(stocked, clock, premises="105")
    assert due(stocked, clock.now()) == []


def test_one_that_nobody_ever_confirmed_counts_from_its_entry(stocked: Session, clock: FixedClock) -> None:
    record = enter(stocked, clock)
    record.confirmed_at = record.confirmed_by = record.confirmed_how = None
    stocked.commit()
    assert due(stocked, YEAR - MOMENT) == []
    assert [(one.confirmed, one.last_said_at, one.due_at) for one in due(stocked, YEAR)] == [(False, START, YEAR)]


def test_only_numbers_that_can_call_and_have_an_address_are_asked_about(stocked: Session, clock: FixedClock) -> None:
    enter(stocked, clock)
    enter(stocked, clock, OTHER, LocationClass.OUTSIDE_UK)
    assert [one.number for one in due(stocked, YEAR)] == [DID]
    accounts.set_endpoint(stocked, clock, "desk-1", receive_only=True)
    assert due(stocked, YEAR) == []
    accounts.set_endpoint(stocked, clock, "desk-1", receive_only=False)
    stocked.commit()
    numbering.release_dids(stocked, clock, [DID])
    assert due(stocked, YEAR) == []


@pytest.mark.parametrize("text", ["", "P0D", "12 months", "P1.5Y", "PT1H", "P900Y"])
def test_a_period_that_is_none_is_said(text: str) -> None:
    for wrong in (Emergency(confirm_every=text), Emergency(confirm_nomadic_every=text)):
        with pytest.raises(Misconfigured, match=r"emergency\.confirm_(nomadic_)?every is"):
            periods_of(wrong)


def test_a_person_is_told_and_the_report_counts_it(
    engine: Engine, stocked: Session, store_settings: Settings, clock: FixedClock, capsys: pytest.CaptureFixture[str]
) -> None:
    def told() -> list[str | None]:
        jobs.watch_coverage(worker(engine, store_settings, clock))
        return [outcome for cause, outcome, _ in incidents_of(engine) if cause == "emergency_unconfirmed"]

    enter(stocked, clock)
    assert told() == []
    clock.set(YEAR)
    assert told() == [None]
    with Session(engine) as fresh:
        report = gather(fresh, store_settings, clock, parse_span(None, clock.now()), sections=(emergency,))
    assert report.section("emergency").blocks[0].values["to_confirm"] == 1  # type: ignore[union-attr]
    here = Here(store_settings, clock)
    ringfence = Commands(here, capsys)
    shown = ringfence.ok("emergency", "coverage", "--json").data
    assert (shown["to_confirm"], [(one["number"], one["account"], one["age_days"]) for one in shown["listed_to_confirm"]]) == (1, [(DID, "ACME", 365)])
    assert "addresses to be confirmed again: 1; --json lists them" in ringfence.ok("emergency", "coverage").out
    assert ringfence.ok("emergency", "address", "show", DID, "--json").data["confirm_again_at"].startswith("2027-03-29T23:00:00")
    ringfence.ok("emergency", "address", "confirm", DID, "--confirmed-by", "Ada Example", "--how", "phone")
    assert ringfence.ok("emergency", "coverage", "--json").data["to_confirm"] == 0
    here.engine.dispose()
    assert told() == ["mended"]
