"""Accounts that closed, and what they leave behind: each by the policy of its account, also when the account itself is gone."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from retention.purge import conservation
from ringfence.clock import FixedClock
from ringfence.models import Node
from ringfence.queries import accounts, numbering
from ringfence.settings import Settings
from tests.database.purging import book, booking, purge, scalar, verified
from tests.database.years.acts import People, reference

START = datetime(2021, 4, 10, 12, tzinfo=UTC)


def run(engine: Engine, settings: Settings, clock: FixedClock, at: datetime) -> None:
    """Purge at a moment, on a store whose node was alive just before."""
    clock.set(at)
    with Session(engine) as session, session.begin():
        session.merge(Node(name="n1", booker_seen_at=at))
    report = purge(engine, settings, clock).run()
    assert report is not None
    assert report.stopped == ""


def left(engine: Engine) -> dict[str, int]:
    return {table: scalar(engine, f"SELECT count(*) FROM {table}") for table in ("account", "endpoint", "account_policy", "invoice_line", "call")}


def test_what_a_closed_account_leaves_goes_by_its_own_policy(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    """The account's window is 6 months, that of its bills 13 and at least 12 from the end of March; by the operator's policy they would be 6 years and more."""
    clock = FixedClock(START)
    people = People(sessions, clock, reference(), random.Random(1))  # noqa: S311
    people.account()
    people.propose("quayside", 1, date(2021, 6, 1))
    for _ in range(2):
        people.settle_policies()
    clock.set(datetime(2021, 6, 2, tzinfo=UTC))
    people.put_under("c1", "quayside")
    book(engine, [booking(1, START), booking(2, START, account=None)])
    people.close_account("c1")
    run(engine, store_settings, clock, datetime(2021, 12, 2, 23, 59, tzinfo=UTC))
    assert left(engine) == {"account": 1, "endpoint": 1, "account_policy": 1, "invoice_line": 1, "call": 1}
    run(engine, store_settings, clock, datetime(2021, 12, 3, tzinfo=UTC))
    assert left(engine) == {"account": 0, "endpoint": 0, "account_policy": 1, "invoice_line": 1, "call": 1}
    run(engine, store_settings, clock, datetime(2023, 3, 31, 22, 59, tzinfo=UTC))
    assert left(engine) == {"account": 0, "endpoint": 0, "account_policy": 1, "invoice_line": 1, "call": 0}
    run(engine, store_settings, clock, datetime(2023, 3, 31, 23, tzinfo=UTC))
    assert left(engine)["invoice_line"] == 0
    run(engine, store_settings, clock, datetime(2023, 4, 2, tzinfo=UTC))
    assert left(engine)["account_policy"] == 0


def test_a_phone_goes_when_its_own_account_has_been_closed_long_enough(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    """Not when some other account has, or has not."""
    clock = FixedClock(START)
    for ref in ("one", "two", "three"):
        with sessions.begin() as session:
            accounts.add_account(session, clock, ref, ref, None)
            accounts.add_endpoint(session, clock, f"phone-{ref}", ref, caller_did=None, ha1="0" * 32)
    with sessions.begin() as session:
        numbering.close_account(session, clock, "two")
    run(engine, store_settings, clock, START + timedelta(days=6 * 365))
    assert (left(engine)["account"], left(engine)["endpoint"]) == (3, 3)
    run(engine, store_settings, clock, START + timedelta(days=6 * 366))
    assert scalar(engine, "SELECT count(*) FROM endpoint WHERE name = 'phone-two'") == 0
    assert (left(engine)["account"], left(engine)["endpoint"]) == (2, 2)


def test_sealed_days_outlive_their_rows_and_receipts_them(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings, tmp_path: Path) -> None:
    """Proof is kept for 7 years, the bill of 10 April 2021 until 30 June 2028: its day can be accounted for to the end."""
    clock = FixedClock(START)
    book(engine, [booking(1, START), booking(2, START + timedelta(days=1))])
    run(engine, store_settings, clock, START + timedelta(days=3))
    run(engine, store_settings, clock, START + timedelta(days=400))
    run(engine, store_settings, clock, datetime(2028, 5, 1, tzinfo=UTC))
    days = "SELECT count(*) FROM sealed_day WHERE data_class = '{}' AND day < '2021-04-13'"
    assert scalar(engine, days.format("call_log")) == 0
    assert scalar(engine, days.format("billing")) == 2
    assert verified(engine, clock, tmp_path / "billed") == 0
    run(engine, store_settings, clock, datetime(2028, 7, 2, tzinfo=UTC))
    assert scalar(engine, days.format("billing")) == 0
    assert scalar(engine, "SELECT count(*) FROM invoice_line") == 0
    assert verified(engine, clock, tmp_path / "gone") == 0
    with sessions.begin() as session:  # the days that are still there are needed
        balances = [balance.day for balance in conservation.balances(session)]
    assert min(balances) > "2021-04-12"
