"""SQLite after deletions: the log is written back and cut to nothing, and freed pages are given back. On PostgreSQL nothing of this is needed.

Without the explicit checkpoint one steady writer keeps the log from ever being written back: it grew to 44 GB on a store of 2 GB. And a deleted number
stays readable in the log until it is cut; freed pages themselves are overwritten (`secure_delete`).
"""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event

from sqlalchemy import Engine

from retention.purge.pace import Gaps
from ringfence.queries import sqlite_file

LARGEST_LOG = 1 << 30  # bytes; a run that cannot keep the log below this stops
CHECKPOINT_AT = 128 << 20
_PAGES = 2_000  # given back at once, at most
_HOLD = 0.1  # seconds that giving back some may keep others from writing
# A page costs a walk along the list of free pages, so millions cost hours; what is left is overwritten already, and is used again or given back later.
_GIVING_BACK = 30.0  # seconds in one run
_TRIES = 20
_PAUSE = 0.05


class Care:
    """Looks after one SQLite file while rows are deleted."""

    def __init__(self, engine: Engine, stop: Event) -> None:
        self._engine = engine
        self._stop = stop
        self._gaps = Gaps()
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._log = Path(f"{engine.url.database}-wal")
        self.largest_log = 0  # bytes seen

    def after_batch(self, seconds: float) -> bool:
        """Write the log back when it has grown, and let others write; `seconds` is how long the batch kept them waiting.

        False when somebody's reading keeps the log from being cut and it is too large to go on.
        """
        if not self.is_sqlite:
            return True
        began = time.monotonic()
        small = self._keep_small()
        self._gaps.after(seconds + time.monotonic() - began, self._stop)
        return small

    def _keep_small(self) -> bool:
        size = self._size()
        self.largest_log = max(self.largest_log, size)
        if size < CHECKPOINT_AT or self.checkpoint(tries=1):
            return True
        return self._size() < LARGEST_LOG or self.checkpoint()

    def checkpoint(self, tries: int = _TRIES) -> bool:
        """Write the log back and cut it to nothing; False when readers did not let it happen."""
        for attempt in range(tries):
            if sqlite_file.checkpoint(self._engine):
                return True
            if attempt + 1 < tries:
                time.sleep(_PAUSE)
        return False

    def finish(self) -> bool:
        """Give freed pages back, a few at a time and for half a minute at most, then cut the log; False when that has to wait for readers."""
        if not self.is_sqlite:
            return True
        pages, ends = _PAGES, time.monotonic() + _GIVING_BACK
        while (began := time.monotonic()) < ends and not self._stop.is_set() and sqlite_file.free_pages(self._engine):
            if not sqlite_file.give_back(self._engine, pages):
                break
            took = time.monotonic() - began
            if not self.after_batch(took):
                return False
            pages = int(min(max(pages * _HOLD / max(took, 0.001), 10), _PAGES))
        return self.checkpoint()

    def _size(self) -> int:
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0
