"""The worker as a process: a store that goes away and comes back, jobs that fail, SIGTERM in the middle of a purge, health pages, one pass."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event
from structlog.testing import capture_logs

from ari_app.private.ports import free_ports
from retention.purge import conservation
from retention.worker import enforce, jobs
from retention.worker.job import Context, Job
from retention.worker.perform import TRY_AGAIN, Performer
from ringfence.clock import FixedClock, SystemClock
from ringfence.session import make_engine
from ringfence.settings import Database, Settings
from tests.database.purging import CUTOFF, NOW, book, older, scalar, spread, verified
from tests.database.workers import incidents_of, worker
from tests.postgres import PostgresServer

DAY = timedelta(days=1)
RETENTION = Job("retention", timedelta(minutes=15), enforce.act)


@pytest.fixture
def away(engine: Engine, engine_kind: str, store_settings: Settings, request: pytest.FixtureRequest) -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """Two functions: one takes the store away, the other brings it back as it was."""
    if engine_kind == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        yield lambda: server.stop(immediate=True), server.start
        server.start()
        return
    here = store_settings.home_path
    elsewhere = here.with_name(f"{here.name}-away")

    def take() -> None:
        engine.dispose()
        here.rename(elsewhere)

    def bring() -> None:
        elsewhere.rename(here)

    yield take, bring
    if elsewhere.exists():
        elsewhere.rename(here)


def test_a_store_that_goes_away_in_the_middle_is_waited_for(
    engine: Engine, store_settings: Settings, away: tuple[Callable[[], None], Callable[[], None]], tmp_path: Path
) -> None:
    take, bring = away
    clock = FixedClock(NOW)
    book(engine, spread(CUTOFF - 10 * DAY, 10, 30))
    conservation.seal(engine, clock, NOW)
    at = worker(engine, store_settings, clock, largest=20)
    observe, seen = at.metrics.batches.observe, []

    def third(seconds: float) -> None:
        observe(seconds)
        seen.append(seconds)
        if len(seen) == 3:
            take()

    at.metrics.batches.observe = third  # type: ignore[assignment,method-assign]
    performer = Performer(at)
    beat = Job("heartbeat", jobs.HEARTBEAT, jobs.beat)
    with capture_logs() as said:
        assert performer.perform(RETENTION) == TRY_AGAIN
        assert [performer.perform(beat), performer.perform(RETENTION)] == [TRY_AGAIN, TRY_AGAIN]
        assert at.metrics.store() == "the store is away"
        bring()
        assert performer.perform(beat) is None
        assert performer.perform(RETENTION) is None
    assert at.metrics.store() == ""
    assert [each["event"] for each in said if each["event"] in {"store_away", "store_back"}] == ["store_away", "store_back"]
    assert older(engine, "call", CUTOFF) == older(engine, "leg", CUTOFF) == 0
    assert {row[1] for row in incidents_of(engine)} <= {"mended"}
    assert at.standing().well
    assert verified(engine, clock, tmp_path / "bundle") == 0


def test_a_job_that_fails_opens_one_incident_and_the_others_go_on(engine: Engine, store_settings: Settings) -> None:
    at = worker(engine, store_settings, FixedClock(NOW))
    broken = [True]

    def act(_at: Context) -> None:
        if broken[0]:
            raise ValueError

    performer, seal = Performer(at), Job("seal", timedelta(hours=1), act)
    assert [performer.perform(seal), performer.perform(seal)] == [None, None]
    assert performer.perform(RETENTION) is None
    assert incidents_of(engine) == [("seal_failed", None, None)]
    broken[0] = False
    assert performer.perform(seal) is None
    assert incidents_of(engine) == [("seal_failed", "mended", "worker")]
    turns = [at.metrics.registry.get_sample_value("ringfence_worker_jobs_total", {"job": "seal", "outcome": outcome}) for outcome in ("failed", "done")]
    assert turns == [2, 1]


def test_a_successor_closes_the_incident_of_a_job_that_failed_before(engine: Engine, store_settings: Settings) -> None:
    at = worker(engine, store_settings, FixedClock(NOW))
    Performer(at).perform(Job("seal", timedelta(hours=1), lambda _at: 1 / 0))  # type: ignore[arg-type,return-value]
    Performer(at).perform(Job("seal", timedelta(hours=1), jobs.seal))
    assert incidents_of(engine) == [("seal_failed", "mended", "worker")]


SMALL_BATCHES = """
import sys
import cli
from retention.worker import main
make = main.make_context
def small(*arguments):
    at = make(*arguments)
    at.largest = 3
    return at
main.make_context = small
sys.exit(cli.run(['worker']))
"""


class Process:
    """A worker of its own on a test's store."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        (self.port,) = free_ports(1)
        config = folder / "worker.toml"
        config.write_text(f'home = "{settings.home}"\n[database]\nurl = "{settings.database.url}"\n[health]\nworker = {self.port}\n', encoding="utf-8")
        self._environment = {**os.environ, "RINGFENCE_CONFIG": str(config)}

    @contextmanager
    def running(self, program: str) -> Iterator[subprocess.Popen[bytes]]:
        with subprocess.Popen([sys.executable, "-c", program], env=self._environment, stderr=subprocess.PIPE) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def once(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cli", "worker", "--once"]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False, timeout=60)

    def answers(self) -> bool:
        """Tell whether its health pages are there yet."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def wait(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_sigterm_in_the_middle_of_a_purge(engine: Engine, store_settings: Settings, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    book(engine, spread(now - 400 * DAY, 20, 75))
    process = Process(store_settings, tmp_path)
    with process.running(SMALL_BATCHES) as running:
        wait(lambda: scalar(engine, "SELECT count(*) FROM purge_receipt") >= 4)
        status, body = process.get("/healthz")
        assert (status, json.loads(body)) == (200, {"ok": True, "checks": {"clock": "ok"}})
        assert b"ringfence_retention_running 1.0" in process.get("/metrics")[1]
        assert json.loads(process.get("/readyz")[1])["checks"] == {"clock": "ok", "store": "ok", "retention": "ok"}
        told = time.monotonic()
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=60)
        took = time.monotonic() - told
    assert running.returncode == 0, said.decode()
    assert b"worker_down" in said
    assert took < 15  # a batch, and not the rest of the purge
    assert 0 < scalar(engine, "SELECT count(*) FROM call") < 1500
    assert scalar(engine, "SELECT count(*) FROM purge_run WHERE finished_at IS NULL") == 0
    assert scalar(engine, "SELECT reason FROM purge_run_class WHERE data_class = 'call_log'") == "stopped"
    assert scalar(engine, "SELECT count(*) FROM node WHERE worker_seen_at IS NOT NULL") == 1
    done = process.once()
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert scalar(engine, "SELECT count(*) FROM call") == 0
    assert verified(engine, FixedClock(SystemClock().now()), tmp_path / "bundle") == 0


PATIENT = """
import sys
from datetime import timedelta
import cli
from retention.worker import perform
perform.TRY_AGAIN = timedelta(seconds=0.2)
sys.exit(cli.run(['worker']))
"""


def test_a_worker_that_starts_while_the_server_is_away_waits_for_it(postgres_server: PostgresServer, postgres_store: str, tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path), database=Database(url=postgres_store))
    process = Process(settings, tmp_path)
    postgres_server.stop()
    try:
        with process.running(PATIENT) as running:
            wait(lambda: process.answers() and process.get("/readyz")[0] == 503)
            assert process.get("/healthz")[0] == 200
            postgres_server.start()
            wait(lambda: process.get("/readyz")[0] == 200)
            running.send_signal(signal.SIGTERM)
            _, said = running.communicate(timeout=60)
    finally:
        postgres_server.start()
    assert running.returncode == 0
    events = [json.loads(line)["event"] for line in said.decode().splitlines()]
    assert [event for event in events if event.startswith("store_")] == ["store_away_at_start", "store_away", "store_back"]


def test_a_statement_that_fails_on_a_store_that_answers_is_an_incident_and_no_outage(engine: Engine, store_settings: Settings) -> None:
    def act(at: Context) -> None:
        with at.engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1 FROM no_such_table_here" if engine.dialect.name == "sqlite" else "SELECT pg_advisory_lock(1)")

    at = worker(engine, store_settings, FixedClock(NOW))
    with engine.connect() as holder:
        if engine.dialect.name == "postgresql":
            holder.exec_driver_sql("SELECT pg_advisory_lock(1)")
            at.engine = make_engine(store_settings)

            @event.listens_for(at.engine, "begin")
            def _impatient(connection: Connection) -> None:
                connection.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")

        assert Performer(at).perform(Job("seal", timedelta(hours=1), act)) is None
    assert at.metrics.store() == ""
    assert incidents_of(engine) == [("seal_failed", None, None)]
    at.engine.dispose()
