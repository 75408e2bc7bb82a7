from __future__ import annotations

import psycopg
import pytest

from ringfence.session import make_engine
from ringfence.settings import Database, Settings
from tests.postgres import PostgresServer


def test_databases_are_separate_and_survive_an_outage(postgres_server: PostgresServer) -> None:
    url = postgres_server.fresh_database("outage")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    postgres_server.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    postgres_server.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchall() == [(42,)]
    with psycopg.connect(postgres_server.fresh_database("outage")) as connection:
        assert connection.execute("SELECT to_regclass('kept')").fetchall() == [(None,)]


def test_the_project_reaches_it_through_its_settings(postgres_server: PostgresServer) -> None:
    engine = make_engine(Settings(database=Database(url=postgres_server.fresh_database("settings"))))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW timezone").scalar() == "UTC"
    engine.dispose()
