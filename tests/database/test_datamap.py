"""The data map against what a migrated store really holds, on both engines."""

from __future__ import annotations

from sqlalchemy import Engine, inspect, text

from retention.datamap import strays
from ringfence.models import Base


def stored(engine: Engine) -> dict[str, list[str]]:
    found = inspect(engine)
    return {table: [column["name"] for column in found.get_columns(table)] for table in found.get_table_names()}


def test_a_migrated_store_holds_nothing_that_is_not_mapped(engine: Engine) -> None:
    tables = stored(engine)
    assert {"call", "account", "alembic_version"} <= set(tables)
    assert strays(tables, Base.metadata) == []


def test_a_table_made_by_hand_is_found(blank_engine: Engine) -> None:
    with blank_engine.begin() as connection:
        connection.execute(text("CREATE TABLE call_backup (caller VARCHAR(41))"))
    assert [problem.place for problem in strays(stored(blank_engine), Base.metadata)] == ["call_backup"]
