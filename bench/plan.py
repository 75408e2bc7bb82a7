"""A routing plan of a million numbers: loading it, what it weighs, looking numbers up, deciding, and how soon a change is in force.

    python -m bench.plan [--engine sqlite|postgresql] [--dids 1000000] [--json]

Each figure stands beside the plain thing in the same run: rows read by the bare driver into a dict of tuples.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert, text
from sqlalchemy.orm import Session

from ari_app.plan import Follower, LoadedPlan, Snapshot
from dialplan.call import CallFacts
from dialplan.routing import Question, Rules, decide
from ringfence import logs, migrate
from ringfence.clock import SystemClock
from ringfence.models import Account, Did, Target, Trunk
from ringfence.queries.plan import ChangeKind, bump
from ringfence.session import make_engine
from ringfence.settings import Database, Settings
from ringfence.values import AccountState, CallerIdMode, DidState, Direction, NumberClass, NumberFormat, TargetKind, Transport, TrunkDirection
from tests.postgres import PostgresServer

_CHANGES = 20
_LOOKUPS = 200_000


def fill(engine: Engine, count: int) -> None:
    """Write `count` numbers, each with one target, and a trunk."""
    now = SystemClock().now()
    with Session(engine) as session:
        session.add(Account(ref="bench", name="Bench Ltd", state=AccountState.ACTIVE, concurrency_limit=None, created_at=now))
        session.add(
            Trunk(
                name="mobile",
                host="127.0.0.3",
                port=5060,
                transport=Transport.UDP,
                match=[],
                register=False,
                direction=TrunkDirection.OUTBOUND,
                enabled=True,
                priority=10,
                weight=1,
                caller_id_mode=CallerIdMode.PASS,
                number_format=NumberFormat.E164_PLUS,
                causes={},
                created_at=now,
            )
        )
        session.flush()
        did = {"number_class": NumberClass.GEOGRAPHIC, "state": DidState.ACTIVE, "account_id": 1, "created_at": now}
        target = {"position": 1, "kind": TargetKind.MOBILE, "ring_seconds": 25}
        for begin in range(0, count, 50_000):
            numbers = [number_at(index) for index in range(begin, min(begin + 50_000, count))]
            session.execute(insert(Did), [{**did, "e164": number} for number in numbers])
            session.execute(
                insert(Target), [{**target, "did": number, "address": f"+447700{900_000 + position % 1000}"} for position, number in enumerate(numbers)]
            )
        bump(session, SystemClock(), [(ChangeKind.ALL, "*")])
        session.commit()


def number_at(index: int) -> str:
    """Return a made-up number; a benchmark needs more of them than Ofcom's drama ranges hold, and none is ever dialled."""
    return f"+4420{70000000 + index:08}"


def resident_mb() -> float:
    """Return this process's resident memory in megabytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


def load_plain(engine: Engine) -> dict[str, tuple[Any, ...]]:
    """Read the same rows by the bare driver into a dict of tuples."""
    statement = (
        "SELECT d.e164, d.account_id, d.state, t.position, t.kind, t.address, t.ring_seconds FROM did d LEFT JOIN target t ON t.did = d.e164 ORDER BY d.e164"
    )
    with contextlib.closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute(statement)
        return {row[0]: row[1:] for row in iter(cursor.fetchone, None)}


def measure_load(engine: Engine) -> tuple[dict[str, Any], Snapshot]:
    """Time loading, plain and ours, and weigh the plan."""
    began = time.perf_counter()
    plain = load_plain(engine)
    plain_seconds = time.perf_counter() - began
    del plain
    gc.collect()
    before = resident_mb()
    began = time.perf_counter()
    with Session(engine) as session:
        loaded = LoadedPlan(session)
    seconds = time.perf_counter() - began
    snapshot = Snapshot()
    snapshot.replace(loaded)
    gc.collect()
    return {"load_s": seconds, "plain_load_s": plain_seconds, "load_ratio": seconds / plain_seconds, "memory_mb": resident_mb() - before}, snapshot


def measure_lookup(snapshot: Snapshot, count: int) -> dict[str, float]:
    """Time look-ups beside a plain dict's, and whole decisions."""
    step = max(count // _LOOKUPS, 1)
    numbers = [number_at(index) for index in range(0, count, step)]
    plain = snapshot.dids
    began = time.perf_counter()
    for number in numbers:
        plain[number]
    plain_us = (time.perf_counter() - began) / len(numbers) * 1e6
    began = time.perf_counter()
    for number in numbers:
        snapshot.did(number)
    ours_us = (time.perf_counter() - began) / len(numbers) * 1e6
    rules = Rules()
    questions = [
        Question(CallFacts(Direction.INBOUND, number, "+441174960100", "allowed", "carrier", 0, ""), seed=f"bench-1.{index}")
        for index, number in enumerate(numbers[:20_000])
    ]
    began = time.perf_counter()
    for question in questions:
        decide(question, snapshot, rules)
    decide_us = (time.perf_counter() - began) / len(questions) * 1e6
    return {"lookup_us": ours_us, "dict_lookup_us": plain_us, "lookup_ratio": ours_us / plain_us, "decide_us": decide_us}


async def measure_change(engine: Engine) -> dict[str, float]:
    """Time from a committed change to its being in force, with the whole plan followed."""
    snapshot = Snapshot()
    follower = Follower(engine, snapshot, SystemClock())
    task = asyncio.create_task(follower.run())
    await follower.loaded.wait()
    delays = []
    for turn in range(_CHANGES):
        number = number_at(turn)

        def change(number: str = number, turn: int = turn) -> None:
            with Session(engine) as session:
                bump(session, SystemClock(), [(ChangeKind.DID, number)])
                session.execute(text("UPDATE target SET address = :address WHERE did = :did"), {"address": f"+447700{900_100 + turn}", "did": number})
                session.commit()

        await asyncio.to_thread(change)
        began = time.perf_counter()
        while snapshot.dids[number].targets[0].address != f"+447700{900_100 + turn}":  # noqa: ASYNC110  it must look from outside
            await asyncio.sleep(0.001)
        delays.append((time.perf_counter() - began) * 1000)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return {"change_visible_ms_median": statistics.median(delays), "change_visible_ms_max": max(delays)}


@contextlib.contextmanager
def store(engine_name: str) -> Iterator[Engine]:
    """Give an empty store of this release's schema."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rf-bench-"))
        url = ""
        if engine_name == "postgresql":
            server = PostgresServer()
            stack.callback(server.remove)
            server.start()
            url = server.fresh_database("plan")
        engine = make_engine(Settings(home=folder, database=Database(url=url)))
        stack.callback(engine.dispose)
        migrate.upgrade(engine)
        yield engine


def main() -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.plan", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--dids", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="print JSON on one line")
    options = parser.parse_args()
    logs.configure("warning")
    with store(options.engine) as engine:
        print(f"writing {options.dids} numbers …", file=sys.stderr)
        fill(engine, options.dids)
        figures: dict[str, Any] = {"engine": options.engine, "dids": options.dids}
        loaded, snapshot = measure_load(engine)
        figures |= loaded | measure_lookup(snapshot, options.dids)
        del snapshot
        gc.collect()
        figures |= asyncio.run(measure_change(engine))
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in figures.items()}
    print(json.dumps(rounded, indent=None if options.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
