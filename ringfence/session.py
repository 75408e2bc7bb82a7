"""Engines and sessions: how a process reaches the store, on SQLite or PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.orm import Session, sessionmaker

from ringfence.errors import Misconfigured
from ringfence.settings import Settings, read_secret


def make_engine(settings: Settings) -> Engine:
    """Return the engine for the settings' store.

    SQLite runs in WAL mode with foreign keys on, `synchronous=NORMAL` for durability across process deaths, and freed pages
    overwritten (`secure_delete`). PostgreSQL sessions run in UTC.

    Raises:
        Misconfigured: the URL names another engine, or carries a password.
    """
    url = make_url(settings.database_url)
    if url.password is not None:
        raise Misconfigured("the database URL carries a password", hint="put it in a file of mode 600 and set database.password_file")
    if url.get_backend_name() == "sqlite":
        if url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, connect_args={"timeout": 30})
        event.listen(engine, "connect", _prepare_sqlite)
        return engine
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
        if settings.database.password_file:
            url = url.set(password=read_secret(Path(settings.database.password_file)))
        return create_engine(url, pool_pre_ping=True, connect_args={"options": "-c timezone=UTC", "connect_timeout": 5})
    raise Misconfigured(f"cannot use a {url.get_backend_name()} database", hint="use sqlite:///… or postgresql://…")


def make_sessions(engine: Engine) -> sessionmaker[Session]:
    """Return the factory of sessions on `engine`."""
    return sessionmaker(engine, expire_on_commit=False)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    if not cursor.execute("PRAGMA page_count").fetchone()[0]:
        cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")  # only a new file takes it; then pages that a purge frees can be given back
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "secure_delete=ON", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
