"""Stores for the database tests: each test that asks for one runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from ringfence import migrate
from ringfence.queries.partitions import SCHEMA
from ringfence.session import make_engine, make_sessions
from ringfence.settings import Database, Settings
from tests.postgres import PostgresServer

KINDS = ("sqlite", "postgresql")
MANY = 80  # parts of tables by month; more of them, which tests of many years leave, would slow every question about calls
_WRITTEN = f"""SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace IN ('public'::regnamespace, '{SCHEMA}'::regnamespace)
    AND pg_relation_size(oid) > 0 AND relname NOT IN ('alembic_version', 'plan_state')"""


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, copied for each test."""
    home = tmp_path_factory.mktemp("template")
    _migrate(Settings(home=str(home)))
    return home / "ringfence.db"


@pytest.fixture(scope="session")
def postgres_store(postgres_server: PostgresServer) -> str:
    """The URL of a migrated database, emptied for each test."""
    url = postgres_server.fresh_database("store")
    _migrate(Settings(database=Database(url=url)))
    return url


@pytest.fixture(params=KINDS)
def engine_kind(request: pytest.FixtureRequest) -> str:
    """Which engine the test runs on."""
    return str(request.param)


@pytest.fixture
def store_settings(engine_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """Settings whose store is migrated and holds nothing but the plan's first version."""
    if engine_kind == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "ringfence.db")
        return Settings(home=str(tmp_path))
    settings = Settings(home=str(tmp_path), database=Database(url=request.getfixturevalue("postgres_store")))
    engine = make_engine(settings)
    _empty(engine)
    engine.dispose()
    return settings


@pytest.fixture
def engine(store_settings: Settings) -> Iterator[Engine]:
    """An engine on a migrated, empty store."""
    engine = make_engine(store_settings)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    """The factory of sessions on that store."""
    return make_sessions(engine)


@pytest.fixture
def session(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """One session; what it does not commit is rolled back."""
    with sessions() as session:
        yield session


@pytest.fixture
def blank_engine(engine_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine on a store without any table."""
    url = ""
    if engine_kind == "postgresql":
        fresh: Callable[[str], str] = request.getfixturevalue("postgres_server").fresh_database
        url = fresh("blank")
    engine = make_engine(Settings(home=str(tmp_path), database=Database(url=url)))
    yield engine
    engine.dispose()


def _migrate(settings: Settings) -> None:
    engine = make_engine(settings)
    migrate.upgrade(engine)
    engine.dispose()


def _empty(engine: Engine) -> None:
    """Empty every table in which something was written: a file of no length holds no row, and to empty all, with their months, takes much longer."""
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '20s'"))  # a test that left a session open fails the next one; it does not hang it
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # the audit log refuses to be emptied otherwise
        months = connection.scalars(text(f"SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = '{SCHEMA}'::regnamespace")).all()
        if len(months) > MANY:
            connection.execute(text(f"DROP TABLE {', '.join(months)}"))
        written = connection.scalars(text(_WRITTEN)).all()
        if written:
            connection.execute(text(f"TRUNCATE {', '.join(written)} CASCADE"))
        connection.execute(text("SELECT setval(seqrelid, seqstart, false) FROM pg_sequence"))
        connection.execute(text("UPDATE plan_state SET version = 0"))
