"""The booker's process: killed with -9 in random places, stopped by SIGTERM, and never two at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

from sqlalchemy import Engine

from ringfence.settings import Settings
from tests.database.ledgers import NODE, append, calls_of, stored_ids

PROGRAM = "from ari_app.cdr.main import run; from ringfence.settings import load; run(load())"
CALLS = 1500


def start(settings: Settings) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "RINGFENCE_NODE": NODE,
        "RINGFENCE_HOME": settings.home,
        "RINGFENCE_DATABASE__URL": settings.database.url,
        "RINGFENCE_HEALTH__LEDGER": "0",
    }
    return subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def takes_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(caught & 1 << signal.SIGTERM - 1)


def test_killed_in_random_places_it_books_every_call_once(engine: Engine, store_settings: Settings) -> None:
    chance = random.Random(7)  # noqa: S311
    lines = calls_of(0, CALLS, interleaved=True)
    path = store_settings.ledger_path

    def write() -> None:
        for at in range(0, len(lines), 25):
            append(path, lines[at : at + 25])
            if at % 500 == 475:
                path.rename(path.with_name(f"ledger.json.{at:06}"))
            time.sleep(0.06)

    writer = Thread(target=write)
    writer.start()
    kills = 0
    while writer.is_alive() or kills < 4:
        one = start(store_settings)
        before = len(stored_ids(engine))
        deadline = time.monotonic() + 60
        while len(stored_ids(engine)) == before and writer.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.3))
        one.kill()
        one.communicate()
        kills += 1
    writer.join()
    last = start(store_settings)
    deadline = time.monotonic() + 60
    while len(stored_ids(engine)) < CALLS and time.monotonic() < deadline:
        time.sleep(0.05)
    while not takes_sigterm(last.pid) and time.monotonic() < deadline:
        time.sleep(0.05)  # everything may have been booked before; it must be up to be stopped
    last.terminate()
    errors = last.communicate(timeout=60)[1]
    assert last.returncode == 0, errors
    stored = stored_ids(engine)
    assert (len(stored), len(set(stored)), len(set(lines)), kills >= 4) == (CALLS, CALLS, len(lines), True)


def test_a_second_booker_of_the_node_is_refused(engine: Engine, store_settings: Settings) -> None:
    append(store_settings.ledger_path, calls_of(0, 1))
    first = start(store_settings)
    try:
        deadline = time.monotonic() + 60
        while not stored_ids(engine) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (Path(store_settings.home) / "booker.lock").exists()
        second = start(store_settings)
        assert "another booker of this node runs" in second.communicate(timeout=60)[1]
        assert second.returncode != 0
    finally:
        first.terminate()
        first.communicate(timeout=60)
    assert first.returncode == 0
