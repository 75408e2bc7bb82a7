"""The plan in memory follows the store, on SQLite and on PostgreSQL, and holds while the store is away."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from ari_app.plan import Follower, LoadedPlan, Snapshot
from ringfence import migrate
from ringfence.clock import FixedClock, SystemClock
from ringfence.queries import accounts, numbering, plan
from ringfence.queries.plan import Change
from ringfence.session import make_engine, make_sessions
from ringfence.settings import Database, Settings
from ringfence.values import E164, AccountState, NumberClass, PlanTarget, TargetKind
from tests.postgres import PostgresServer

CLOCK = FixedClock(datetime(2026, 11, 1, tzinfo=UTC))
DIDS = tuple(E164(f"+44207946000{digit}") for digit in range(5))
MOBILE = PlanTarget(1, TargetKind.MOBILE, "+447700900123", 25)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path, postgres_server: PostgresServer) -> Iterator[Engine]:
    url = postgres_server.fresh_database("follower") if request.param == "postgresql" else ""
    engine = make_engine(Settings(home=str(tmp_path), database=Database(url=url)))
    migrate.upgrade(engine)
    with make_sessions(engine).begin() as session:
        accounts.add_account(session, CLOCK, "acme", "Acme Ltd", None)
    add(make_sessions(engine), DIDS[0])
    yield engine
    engine.dispose()


def add(sessions: sessionmaker[Session], e164: E164, target: PlanTarget = MOBILE) -> None:
    with sessions.begin() as session:
        numbering.add_did(session, CLOCK, e164, NumberClass.GEOGRAPHIC)
        numbering.assign_did(session, CLOCK, e164, "acme")
        numbering.replace_targets(session, CLOCK, e164, [target])


def follow(
    engine: Engine, story: Callable[[Follower, Snapshot], Coroutine[Any, Any, None]], changed: Callable[[Sequence[Change] | None], None] | None = None
) -> None:
    async def whole() -> None:
        snapshot = Snapshot()
        follower = Follower(engine, snapshot, SystemClock(), changed)
        running = asyncio.create_task(follower.run())
        try:
            await asyncio.wait_for(follower.loaded.wait(), 60)
            await story(follower, snapshot)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(whole())
    for thread in threading.enumerate():
        if thread.name == "plan":
            thread.join(5)  # it looks up once a second


async def seen_after(condition: Callable[[], object], seconds: float = 30.0) -> float:
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  what it waits for comes from another thread
            await asyncio.sleep(0.005)
    return time.monotonic() - began


def test_a_change_is_in_use_within_a_second(engine: Engine) -> None:
    sessions, took = make_sessions(engine), []

    async def story(follower: Follower, snapshot: Snapshot) -> None:
        assert set(snapshot.dids) == {DIDS[0]}
        for did in DIDS[1:]:
            await asyncio.to_thread(add, sessions, did)
            took.append(await seen_after(lambda did=did: snapshot.did(did)))  # type: ignore[misc]
        with sessions.begin() as session:
            account = accounts.set_account_state(session, CLOCK, "acme", AccountState.SUSPENDED)
            number = account.id
        took.append(await seen_after(lambda: getattr(snapshot.account(number), "state", None) is AccountState.SUSPENDED))
        with sessions.begin() as session:
            numbering.release_dids(session, CLOCK, [DIDS[1]])
        took.append(await seen_after(lambda: getattr(snapshot.did(DIDS[1]), "account_id", None) is None))
        assert follower.age is not None
        assert follower.age < 5

    follow(engine, story)
    assert statistics.median(took) < 1, took  # one of them may meet a machine that is busy


def test_it_tells_what_changed_and_first_that_all_did(engine: Engine) -> None:
    told: list[Sequence[Change] | None] = []

    async def story(_follower: Follower, snapshot: Snapshot) -> None:
        await asyncio.to_thread(add, make_sessions(engine), DIDS[1])
        await seen_after(lambda: snapshot.did(DIDS[1]))

    follow(engine, story, told.append)
    assert told[0] is None
    assert {key for changes in told[1:] for _, key in changes or ()} == {DIDS[1]}


def test_following_many_changes_at_once_ends_with_the_stores_plan(engine: Engine) -> None:
    sessions = make_sessions(engine)

    def change() -> None:
        for number in range(30):
            target = PlanTarget(1, TargetKind.MOBILE, f"+4477009001{number:02}", 25)
            with sessions.begin() as session:
                numbering.replace_targets(session, CLOCK, DIDS[0], [target])

    async def story(_follower: Follower, snapshot: Snapshot) -> None:
        await asyncio.to_thread(change)
        with sessions() as session:
            newest = plan.current_version(session)
            stored = LoadedPlan(session)
        await seen_after(lambda: snapshot.version == newest)
        assert (snapshot.dids, snapshot.accounts, snapshot.trunks) == (stored.dids, stored.accounts, stored.trunks)

    follow(engine, story)


def test_while_the_store_is_away_the_last_plan_holds_and_then_it_catches_up(tmp_path: Path, postgres_server: PostgresServer) -> None:
    engine = make_engine(Settings(home=str(tmp_path), database=Database(url=postgres_server.fresh_database("follower"))))
    other = make_engine(Settings(home=str(tmp_path), database=Database(url=postgres_server.url("follower"))))
    migrate.upgrade(engine)
    with make_sessions(engine).begin() as session:
        accounts.add_account(session, CLOCK, "acme", "Acme Ltd", None)
    add(make_sessions(engine), DIDS[0])

    async def story(follower: Follower, snapshot: Snapshot) -> None:
        await asyncio.to_thread(postgres_server.stop)
        await asyncio.sleep(1.5)
        assert snapshot.did(DIDS[0]) is not None
        assert follower.age is not None
        assert follower.age > 1
        await asyncio.to_thread(postgres_server.start)
        await asyncio.to_thread(add, make_sessions(other), DIDS[1])
        await seen_after(lambda: snapshot.did(DIDS[1]))
        assert follower.age < 5

    try:
        follow(engine, story)
    finally:
        postgres_server.start()
        engine.dispose()
        other.dispose()
