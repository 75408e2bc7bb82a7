"""Dying in the middle: inside this process at any statement or commit, and a process of its own by SIGKILL."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, event

from ringfence.settings import Settings

_PROGRAM = """
import sys
from datetime import datetime
from threading import Event
from retention.purge.executor import Purge
from ringfence.clock import FixedClock
from ringfence.session import make_engine
from ringfence.settings import Database, Settings
home, url, now, classes = sys.argv[1:]
settings = Settings(home=home, database=Database(url=url))
clock = FixedClock(datetime.fromisoformat(now))
purge = Purge(make_engine(settings), settings, clock, policy='recommended', holder='worker', store_now=lambda session: clock.now(), largest=2)
print('on', flush=True)
purge.run(only=classes.split(','))
"""


class Killed(BaseException):
    """The process died here. No handler of ordinary errors catches it, and nothing that tidies up reaches the store any more."""


class Reaper:
    """Kills at one of an engine's next statements or commits."""

    def __init__(self, engine: Engine) -> None:
        self.seen = 0  # statements and commits
        self._left: int | None = None
        self._dead = False
        event.listen(engine, "before_cursor_execute", self._look)
        event.listen(engine, "commit", self._look)
        self._engine = engine

    @contextmanager
    def killing(self, after: int) -> Iterator[None]:
        """Die at the so-manieth statement or commit of the body; what was open is rolled back, as the store does for a process that is gone."""
        self._left = after
        try:
            yield
        except Killed:
            pass
        finally:
            self._left, self._dead = None, False
            self._engine.dispose()

    def _look(self, *_: Any) -> None:
        self.seen += 1
        if self._left is not None:
            self._left -= 1
            self._dead = self._dead or self._left <= 0
        if self._dead:
            raise Killed


def kill_a_worker(settings: Settings, now: datetime, classes: list[str], chance: random.Random) -> bool:
    """Start a worker of its own and kill it somewhere in its run; False when it was done before."""
    command = [sys.executable, "-c", _PROGRAM, str(settings.home_path), settings.database_url, now.isoformat(), ",".join(classes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stderr is not None
        assert worker.stdout.readline() == "on\n", worker.stderr.read()
        time.sleep(chance.uniform(0.05, 0.6))
        if worker.poll() is None:
            worker.send_signal(signal.SIGKILL)
        worker.communicate()
    return worker.returncode == -signal.SIGKILL
