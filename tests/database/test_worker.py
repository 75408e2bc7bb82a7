"""The worker's turns: what is due is purged by one of several workers, what was missed, killed or stopped is made good, lateness opens one incident."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from retention import incidents
from retention.purge import conservation
from retention.purge.executor import LEASE
from retention.purge.planner import Item, count_held
from retention.worker import enforce, jobs, late
from retention.worker.enforce import LOOK_AGAIN, RETRY, Turn, take_turn
from retention.worker.main import run_once
from ringfence.audit import keys
from ringfence.clock import FixedClock
from ringfence.errors import Conflict, Misconfigured, Refused, Unavailable
from ringfence.models import AccountPolicy
from ringfence.models.base import DataClass
from ringfence.queries import incidents as stored_incidents
from ringfence.queries import leases, nodes, runs
from ringfence.session import make_engine
from ringfence.settings import Database, Settings
from tests.database.purging import CUTOFF, NOW, book, booking, older, scalar, spread, verified
from tests.database.workers import incidents_of, logged, worker

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)  # the first after NOW


def test_a_day_is_purged_once_and_the_next_from_its_hour_on(engine: Engine, store_settings: Settings, tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    book(engine, spread(CUTOFF - 5 * DAY, 10, 10))
    at = worker(engine, store_settings, clock)
    turns = []
    for moment in (NOW, NOW + MINUTE, MIDNIGHT - MINUTE, MIDNIGHT, MIDNIGHT + 2 * HOUR - MINUTE, MIDNIGHT + 2 * HOUR, MIDNIGHT + 3 * HOUR):
        clock.set(moment)
        turns.append(take_turn(at))
    assert turns == [Turn.DONE, Turn.NOTHING_DUE, Turn.NOTHING_DUE, Turn.NOT_YET, Turn.NOT_YET, Turn.DONE, Turn.NOTHING_DUE]
    assert older(engine, "call", CUTOFF + DAY) == 0
    assert scalar(engine, "SELECT count(*) FROM call") == 40
    assert scalar(engine, "SELECT count(*) FROM purge_run") == 2
    assert incidents_of(engine) == []
    assert verified(engine, clock, tmp_path / "bundle") == 0


def test_a_worker_that_was_away_for_days_opens_one_incident_and_closes_it(engine: Engine, store_settings: Settings) -> None:
    """It comes back at half past midnight: what was missed does not wait for the day's hour."""
    clock = FixedClock(NOW)
    book(engine, spread(CUTOFF - 5 * DAY, 10, 10))
    at = worker(engine, store_settings, clock)
    assert take_turn(at) is Turn.DONE
    clock.set(MIDNIGHT + 3 * DAY + 30 * MINUTE)
    assert take_turn(at) is Turn.DONE
    assert incidents_of(engine) == [("late", "mended", "worker")]
    assert (logged(engine, "incident.opened"), logged(engine, "incident.closed")) == (1, 1)
    assert "since 2026-11-21T00:00:00Z is not gone" in scalar(engine, "SELECT detail FROM incident")
    clock.set(MIDNIGHT + 4 * DAY + 3 * HOUR)
    assert take_turn(at) is Turn.DONE
    assert len(incidents_of(engine)) == 1


def test_a_run_that_does_not_end_opens_one_incident_whoever_looks(engine: Engine, store_settings: Settings, sessions: sessionmaker[Session]) -> None:
    clock = FixedClock(NOW)
    assert take_turn(worker(engine, store_settings, clock)) is Turn.DONE
    clock.set(MIDNIGHT + 25 * HOUR)
    with sessions.begin() as session:
        held = leases.take(session, leases.PURGE, "stuck", clock.now(), LEASE)
    assert held is not None
    others = [worker(engine, store_settings, clock) for _ in range(4)]
    threads = [Thread(target=jobs.review, args=[at]) for at in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [take_turn(at) for at in others] == [Turn.WAITING] * 4
    assert incidents_of(engine) == [("late", None, None)]
    assert "late: " in others[0].metrics.retention()
    clock.set(clock.now() + LEASE)
    assert [take_turn(at) for at in others] == [Turn.DONE, *[Turn.NOTHING_DUE] * 3]
    assert incidents_of(engine) == [("late", "mended", "worker")]
    jobs.review(others[0])
    assert others[0].metrics.retention() == ""


PROGRAM = """
import sys
import time
from datetime import datetime
from tests.database.workers import worker
from retention.worker.enforce import take_turn
from ringfence.clock import FixedClock
from ringfence.session import make_engine
from ringfence.settings import Database, Settings
home, url, now = sys.argv[1:4]
settings = Settings(home=home, database=Database(url=url))
at = worker(make_engine(settings), settings, FixedClock(datetime.fromisoformat(now)), largest=40)
batches = []
observe = at.metrics.batches.observe
def third(seconds):
    observe(seconds)
    batches.append(seconds)
    if len(batches) == 3:
        print('in the middle', flush=True)
        time.sleep(120)
at.metrics.batches.observe = third
print(take_turn(at), flush=True)
"""


def test_the_second_waits_and_takes_over_when_the_first_is_killed(engine: Engine, store_settings: Settings, tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    book(engine, spread(CUTOFF - 10 * DAY, 10, 40))
    conservation.seal(engine, clock, NOW)
    second = worker(engine, store_settings, clock)
    command = [sys.executable, "-c", PROGRAM, str(store_settings.home_path), store_settings.database_url, NOW.isoformat()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "in the middle\n"
        assert enforce.act(second) == LOOK_AGAIN
        assert first.poll() is None
        first.send_signal(signal.SIGKILL)
    assert first.returncode == -signal.SIGKILL
    left = older(engine, "call", CUTOFF)
    assert 0 < left < 400
    assert enforce.act(second) == LOOK_AGAIN  # nobody knows yet that it is dead
    assert older(engine, "call", CUTOFF) == left
    clock.set(NOW + LEASE)
    assert enforce.act(second) is None
    assert older(engine, "call", CUTOFF) == older(engine, "leg", CUTOFF) == 0
    assert scalar(engine, "SELECT count(*) FROM purge_run WHERE finished_at IS NULL") == 1
    assert second.standing().well
    assert verified(engine, clock, tmp_path / "bundle") == 0


def test_told_to_end_it_ends_within_a_batch_and_the_next_turn_goes_on(engine: Engine, store_settings: Settings, tmp_path: Path) -> None:
    clock, stop = FixedClock(NOW), Event()
    book(engine, spread(CUTOFF - 10 * DAY, 10, 40))
    at = worker(engine, store_settings, clock, stop=stop, largest=20)
    observe = at.metrics.batches.observe

    def third(seconds: float) -> None:
        observe(seconds)
        if scalar(engine, "SELECT count(*) FROM purge_receipt WHERE table_name = 'call'") == 3:
            stop.set()

    at.metrics.batches.observe = third  # type: ignore[assignment,method-assign]
    assert take_turn(at) is Turn.CONTENDED
    gone = 400 - older(engine, "call", CUTOFF)
    assert 0 < gone <= 80
    assert scalar(engine, "SELECT count(*) FROM purge_receipt WHERE table_name = 'call'") == 3
    successor = worker(engine, store_settings, clock)
    assert take_turn(successor) is Turn.DONE
    assert older(engine, "call", CUTOFF) == 0
    assert verified(engine, clock, tmp_path / "bundle") == 0


def test_what_a_stop_broke_off_does_not_wait_for_the_days_hour(engine: Engine, store_settings: Settings) -> None:
    clock, stop = FixedClock(NOW), Event()
    book(engine, spread(CUTOFF - 10 * DAY, 12, 40))
    assert take_turn(worker(engine, store_settings, clock)) is Turn.DONE
    clock.set(MIDNIGHT + 3 * HOUR)
    stop.set()
    assert take_turn(worker(engine, store_settings, clock, stop=stop)) is Turn.CONTENDED
    clock.set(MIDNIGHT + DAY + 10 * MINUTE)
    assert take_turn(worker(engine, store_settings, clock)) is Turn.DONE


def test_a_brake_is_tried_again_after_an_hour_or_when_a_person_has_settled_it(
    engine: Engine, sessions: sessionmaker[Session], store_settings: Settings
) -> None:
    clock = FixedClock(NOW)
    book(engine, [*spread(CUTOFF - 5 * DAY, 5, 5), booking(900, NOW + 2 * HOUR)])
    at = worker(engine, store_settings, clock)
    assert [take_turn(at), take_turn(at)] == [Turn.STOPPED, Turn.POSTPONED]
    clock.set(NOW + RETRY - MINUTE)
    assert take_turn(at) is Turn.POSTPONED
    clock.set(NOW + RETRY)
    assert take_turn(at) is Turn.STOPPED
    assert [row[0] for row in incidents_of(engine)] == ["future_rows"] * 2  # calls and invoice lines
    with sessions.begin() as session:
        for incident in stored_incidents.list_incidents(session):
            incidents.close(session, clock, incident.id, outcome="confirmed", by="kim")
    assert take_turn(at) is Turn.DONE
    assert scalar(engine, "SELECT count(*) FROM call") == 1
    assert {row[1:] for row in incidents_of(engine)} == {("confirmed", "kim")}


def test_a_class_that_failed_is_tried_again_after_an_hour_and_its_incident_closed(
    engine: Engine, store_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FixedClock(NOW)
    at = worker(engine, store_settings, clock)
    book(engine, spread(CUTOFF - 5 * DAY, 5, 5))

    def fails(session: Session, item: Item) -> int:
        return 1 // 0 if item.data_class is DataClass.CALL_LOG else count_held(session, item)

    with monkeypatch.context() as broken:
        broken.setattr("retention.purge.executor.count_held", fails)
        assert take_turn(at) is Turn.FAILED
    assert incidents_of(engine) == [("class_failed", None, None)]
    clock.set(NOW + RETRY - MINUTE)
    assert take_turn(at) is Turn.POSTPONED
    clock.set(NOW + RETRY)
    assert take_turn(at) is Turn.DONE
    assert incidents_of(engine) == [("class_failed", "mended", "worker")]
    assert scalar(engine, "SELECT count(*) FROM purge_run_class WHERE data_class = 'call_log'") == 2
    assert scalar(engine, "SELECT count(*) FROM purge_run_class WHERE data_class = 'billing'") == 1  # what was done is not done again


def test_every_node_removes_its_own_files(engine: Engine, store_settings: Settings, tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    first = worker(engine, store_settings, clock)
    assert [take_turn(first), take_turn(first)] == [Turn.DONE, Turn.NOTHING_DUE]
    second = worker(engine, Settings(node="n2", home=str(tmp_path / "n2"), database=store_settings.database), clock)
    assert [take_turn(second), take_turn(second)] == [Turn.DONE, Turn.NOTHING_DUE]
    assert scalar(engine, "SELECT count(*) FROM node WHERE files_purged_at IS NOT NULL") == 2
    assert scalar(engine, "SELECT count(DISTINCT data_class) FROM purge_run_class") > 10
    assert scalar(engine, "SELECT count(*) FROM purge_run_class WHERE data_class = 'call_log'") == 1
    assert scalar(engine, "SELECT count(*) FROM purge_run_class WHERE data_class = 'ledger'") == 2


def test_one_pass(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    clock = FixedClock(MIDNIGHT + MINUTE)
    book(engine, spread(CUTOFF - 5 * DAY, 5, 5))
    at = worker(engine, store_settings, clock)
    with sessions.begin() as session:
        held = leases.take(session, leases.PURGE, "another", clock.now(), LEASE)
    with pytest.raises(Conflict, match="another worker"):
        run_once(at)
    with sessions.begin() as session:
        assert held is not None
        leases.give_back(session, held, clock.now())
    at.stop.set()
    with pytest.raises(Unavailable, match="told to end"):
        run_once(at)
    at.stop.clear()
    keys.make_key(store_settings)
    assert run_once(at) is Turn.DONE
    assert older(engine, "call", CUTOFF) == 0
    assert scalar(engine, "SELECT count(*) FROM audit_checkpoint") == 1
    assert (store_settings.audit_dir / "checkpoint").exists()
    assert run_once(at) is Turn.NOTHING_DUE
    book(engine, [booking(900, clock.now() + 2 * HOUR)])
    clock.set(MIDNIGHT + DAY)
    book(engine, [booking(901, clock.now() + 2 * HOUR)])
    for _ in range(2):  # asked for, it does not wait an hour
        with pytest.raises(Refused, match="brake"):
            run_once(at)


def test_one_pass_without_a_store(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path), database=Database(url="postgresql://nobody@127.0.0.1:1/none"))
    with pytest.raises(Unavailable, match="the store is away"):
        run_once(worker(make_engine(settings), settings, FixedClock(NOW)))


def test_an_account_under_a_policy_that_nobody_knows_purges_nothing(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    with sessions.begin() as session:
        session.add(AccountPolicy(account_id=1, policy="unknown", since=NOW))
    with pytest.raises(Misconfigured):
        take_turn(worker(engine, store_settings, FixedClock(NOW)))
    assert scalar(engine, "SELECT count(*) FROM purge_run") == 0


def test_days_are_sealed_unless_the_time_is_in_doubt(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    clock = FixedClock(NOW)
    book(engine, spread(NOW - 3 * DAY, 3, 5))
    at = worker(engine, store_settings, clock)
    at.store_now = lambda _session: NOW - HOUR
    jobs.seal(at)
    assert scalar(engine, "SELECT count(*) FROM sealed_day") == 0
    at.store_now = lambda _session: NOW
    jobs.seal(at)
    assert scalar(engine, "SELECT count(*) FROM sealed_day WHERE data_class = 'call_log'") == 3
    with sessions.begin() as session:
        nodes.report_node(session, "n1", booker_seen_at=NOW)
    clock.set(NOW + 100 * DAY)
    at.store_now = lambda _session: clock.now()
    jobs.seal(at)
    assert scalar(engine, "SELECT count(*) FROM sealed_day WHERE data_class = 'call_log'") == 3


def test_the_log_is_signed_when_there_is_a_key(engine: Engine, store_settings: Settings) -> None:
    at = worker(engine, store_settings, FixedClock(NOW))
    jobs.checkpoint(at)
    assert not store_settings.audit_dir.exists()
    keys.make_key(store_settings)
    take_turn(at)
    for _ in range(2):
        jobs.checkpoint(at)
    assert scalar(engine, "SELECT count(*) FROM audit_checkpoint") == 1
    assert len(list(store_settings.audit_dir.glob("*.note"))) == 1


def test_the_heartbeat_is_in_the_store(engine: Engine, store_settings: Settings) -> None:
    clock = FixedClock(NOW)
    at = worker(engine, store_settings, clock)
    jobs.beat(at)
    clock.set(NOW + 10 * MINUTE)
    (found,) = at.standing().workers
    assert (found.node, found.seen_at, found.silent) == (store_settings.node, NOW, True)
    jobs.beat(at)
    assert at.standing().workers[0].silent is False


def test_a_job_that_failed_has_one_incident_until_it_did_its_work(engine: Engine, store_settings: Settings) -> None:
    at = worker(engine, store_settings, FixedClock(NOW))
    for _ in range(2):
        late.job_failed(at.sessions, at.clock, "seal", "ValueError")
    assert incidents_of(engine) == [("seal_failed", None, None)]
    late.job_did(at.sessions, at.clock, "checkpoint")
    assert incidents_of(engine) == [("seal_failed", None, None)]
    late.job_did(at.sessions, at.clock, "seal")
    late.job_did(at.sessions, at.clock, "seal")
    assert incidents_of(engine) == [("seal_failed", "mended", "worker")]
    with engine.connect() as connection:
        bodies = connection.execute(text("SELECT actor FROM audit_entry WHERE kind LIKE 'incident%'")).scalars().all()
    assert set(bodies) == {"worker"}


def test_a_file_that_cannot_be_removed_is_an_incident_until_it_is_gone(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    clock = FixedClock(NOW)
    at = worker(engine, store_settings, clock)
    with sessions.begin() as session:
        row = {"node": "n9", "run_id": "1", "data_class": "log", "folder": "log", "path": "messages.1", "bytes": 1, "newest_at": NOW, "made_at": NOW}
        runs.add_tombstones(session, [row])
    jobs.review(at)
    assert incidents_of(engine) == []
    clock.set(NOW + DAY + MINUTE)
    for _ in range(2):
        jobs.review(at)
    assert incidents_of(engine) == [("files_left", None, None)]
    with sessions.begin() as session:
        runs.mark_removed(session, [each.id for each in runs.open_tombstones(session, "n9")], clock.now())
    jobs.review(at)
    assert incidents_of(engine) == [("files_left", "mended", "worker")]


class Jumping(FixedClock):
    """A clock that can be set without time passing."""

    def jump(self, by: timedelta) -> None:
        self.set(self.now() + by)
        self._start += by


@pytest.mark.parametrize("by", [400 * DAY, -HOUR])
def test_a_clock_that_is_set_while_the_worker_runs_stops_it_until_a_person_has_looked(
    engine: Engine, sessions: sessionmaker[Session], store_settings: Settings, by: timedelta
) -> None:
    """The store is on the same machine, the app beats on: only the worker's own count of seconds tells."""
    clock = Jumping(NOW)
    book(engine, spread(NOW - 30 * DAY, 20, 5))
    at = worker(engine, store_settings, clock)
    assert take_turn(at) is Turn.DONE
    clock.jump(by)
    with sessions.begin() as session:
        nodes.report_node(session, store_settings.node, app_seen_at=clock.now(), booker_seen_at=clock.now(), files_purged_at=NOW - 2 * DAY)
    turns = []
    for _ in range(3):
        turns.append(take_turn(at))
        jobs.beat(at)
        jobs.seal(at)
        clock.set(clock.now() + 2 * HOUR)
    turns.append(take_turn(worker(engine, store_settings, clock), asked=True))
    assert turns == [Turn.POSTPONED] * 4
    assert [row for row in incidents_of(engine) if row[0] == "clock_jumped"] == [("clock_jumped", None, None)]
    assert (scalar(engine, "SELECT count(*) FROM call"), scalar(engine, "SELECT count(*) FROM purge_run")) == (100, 1)
    assert scalar(engine, f"SELECT count(*) FROM sealed_day WHERE day > '{NOW.date()}'") == 0
    clock.jump(-by)
    jobs.beat(at)
    with sessions.begin() as session:
        for incident in stored_incidents.list_incidents(session):
            incidents.close(session, clock, incident.id, outcome="mended", by="kim")
    assert take_turn(at) is Turn.DONE
    assert scalar(engine, "SELECT count(*) FROM call") == 100


def test_a_clock_that_is_set_little_by_little_is_none_that_jumped(engine: Engine, store_settings: Settings) -> None:
    clock = Jumping(NOW)
    at = worker(engine, store_settings, clock)
    for _ in range(100):
        clock.set(clock.now() + MINUTE)
        clock.jump(MINUTE)
        jobs.beat(at)
    assert incidents_of(engine) == []
