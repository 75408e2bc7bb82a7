"""Coverage of 999 addresses over a million numbers that can call: how long the command takes, the counts, the first hundred gaps and all of them.

    python -m bench.coverage [--engine sqlite|postgresql] [--numbers 1000000] [--json]

Each number has a phone that presents it; nine in ten have an accepted address, the others none. Each figure is the median of three;
`_cpu` is this process's own time, which on SQLite is all of it. `command_s` is `ringfence emergency coverage`, from the start of its process to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, insert, text
from sqlalchemy.orm import Session

from bench.plan import number_at, store
from retention.emergency import coverage as covering
from ringfence import logs
from ringfence.clock import SystemClock
from ringfence.emergency import AddressState, EmergencyAddress, LocationClass
from ringfence.models import Account, Did, EmergencyRecord, Endpoint
from ringfence.queries.plan import load_endpoints
from ringfence.values import AccountState, DidState, NumberClass

_ROUNDS = 3
_AT_ONCE = 20_000
_ADDRESS = EmergencyAddress(name="Example", premises="104", thoroughfare="King Street", locality="Sheffield", postcode="S9 5AD")


def fill(engine: Engine, count: int) -> None:
    """Write `count` numbers, each with a phone, nine in ten with an accepted address."""
    now = SystemClock().now() - timedelta(days=2)
    did = {"number_class": NumberClass.GEOGRAPHIC, "state": DidState.ACTIVE, "account_id": 1, "created_at": now}
    phone = {"account_id": 1, "ha1": "0" * 32, "enabled": True, "receive_only": False, "created_at": now}
    fields = {field: getattr(_ADDRESS, field) for field in _ADDRESS.__struct_fields__}
    at = {"state_at": now, "made_at": now}
    record = {**fields, "version": 1, "account_id": 1, "location": LocationClass.FIXED, "state": AddressState.ACCEPTED, "standing": False, **at}
    with Session(engine) as session:
        session.add(Account(ref="bench", name="Bench Ltd", state=AccountState.ACTIVE, concurrency_limit=None, created_at=now))
        session.flush()
        for begin in range(0, count, _AT_ONCE):
            numbers = [(index, number_at(index)) for index in range(begin, min(begin + _AT_ONCE, count))]
            session.execute(insert(Did), [{**did, "e164": number} for _, number in numbers])
            session.execute(insert(Endpoint), [{**phone, "name": f"phone-{index}", "caller_did": number} for index, number in numbers])
            held = [(index, number) for index, number in numbers if index % 10]
            session.execute(insert(EmergencyRecord), [{**record, "id": f"{index:032x}", "e164": number} for index, number in held])
        session.commit()
        if engine.dialect.name == "postgresql":
            session.connection(execution_options={"isolation_level": "AUTOCOMMIT"}).execute(text("VACUUM ANALYZE"))


def measure(engine: Engine) -> dict[str, Any]:
    """Time the counts, the gaps, and reading every phone with what is held of its number."""
    now = SystemClock().now()
    figures: dict[str, Any] = {}
    with Session(engine) as session:
        counts = covering.coverage(session)
        figures |= {"can_call": counts.can_call, "gaps": counts.gaps}
        figures |= _timed("command_s", lambda: _command(engine))
        figures |= _timed("survey_s", lambda: covering.survey(session, now, limit=100))
        figures |= _timed("coverage_s", lambda: covering.coverage(session))
        figures |= _timed("all_gaps_s", lambda: sum(1 for _ in covering.gaps(session, now)))
        figures |= _timed("first_gaps_s", lambda: list(covering.gaps(session, now, limit=100)))
        figures |= _timed("plan_endpoints_s", lambda: sum(1 for _ in load_endpoints(session)))
    return figures


def _command(engine: Engine) -> None:
    """Run the command on the store."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "RINGFENCE_HOME": home, "RINGFENCE_DATABASE__URL": engine.url.render_as_string(hide_password=False)}
        command = [sys.executable, "-c", "import cli; cli.main()", "emergency", "coverage"]
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "number(s) can call" in said


def _timed(name: str, act: Callable[[], object]) -> dict[str, Any]:
    rounds, cpu = [], []
    for _ in range(_ROUNDS):
        began, worked = time.perf_counter(), time.process_time()
        act()
        rounds.append(round(time.perf_counter() - began, 3))
        cpu.append(round(time.process_time() - worked, 3))
    return {name: statistics.median(rounds), f"{name}_rounds": rounds, f"{name}_cpu": statistics.median(cpu)}


def main() -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.coverage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--numbers", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="print JSON on one line")
    options = parser.parse_args()
    logs.configure("warning")
    with store(options.engine) as engine:
        print(f"writing {options.numbers} numbers …", file=sys.stderr)
        fill(engine, options.numbers)
        figures = {"engine": options.engine, "numbers": options.numbers, **measure(engine)}
    print(json.dumps(figures, indent=None if options.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
