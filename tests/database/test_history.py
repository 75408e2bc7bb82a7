"""`dev seed`: made-up years of calls, on a store for demonstrations and on no other; and a purge of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from retention import history
from retention.calendar import local_date
from ringfence.clock import FixedClock
from ringfence.queries import accounts
from ringfence.settings import Routing, Settings
from ringfence.values import Direction, Disposition, RoutedBy
from tests.database.installed import Commands, Here
from tests.database.purging import NOW, book, booking, scalar

OWNERS = {e164: place for place, (_, numbers) in enumerate(history.CUSTOMERS.values(), 1) for e164 in numbers}


@pytest.fixture
def ringfence(store_settings: Settings, capsys: pytest.CaptureFixture[str]) -> Iterator[Commands]:
    """A command line on an empty store for demonstrations."""
    here = Here(store_settings, FixedClock(NOW))
    here.__dict__["settings"] = Settings(home=store_settings.home, database=store_settings.database, routing=Routing(drama_numbers=True))
    yield Commands(here, capsys)
    here.engine.dispose()


def test_years_are_written_once_and_purged(ringfence: Commands, engine: Engine) -> None:
    dry = ringfence.ok("dev", "seed", "--per-day", "2", "--json")
    assert dry.data | {"calls": 0} == {"first": "2024-11-20", "last": "2026-11-19", "per_day": 2, "seed": 1, "accounts": "harbour-tea, old-mill", "calls": 0}
    assert "--commit" in dry.err
    assert scalar(engine, "SELECT count(*) FROM account") == 0
    made = ringfence.ok("dev", "seed", "--per-day", "2", "--commit", "--json").data["calls"]
    assert 800 < made < 1400
    assert (scalar(engine, "SELECT count(*) FROM call"), scalar(engine, "SELECT count(*) FROM did")) == (made, 3)
    assert scalar(engine, "SELECT count(*) FROM leg") > made
    assert scalar(engine, "SELECT count(*) FROM invoice_line") == scalar(engine, "SELECT count(*) FROM call WHERE answered_at IS NOT NULL")
    assert ringfence.ok("dev", "seed", "--per-day", "2", "--commit", "--json").data["calls"] == 0


EMERGENCY: dict[str, Any] = {"called": "999", "direction": Direction.OUTBOUND, "routed_by": RoutedBy.STATIC}


def test_a_call_to_999_is_a_demonstration_s_when_its_number_is(ringfence: Commands, engine: Engine) -> None:
    book(engine, [booking(1, NOW - timedelta(days=1), account=None, **EMERGENCY)])
    assert ringfence("dev", "seed", "--years", "1", "--per-day", "1", "--commit").code == 0
    for place, did in enumerate((None, "+441134960100"), 2):
        book(engine, [booking(place, NOW - timedelta(days=1), account=None, did=did, **EMERGENCY)])
        refused = ringfence("dev", "seed", "--commit")
        assert (refused.code, f"{place - 1} call" in refused.err) == (5, True)


@pytest.mark.parametrize("what", ["account", "number", "call"])
def test_a_store_with_anything_else_is_refused(ringfence: Commands, engine: Engine, sessions: sessionmaker[Session], what: str) -> None:
    if what == "call":
        book(engine, [booking(1, NOW - timedelta(days=1), account=None, called="+441134960100", did=None)])
    else:
        with sessions.begin() as session:
            accounts.add_account(session, FixedClock(NOW), "acme" if what == "account" else history.DEMO, "Acme", None)
    if what == "number":
        with engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO did VALUES ('+441134960100', 'geographic', 'inactive', NULL, '2026-01-01 00:00:00')")
    refused = ringfence("dev", "seed", "--commit")
    assert (refused.code, f"1 {what} that no demonstration made" in refused.err, "--config" in refused.err) == (5, True, True)
    assert scalar(engine, "SELECT count(*) FROM call") == (what == "call")


def test_a_store_that_takes_real_numbers_is_refused(store_settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    refused = Commands(Here(store_settings), capsys)("dev", "seed", "--commit")
    assert (refused.code, "routing.drama_numbers" in refused.err) == (3, True)


def test_made_up_calls_are_plausible() -> None:
    wanted = history.wanted(date(2024, 3, 1), 1, 50, 7)
    made = list(history.bookings(wanted, OWNERS))
    assert (wanted.first, wanted.last) == (date(2023, 3, 1), date(2024, 2, 29))
    assert list(history.bookings(wanted, OWNERS)) == made
    assert len({each.call.call_id for each in made}) == len(made)
    days = {local_date(datetime.fromtimestamp(each.call.started_at / 1e6, UTC)) for each in made}
    assert (min(days), max(days), len(days)) == (wanted.first, wanted.last, 366)
    assert {each.call.disposition for each in made} == {Disposition(name) for name in ("answered", "no_answer", "busy", "abandoned", "declined", "failed")}
    for call, legs in ((each.call, each.legs) for each in made):
        numbers = [call.caller or "", call.called, call.forwarded_to or "", *(leg.address for leg in legs)]
        assert all(number.startswith(history.DRAMA) and len(number) == 13 for number in numbers)
        assert call.started_at <= (call.ringing_at or call.started_at) <= (call.answered_at or call.ended_at) <= call.ended_at
        assert (call.answered_at is not None) == (call.disposition is Disposition.ANSWERED) == (call.billable_seconds > 0)
        assert [leg.number for leg in legs] == list(range(1, len(legs) + 1))
        assert legs[-1].disposition is call.disposition
