"""How fast a ledger is booked: `python -m bench.ledger [--engine sqlite|postgresql] [--lines 1000000] [--json]`.

Writes a ledger like real ones (80 % of calls answered at the first attempt; the rest busy, unanswered, failed over, refused, rung together), books it with
the real booker into a fresh store, and compares with a baseline of the same run: the same lines parsed as JSON and the same rows, made beforehand, put
into the same tables by the driver alone. Then counts: no call may be missing, none doubled.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from ari_app.cdr.booker import Booker
from ari_app.cdr.line import parse_line
from ari_app.cdr.main import spare_the_collector
from ari_app.cdr.record import build
from ringfence import migrate
from ringfence.clock import SystemClock
from ringfence.queries import ledger
from ringfence.queries.ledger import Booking
from ringfence.session import make_engine, make_sessions
from ringfence.settings import Database, Settings
from tests.postgres import PostgresServer

NODE = "bench"
_EPOCH = 1_795_000_000
_BATCH = 3000  # calls in one transaction of the baseline; about what the booker takes


def call_lines(number: int, chance: random.Random) -> list[str]:
    """Return the ledger lines of one call."""
    start = _EPOCH + number * 0.01
    call_id = f"{NODE}-{int(start)}.{number}"
    caller, did, mobile = f"+44770090{number % 10000:04}", f"+4420794{60000 + number % 1000:05}", f"+4477009{number % 100000:05}"
    facts = f"in:{did}:{caller}:{'prohib_passed_screen' if chance.random() < 0.1 else 'allowed_not_screened'}:carrier-a:0:"
    routed = f"ari:{number // 1000 + 1}:{number % 500 + 1}:{did}:"
    leg, other, channel = f"m:{mobile}:trunk-a", f"m:{mobile}:trunk-b", f"{number & 0xFFFFFFFF:08x}"
    draw = chance.random()
    if draw < 0.80:
        return [
            _line(call_id, 1, "trunk-a", channel, start, 4.0, 60.5, "ANSWERED", "", f"{facts}|{routed}|{leg}||16|ANSWER|60400|56500|1200|{_caller(number)}")
        ]
    if draw < 0.86:
        tried = f"^{leg}=CONGESTION=&trunk-a-{channel}~503~34"
        end = f"{facts}|{routed}|{other}|{tried}|16|ANSWER|30100|28000|900|{_caller(number)}"
        return [
            _line(call_id, 1, "trunk-a", channel, start, 0, 0.04, "CONGESTION", "", ""),
            _line(call_id, 2, "trunk-b", channel, start + 0.05, 2.0, 30.1, "ANSWERED", "2", end),
        ]
    if draw < 0.90:
        tried = f"^{leg}=BUSY=&trunk-a-{channel}~486~17"
        end = f"{facts}|{routed}||{tried}|17|BUSY|800|0||dialplan/builtin|PJSIP/carrier-a-0000000a"
        return [_line(call_id, 1, "trunk-a", channel, start, 0, 0.9, "BUSY", "", ""), _line(call_id, 2, "", "", start + 0.9, 0, 0.91, "FAILED", "2", end)]
    if draw < 0.94:
        tried = f"^{leg}=NOANSWER_RANG=&trunk-a-{channel}~487~19"
        end = f"{facts}|{routed}||{tried}|19|NOANSWER|25000||1500|dialplan/builtin|PJSIP/carrier-a-0000000a"
        return [_line(call_id, 1, "trunk-a", channel, start, 0, 25.0, "NO ANSWER", "", ""), _line(call_id, 2, "", "", start + 25, 0, 25.01, "FAILED", "2", end)]
    if draw < 0.97:
        end = f"{facts}|ari:7:::unknown_number|||1|||||dialplan/builtin|PJSIP/carrier-a-0000000a"
        return [_line(call_id, 1, "", "", start, 0, 0.003, "FAILED", "", end)]
    end = f"{facts}|{routed}|{leg}&{other}||16|ANSWER|40100|38000|700|{_caller(number)}"
    return [
        _line(call_id, 1, "trunk-a", channel, start, 2.0, 40.1, "ANSWERED", "", ""),
        _line(call_id, 2, "trunk-b", channel, start + 0.0004, 0, 2.0, "NO ANSWER", "", end),
    ]


def _caller(number: int) -> str:
    return f"PJSIP/carrier-a-{number:08x}|PJSIP/carrier-a-{number:08x}"


def _line(call_id: str, sequence: int, trunk: str, channel: str, start: float, answer: float, end: float, disposition: str, leg: str, ending: str) -> str:
    name = f"PJSIP/{trunk}-{channel}" if trunk else ""
    return (
        f'{{"linkedid":"{call_id}","sequence":{sequence},"dstchannel":"{name}","start":{start:.6f},"answer":{start + answer if answer else 0:.6f},'
        f'"end":{start + end:.6f},"disposition":"{disposition}","rf_leg":"{leg}","rf_end":"{ending}"}}\n'
    )


def write_ledger(path: Path, lines: int) -> int:
    """Write a ledger of at least `lines` lines; return how many calls it holds."""
    chance, written, calls = random.Random(20), 0, 0  # noqa: S311  the same ledger every time
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="ascii", buffering=1 << 20) as file:
        while written < lines:
            block = call_lines(calls, chance)
            file.writelines(block)
            written += len(block)
            calls += 1
    return calls


def book(settings: Settings, engine: Engine) -> dict[str, Any]:
    """Book the ledger; return seconds of wall and of this process's CPU, and the booker's counts."""
    booker = Booker(engine, node=NODE, ledger_path=settings.ledger_path, journal_dir=settings.journal_dir, clock=SystemClock())
    wall, cpu = time.perf_counter(), time.process_time()
    while booker.step() == 0.0:
        pass
    booker.step()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "stats": booker.stats}


def baseline(settings: Settings, engine: Engine) -> float:
    """Return the seconds that parsing the lines as JSON and inserting prepared rows takes."""
    wall = 0.0
    sessions = make_sessions(engine)
    for lines, bookings in _prepared(settings.ledger_path):
        began = time.perf_counter()
        for line in lines:
            json.loads(line)
        with sessions.begin() as session:
            ledger.insert_bookings(session, bookings)
        wall += time.perf_counter() - began
    return wall


def _prepared(path: Path) -> Iterator[tuple[list[bytes], list[Booking]]]:
    lines: list[bytes] = []
    bookings: list[Booking] = []
    records = []
    with path.open("rb") as file:
        for line in file:
            lines.append(line)
            records.append(parse_line(line[:-1], NODE))
            if records[-1].rf_end:
                bookings.append(build(records, NODE))
                records = []
            if len(bookings) == _BATCH:
                yield lines, bookings
                lines, bookings = [], []
    yield lines, bookings


def measure(engine_name: str, lines: int, home: Path, server: PostgresServer | None) -> dict[str, Any]:
    """Return the figures of one engine."""

    def fresh(name: str) -> tuple[Settings, Engine]:
        url = server.fresh_database(name) if server else f"sqlite:///{home / name}.db"
        settings = Settings(node=NODE, home=str(home), database=Database(url=url))
        engine = make_engine(settings)
        migrate.upgrade(engine)
        return settings, engine

    settings, engine = fresh("booked")
    calls = write_ledger(settings.ledger_path, lines)
    done = book(settings, engine)
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT count(*) FROM call")).scalar_one()
        distinct = connection.execute(text("SELECT count(*) FROM (SELECT DISTINCT call_id FROM call) AS ids")).scalar_one()
    engine.dispose()
    bare_settings, bare_engine = fresh("bare")
    bare = baseline(bare_settings, bare_engine)
    bare_engine.dispose()
    stats = done["stats"]
    return {
        "engine": engine_name,
        "lines": stats.lines,
        "calls": calls,
        "seconds": round(done["wall"], 2),
        "lines_per_second": round(stats.lines / done["wall"]),
        "cpu_ms_per_call": round(done["cpu"] * 1000 / calls, 4),
        "baseline_lines_per_second": round(stats.lines / bare),
        "ratio_to_baseline": round(done["wall"] / bare, 2),
        "missing": calls - distinct,
        "duplicate": stored - distinct,
        "set_aside": stats.set_aside,
    }


def main() -> int:
    """Run the benchmark; 1 when a call is missing or doubled."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), action="append", help="default: both")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args()
    spare_the_collector()  # as the booker's process does
    results = []
    for name in options.engine or ["sqlite", "postgresql"]:
        server = PostgresServer() if name == "postgresql" else None
        try:
            if server:
                server.start()
            with tempfile.TemporaryDirectory(prefix="rf-bench-") as home:
                results.append(measure(name, options.lines, Path(home), server))
        finally:
            if server:
                server.remove()
    if options.as_json:
        print(json.dumps(results, indent=2))
    else:
        for result in results:
            print("  ".join(f"{key}={value}" for key, value in result.items()))
    return 1 if any(result["missing"] or result["duplicate"] or result["set_aside"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
