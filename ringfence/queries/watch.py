"""Waiting for the routing plan to change, without asking for it again and again.

PostgreSQL tells (LISTEN), SQLite is asked for `PRAGMA data_version`, which reads no page and costs a microsecond.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import psycopg
from sqlalchemy import Engine

from ringfence.queries.plan import CHANNEL

_POLL = 0.1  # seconds between looks at SQLite's data version
_BEAT = 1.0  # at most this long without yielding, so that a caller can see to other things and a lost NOTIFY does no harm


def ticks(engine: Engine) -> Iterator[bool]:
    """Yield for ever: True when the store changed, False about once a second when it did not.

    Raises:
        sqlalchemy.exc.DBAPIError, psycopg.Error, sqlite3.Error: the store is away; begin again later.
    """
    if engine.dialect.name == "postgresql":
        yield from _listen(engine)
    else:
        yield from _poll(engine)


def _listen(engine: Engine) -> Iterator[bool]:
    raw = engine.raw_connection()
    connection = raw.driver_connection
    if not isinstance(connection, psycopg.Connection):
        raise TypeError("LISTEN needs psycopg")
    raw.detach()
    with closing(connection):
        connection.rollback()
        connection.autocommit = True
        connection.execute(f"LISTEN {CHANNEL}".encode())
        yield True
        while True:
            told = False
            for _ in connection.notifies(timeout=_BEAT, stop_after=1):
                told = True
            yield told


def _poll(engine: Engine) -> Iterator[bool]:
    raw = engine.raw_connection()
    raw.detach()
    with closing(raw):
        cursor = raw.cursor()
        seen = None
        last = 0.0
        while True:
            version = cursor.execute("PRAGMA data_version").fetchone()[0]
            now = time.monotonic()
            if version != seen:
                seen = version
                last = now
                yield True
            elif now - last >= _BEAT:
                last = now
                yield False
            else:
                time.sleep(_POLL)
