"""Purging ten million calls beside one raw DELETE: `python -m bench.purge [--engine sqlite|postgresql] [--rows 10000000] [--legs 1] [--json]`.

A store with 1.2 times as many calls as are due, each with its legs, 200 legal holds, and days that were sealed before. It is purged by the real executor in
a process of its own, while another process inserts 50 calls a second; on PostgreSQL with an old snapshot open. Then a copy of the same store is emptied by
one DELETE a table. PostgreSQL runs with its own defaults for durability.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from multiprocessing.synchronize import Event as ProcessEvent
from pathlib import Path
from threading import Event, Thread
from typing import Any

from sqlalchemy import Engine, text

from retention import holds
from retention.calendar import Period, cutoff
from retention.purge import conservation
from ringfence import migrate
from ringfence.clock import SystemClock
from ringfence.queries.holds import Scope
from ringfence.queries.partitions import ensure_months
from ringfence.session import make_engine, make_sessions
from ringfence.settings import Database, Settings
from tests.postgres import PostgresServer

DURABLE = ("max_connections=20", "shared_buffers=1GB", "timezone=UTC", "max_wal_size=8GB")
_ACCOUNTS = 20_000
_PER_SECOND = 50
_HOLDS = 200
_CALL = """INSERT INTO call (call_id, started_at, node, linkedid, direction, account_id, did, caller, caller_withheld, called, inbound_trunk,
    forwarded_to, trunk, ringing_at, answered_at, ended_at, end_estimated, billable_seconds, disposition, forwarding_status, hangup_cause,
    hung_up_by, routed_by, plan_version)
    SELECT {id}, {at}, 'n1', {id}, 'inbound', {account}, {did}, {caller}, {no}, {did}, 'carrier-a', {mobile}, 'trunk-a', {at}, {at}, {at}, {no}, 56,
    'answered', 'forwarded', 16, 'caller', 'ari', 1 FROM {numbers}"""
_LEG = """INSERT INTO leg (call_id, started_at, number, attempt, kind, address, trunk, dialled_at, answered_at, ended_at, disposition, hangup_cause)
    SELECT {id}, {at}, {leg}, 1, 'mobile', {mobile}, 'trunk-a', {at}, {at}, {at}, 'answered', 16 FROM {numbers}"""
_STEP = 1_000_000


def _words(engine: Engine, begins: datetime, seconds: float, first: int, last: int) -> dict[str, str]:
    """Return the SQL of a call's columns, made from its number `n`."""
    text_of = {name: f"'{prefix}' || (n % {span} + {first_one})" for name, prefix, span, first_one in _NUMBERS}
    epoch = f"{begins.timestamp():.0f} + n * {seconds:.6f}"
    common = {"account": f"n % {_ACCOUNTS} + 1", **text_of}
    if engine.dialect.name == "postgresql":
        numbers = f"generate_series({first}, {last}) AS n"
        return {**common, "id": f"'n1-' || ({epoch})::bigint || '.' || n", "at": f"to_timestamp({epoch})", "no": "false", "numbers": numbers}
    moment = f"strftime('%Y-%m-%d %H:%M:%f000', {epoch}, 'unixepoch')"
    numbers = f"(WITH RECURSIVE r(n) AS (VALUES({first}) UNION ALL SELECT n + 1 FROM r WHERE n < {last}) SELECT n FROM r)"  # noqa: S608  numbers of our own
    return {**common, "id": f"'n1-' || cast({epoch} AS INTEGER) || '.' || n", "at": moment, "no": "0", "numbers": numbers}


_NUMBERS = (("did", "+44207", 20_000, 9_460_000), ("caller", "+44117", 100_000, 4_960_000), ("mobile", "+44770", 50_000, 900_000))


def seed(engine: Engine, now: datetime, due: int, legs: int) -> None:
    """Fill a store: `due` calls in the year before the window, a fifth as many in it; seal their days and place holds."""
    until = cutoff(now, Period(months=12))
    year = timedelta(days=365)
    for begins, span, count, offset in ((until - year, year, due, 0), (until, now - until - timedelta(hours=1), due // 5, due)):
        with make_sessions(engine).begin() as session:
            ensure_months(session, [begins + span * part / 24 for part in range(25)])
        each = span.total_seconds() / count
        for first in range(offset, offset + count, _STEP):
            last = min(first + _STEP, offset + count) - 1
            words = _words(engine, begins - timedelta(seconds=each * offset), each, first, last)
            with engine.begin() as connection:
                connection.exec_driver_sql(_CALL.format(**words).replace("%", "%%") if engine.dialect.name == "postgresql" else _CALL.format(**words))
                for leg in range(1, legs + 1):
                    statement = _LEG.format(**words, leg=leg)
                    connection.exec_driver_sql(statement.replace("%", "%%") if engine.dialect.name == "postgresql" else statement)
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("CHECKPOINT")
    conservation.seal(engine, SystemClock(), now)


def place_holds(engine: Engine, today: date) -> None:
    """Place 200 holds, half on accounts and half on numbers."""
    for number in range(_HOLDS):
        scope = Scope(account_id=number * 97 + 1) if number % 2 else Scope(number=f"+44207{9_460_000 + number * 89}")
        with make_sessions(engine).begin() as session:
            holds.place(session, SystemClock(), scope, reason="bench", owner="bench", review_by=today + timedelta(days=90))


def insert_steadily(url: str, home: str, stop: ProcessEvent, results: Any) -> None:
    """Insert a call 50 times a second and report how long each took, in milliseconds."""
    engine = make_engine(Settings(home=home, database=Database(url=url)))
    clock, number, took = SystemClock(), 0, []
    while not stop.is_set():
        words = _words(engine, clock.now(), 0.0, number + 10**9, number + 10**9)
        statement = _CALL.format(**words)
        began = time.perf_counter()
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.exec_driver_sql(statement.replace("%", "%%") if engine.dialect.name == "postgresql" else statement)
        took.append((time.perf_counter() - began) * 1000)
        number += 1
        stop.wait(max(1 / _PER_SECOND - (time.perf_counter() - began), 0))
    results.put(took)


@contextmanager
def disturbed(url: str, home: str, engine: Engine) -> Iterator[dict[str, float]]:
    """Keep inserting, keep an old snapshot open on PostgreSQL, and watch SQLite's log, while the body runs."""
    stop, results = multiprocessing.Event(), multiprocessing.Queue()  # type: ignore[var-annotated]
    inserter = multiprocessing.Process(target=insert_steadily, args=(url, home, stop, results))
    figures: dict[str, float] = {"wal_peak_mb": 0.0}
    ended = Event()
    watcher = Thread(target=_watch, args=(Path(f"{engine.url.database}-wal"), ended, figures))
    snapshot = engine.connect()
    if engine.dialect.name == "postgresql":
        snapshot.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        snapshot.exec_driver_sql("SELECT count(*) FROM account")
        position = snapshot.exec_driver_sql("SELECT pg_current_wal_lsn()").scalar_one()
    inserter.start()
    watcher.start()
    try:
        yield figures
    finally:
        stop.set()
        took = results.get(timeout=60)
        inserter.join(30)
        ended.set()
        watcher.join()
        if engine.dialect.name == "postgresql":
            written = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), %s)"
            figures["wal_written_mb"] = float(snapshot.exec_driver_sql(written, (position,)).scalar_one()) / 1e6
        snapshot.close()
        took.sort()
        figures |= {"insert_p99_ms": took[int(len(took) * 0.99)], "insert_max_ms": took[-1], "inserts": len(took)}


def _watch(log: Path, ended: Event, figures: dict[str, float]) -> None:
    while not ended.wait(0.02):
        if log.exists():
            figures["wal_peak_mb"] = max(figures["wal_peak_mb"], log.stat().st_size / 1e6)


def raw(engine: Engine, until: datetime) -> float:
    """Return the seconds that one DELETE a table takes."""
    began = time.perf_counter()
    with engine.begin() as connection:
        for table in ("leg", "call"):
            connection.execute(text(f"DELETE FROM {table} WHERE started_at < :until"), {"until": _plain(engine, until)})  # noqa: S608
    return time.perf_counter() - began


def _plain(engine: Engine, moment: datetime) -> Any:
    return moment if engine.dialect.name == "postgresql" else moment.replace(tzinfo=None).isoformat(" ", "microseconds")


def measure(name: str, due: int, legs: int, home: Path, server: PostgresServer | None) -> dict[str, Any]:
    """Return the figures of one engine."""
    url = server.fresh_database("purged") if server else f"sqlite:///{home / 'purged.db'}"
    settings = Settings(home=str(home), database=Database(url=url))
    engine = make_engine(settings)
    migrate.upgrade(engine)
    now = datetime.now(UTC)  # a benchmark's own
    seed(engine, now, due, legs)
    engine.dispose()
    copy = f"sqlite:///{home / 'raw.db'}"
    if server:
        with make_engine(Settings(database=Database(url=server.url()))).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("CREATE DATABASE raw TEMPLATE purged STRATEGY file_copy")
        copy = server.url("raw")
    else:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(home / "purged.db", home / "raw.db")
    place_holds(engine, now.date())
    with disturbed(url, str(home), engine) as figures:
        done = subprocess.run([sys.executable, "-m", "bench.purge_worker", url, str(home)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
    result = json.loads(done.stdout.strip().splitlines()[-1])
    other = make_engine(Settings(database=Database(url=copy)))
    result["raw_seconds"] = raw(other, cutoff(now, Period(months=12)))
    other.dispose()
    left = "SELECT count(*) FROM call WHERE started_at < :until"
    with engine.connect() as connection:
        result["left_held"] = connection.execute(text(left), {"until": _plain(engine, cutoff(now, Period(months=12)))}).scalar_one()
    engine.dispose()
    result["ratio"] = result["seconds"] / result["raw_seconds"]
    return {"engine": name, "calls": due * 6 // 5, "due": due, "legs": legs, "holds": _HOLDS, **figures, **result}


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), action="append", help="default: both")
    parser.add_argument("--rows", type=int, default=10_000_000, help="calls that are due")
    parser.add_argument("--legs", type=int, default=1, help="legs of each call")
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args()
    results = []
    for name in options.engine or ["sqlite", "postgresql"]:
        server = PostgresServer(DURABLE) if name == "postgresql" else None
        try:
            if server:
                server.start()
            with tempfile.TemporaryDirectory(prefix="rf-bench-") as home:
                results.append(measure(name, options.rows, options.legs, Path(home), server))
        finally:
            if server:
                server.remove()
    for result in results:
        rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in result.items()}
        print(json.dumps(rounded, indent=2) if options.as_json else "  ".join(f"{key}={value}" for key, value in rounded.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
