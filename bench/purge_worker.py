"""One purge of one store, in a process of its own that holds nothing else: what `bench.purge` measures."""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

from retention.purge.executor import Progress, Purge
from ringfence.clock import SystemClock
from ringfence.models.base import DataClass
from ringfence.session import make_engine
from ringfence.settings import Database, Settings


def worker(url: str, home: str) -> None:
    """Purge a store in this process and print the figures."""
    engine = make_engine(Settings(home=home, database=Database(url=url)))
    batches: list[float] = []
    done: list[Progress] = []

    def note(progress: Progress) -> None:
        batches.append(progress.seconds)
        done.append(progress)

    it = Purge(engine, Settings(home=home), SystemClock(), policy="recommended", holder="bench", progress=note)
    began = time.perf_counter()
    report = it.run(only=[DataClass.CALL_LOG])
    seconds = time.perf_counter() - began
    assert report is not None
    assert not report.stopped, report.stopped
    tenth = max(len(batches) // 10, 1)
    head = batches[tenth : 2 * tenth] if len(batches) > 20 else batches[:tenth]  # the first batches find their size
    result = {
        "seconds": seconds,
        "rows": report.rows,
        "outcome": next(result.outcome for result in report.results if result.data_class == "call_log"),
        "batches": len(batches),
        "longest_transaction_ms": max(batches) * 1000,
        "median_transaction_ms": statistics.median(batches) * 1000,
        "last_to_first_batch_ratio": _rate(done[-tenth:], batches[-tenth:], done[-tenth - 1]) / _rate(done[tenth : 2 * tenth], head, done[tenth - 1]),
        "peak_rss_mb": int(Path("/proc/self/status").read_text(encoding="ascii").split("VmHWM:")[1].split()[0]) / 1024,
        "months_dropped": len(report.months),
    }
    print(json.dumps(result))


def _rate(done: list[Progress], batches: list[float], before: Progress) -> float:
    """Return the seconds a row over some batches."""
    return sum(batches) / max(done[-1].done - before.done, 1)


if __name__ == "__main__":
    worker(*sys.argv[1:3])
