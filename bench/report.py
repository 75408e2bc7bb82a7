"""The retention report over twelve million calls: `python -m bench.report [--engine sqlite|postgresql] [--rows 12000000] [--legs 1] [--json]`.

The store of `bench.purge`: five sixths of its calls are past their window, every day is sealed, 200 legal holds are open. The report is gathered and written
as it is, with all rows there, and again after a purge, with a receipt for each batch. In between stand what the same store answers to a plain `SELECT
count(*)` and to a count by day. At the end the evidence is exported, and `ringfence-verify` checks the bundle in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import secrets
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from bench.purge import DURABLE, place_holds, seed
from retention.evidence import write_bundle
from retention.export import export
from retention.purge.executor import Purge
from retention.report.formats import Format, render
from retention.report.gather import gather
from retention.report.span import parse_span
from ringfence import migrate
from ringfence.audit.notes import Signer
from ringfence.clock import SystemClock
from ringfence.models.base import DataClass
from ringfence.session import make_engine, make_sessions
from ringfence.settings import Database, Settings
from tests.postgres import PostgresServer

_BY_DAY = {
    "sqlite": "SELECT substr(started_at, 1, 10), count(*) FROM {table} GROUP BY 1",
    "postgresql": "SELECT date_trunc('day', started_at), count(*) FROM {table} GROUP BY 1",
}


def reported(engine: Engine, settings: Settings) -> dict[str, Any]:
    """Return the seconds that a report takes: each section, all of them, and each format."""
    clock = SystemClock()
    sections: dict[str, float] = {}
    began = time.perf_counter()
    with make_sessions(engine)() as session:
        report = gather(session, settings, clock, parse_span(None, clock.now()), timed=lambda key, seconds: sections.update({key: seconds}))
    gathered = time.perf_counter() - began
    formats = {}
    for form in Format:
        began = time.perf_counter()
        render(report, form)
        formats[form.value] = time.perf_counter() - began
    calls = next(row for row in report.table("completeness", "classes").rows if row["data_class"] == DataClass.CALL_LOG.value)
    return {
        "seconds": gathered + formats["html"],
        "gather_seconds": gathered,
        "sections": sections,
        "formats": formats,
        "past_the_window": calls["over"],
        "held": calls["held"],
        "exceptions": len(report.table("exceptions", "exceptions").rows),
    }


def raw(engine: Engine) -> dict[str, float]:
    """Return the seconds of a plain count, and of a count by day, of calls and legs."""
    found = {}
    for name, statement in (("raw_count_seconds", "SELECT count(*) FROM {table}"), ("raw_by_day_seconds", _BY_DAY[engine.dialect.name])):
        began = time.perf_counter()
        with engine.connect() as connection:
            for table in ("call", "leg"):
                connection.execute(text(statement.format(table=table))).all()
        found[name] = time.perf_counter() - began
    return found


def proved(engine: Engine, home: Path) -> dict[str, Any]:
    """Return the seconds that a bundle of the whole log takes to be made and to be checked."""
    signer = Signer("example.com/bench", secrets.token_bytes(32))
    bundle = home / "evidence"
    began = time.perf_counter()
    made = export(engine, SystemClock(), signer, "recommended", save=lambda files: write_bundle(files, bundle))
    exported = time.perf_counter() - began
    began = time.perf_counter()
    command = [sys.executable, "-m", "retention.verify.main", str(bundle), "--key", signer.verifier_key]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    verified = time.perf_counter() - began
    if checked.returncode:
        raise RuntimeError(checked.stdout + checked.stderr)
    return {"entries": made.size, "export_seconds": exported, "verify_seconds": verified}


def measure(name: str, rows: int, legs: int, home: Path, server: PostgresServer | None) -> dict[str, Any]:
    """Return the figures of one engine."""
    url = server.fresh_database("reported") if server else f"sqlite:///{home / 'reported.db'}"
    settings = Settings(home=str(home), database=Database(url=url))
    engine = make_engine(settings)
    migrate.upgrade(engine)
    now = datetime.now(UTC)  # a benchmark's own
    seed(engine, now, rows * 5 // 6, legs)
    place_holds(engine, now.date())
    before = reported(engine, settings)
    plain = raw(engine)
    began = time.perf_counter()
    done = Purge(engine, settings, SystemClock(), policy="recommended", holder="bench").run(only=[DataClass.CALL_LOG])
    assert done is not None
    assert not done.stopped, done.stopped
    purged = time.perf_counter() - began
    after = reported(engine, settings)
    proof = proved(engine, home)
    engine.dispose()
    return {
        "engine": name,
        "rows": rows,
        "legs": legs,
        "purge_seconds": purged,
        "receipts": done.receipts,
        "seconds": before["seconds"],
        "seconds_after_purge": after["seconds"],
        **plain,
        "ratio": before["seconds"] / (plain["raw_count_seconds"] + plain["raw_by_day_seconds"]),
        **proof,
        "before": before,
        "after": after,
    }


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), action="append", help="default: both")
    parser.add_argument("--rows", type=int, default=12_000_000, help="calls in the store")
    parser.add_argument("--legs", type=int, default=1, help="legs of each call")
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args()
    for name in options.engine or ["sqlite", "postgresql"]:
        server = PostgresServer(DURABLE) if name == "postgresql" else None
        try:
            if server:
                server.start()
            with tempfile.TemporaryDirectory(prefix="rf-bench-") as home:
                result = _rounded(measure(name, options.rows, options.legs, Path(home), server))
        finally:
            if server:
                server.remove()
        print(json.dumps(result, indent=2) if options.as_json else "  ".join(f"{key}={value}" for key, value in result.items()))
    return 0


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return round(value, 3) if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
