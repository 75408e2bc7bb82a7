"""SIGKILL inside batches, at random, again and again: everything is still there or has a receipt, nothing went early, nothing late, nothing twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from retention import holds
from retention.purge import conservation
from ringfence.clock import FixedClock
from ringfence.errors import Conflict
from ringfence.queries.conservation import begin_snapshot
from ringfence.queries.holds import Scope
from ringfence.settings import Settings
from tests.database.purging import CUTOFF, NOW, book, older, purge, scalar, spread, verified

DUE, STAY, KILLS = 40, 10, 6  # days, days, times
PER_DAY = 60
PROGRAM = """
import sys
from datetime import datetime, timedelta
from retention.purge.executor import Purge
from ringfence.clock import FixedClock
from ringfence.session import make_engine
from ringfence.settings import Database, Settings
home, url, now = sys.argv[1:4]
settings = Settings(home=home, database=Database(url=url))
clock = FixedClock(datetime.fromisoformat(now))
print('on', flush=True)
purge = Purge(make_engine(settings), settings, clock, policy='recommended', holder=sys.argv[4], store_now=lambda session: clock.now(), largest=40)
while purge.run() is None:
    pass
print('done', flush=True)
"""


def test_killed_again_and_again(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings, tmp_path: Path) -> None:
    clock, chance = FixedClock(NOW), random.Random()  # noqa: S311  another moment each time
    book(engine, spread(CUTOFF - timedelta(days=DUE), DUE + STAY, PER_DAY, account=1))
    with sessions.begin() as session:
        hold = Scope(since=CUTOFF - timedelta(days=20), until=CUTOFF - timedelta(days=19))
        holds.place(session, clock, hold, reason="a claim", owner="kim", review_by=(NOW + timedelta(days=90)).date())
    conservation.seal(engine, clock, NOW)
    kills, rounds, left = 0, 0, DUE * PER_DAY
    while kills < KILLS and rounds < 40:
        rounds += 1
        command = [sys.executable, "-c", PROGRAM, str(store_settings.home_path), store_settings.database_url, NOW.isoformat(), "worker"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout is not None
            worker.stdout.readline()
            until = time.monotonic() + 60
            while older(engine, "call", CUTOFF) == left and worker.poll() is None and time.monotonic() < until:
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.05))
            if worker.poll() is None:
                worker.send_signal(signal.SIGKILL)
        kills += worker.returncode == -signal.SIGKILL
        left = older(engine, "call", CUTOFF)
        _nothing_is_unaccounted_for(engine, sessions)
        if worker.returncode == 0:
            break
    assert kills >= 2
    finished = purge(engine, store_settings, clock, holder="worker").run()
    assert finished is not None
    assert older(engine, "call", CUTOFF) == older(engine, "leg", CUTOFF) == PER_DAY  # of the day that is held
    assert scalar(engine, "SELECT count(*) FROM call") == PER_DAY * (1 + STAY)
    assert scalar(engine, "SELECT sum(calls) FROM call_aggregate") == PER_DAY * (DUE - 1)
    _nothing_is_unaccounted_for(engine, sessions)
    assert 0 < scalar(engine, "SELECT count(*) FROM purge_run WHERE finished_at IS NULL") <= kills
    assert verified(engine, clock, tmp_path / "bundle") == 0


def _nothing_is_unaccounted_for(engine: Engine, sessions: sessionmaker[Session]) -> None:
    with sessions() as session:
        begin_snapshot(session)
        assert conservation.imbalances(conservation.balances(session)) == []
    with engine.connect() as connection:
        went = connection.execute(text("SELECT coalesce(sum(rows), 0), max(newest_at) FROM purge_receipt WHERE table_name = 'call'")).one()
    assert scalar(engine, "SELECT count(*) FROM call") + went[0] == PER_DAY * (DUE + STAY)
    assert went[1] is None or str(went[1])[:19] < str(CUTOFF)[:19]


def test_two_workers_never_work_at_once(engine: Engine, store_settings: Settings, tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    book(engine, spread(CUTOFF - timedelta(days=10), 10, 20))
    answers: list[object] = []
    second = purge(engine, store_settings, clock, holder="second")
    first = purge(engine, store_settings, clock, holder="first", largest=20, progress=lambda _progress: answers.append(second.run()))
    report = first.run()
    assert report is not None
    assert len(answers) >= 10
    assert set(answers) == {None}
    assert verified(engine, clock, tmp_path / "bundle") == 0


def test_a_worker_that_lost_its_lease_writes_nothing_more(engine: Engine, store_settings: Settings, tmp_path: Path) -> None:
    """It slept longer than its lease; the other one takes over in the middle, and finishes."""
    clock = FixedClock(NOW)
    book(engine, spread(CUTOFF - timedelta(days=10), 10, 20))
    second = purge(engine, store_settings, clock, holder="second")
    taken: list[object] = []

    def sleep(_progress: object) -> None:
        clock.set(clock.now() + timedelta(minutes=10))
        taken.append(second.run())

    stale = purge(engine, store_settings, clock, holder="first", largest=50, progress=sleep)
    with pytest.raises(Conflict, match="taken over"):
        stale.run()
    assert len(taken) == 1
    assert taken[0] is not None
    assert scalar(engine, "SELECT count(*) FROM call") == 0
    assert scalar(engine, "SELECT sum(rows) FROM purge_receipt") == 400
    assert verified(engine, clock, tmp_path / "bundle") == 0
