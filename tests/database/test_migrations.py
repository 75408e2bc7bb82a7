"""The migrations make exactly the models' schema, on both engines, and can go back."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text
from sqlalchemy.schema import SchemaItem

from ringfence import migrate
from ringfence.errors import Conflict, Unavailable
from ringfence.models import Base, DataClass
from ringfence.session import make_engine
from ringfence.settings import Database, Settings


def _differences(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": partial(_is_of, engine.dialect.name)})
        return list(compare_metadata(context, Base.metadata))


def _is_of(dialect: str, thing: SchemaItem, _name: str | None, kind: str, reflected: bool, _other: SchemaItem | None) -> bool:
    """Leave out an index that the models want on the other engine only."""
    wanted = getattr(thing, "_ddl_if", None) if kind == "index" and not reflected else None
    return wanted is None or wanted.dialect == dialect


def test_an_upgraded_store_has_the_schema_of_the_models(blank_engine: Engine) -> None:
    assert _differences(blank_engine) != []
    migrate.upgrade(blank_engine)
    assert _differences(blank_engine) == []
    assert migrate.current(blank_engine) == migrate.head()


def test_down_leaves_nothing_and_up_works_again(blank_engine: Engine) -> None:
    migrate.upgrade(blank_engine)
    migrate.downgrade(blank_engine, "base")
    assert inspect(blank_engine).get_table_names() == ["alembic_version"]
    assert migrate.current(blank_engine) is None
    migrate.upgrade(blank_engine)
    assert _differences(blank_engine) == []


def test_counts_of_whole_days_stay_when_hours_come(blank_engine: Engine) -> None:
    migrate.upgrade(blank_engine, "0006")
    with blank_engine.begin() as connection:
        rows = "('2025-03-01', 'a', 'mobile', 7), ('2025-03-01', 'b', 'mobile', 5)"
        connection.execute(text(f"INSERT INTO call_aggregate (day, trunk, destination, calls) VALUES {rows}"))
    migrate.upgrade(blank_engine)
    with blank_engine.begin() as connection:
        counted = connection.execute(text("SELECT hour, trunk, calls, answered FROM call_aggregate ORDER BY trunk")).all()
        assert [tuple(row) for row in counted] == [(-1, "a", 7, None), (-1, "b", 5, None)]
        connection.execute(text("INSERT INTO call_aggregate (day, hour, trunk, destination, calls) VALUES ('2025-03-01', 9, 'a', 'mobile', 6)"))
    migrate.downgrade(blank_engine, "0006")
    with blank_engine.connect() as connection:
        counted = connection.execute(text("SELECT day, trunk, calls FROM call_aggregate ORDER BY trunk")).all()
        assert [(str(row[0]), *row[1:]) for row in counted] == [("2025-03-01", "a", 13), ("2025-03-01", "b", 5)]


def test_the_plan_starts_at_version_0(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.execute(text("SELECT id, version FROM plan_state")).all() == [(1, 0)]


def test_check_names_the_next_step(blank_engine: Engine) -> None:
    with pytest.raises(Conflict) as empty:
        migrate.check(blank_engine)
    assert empty.value.hint == "run 'ringfence db upgrade'"
    migrate.upgrade(blank_engine)
    migrate.check(blank_engine)
    with blank_engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match="newer than this release"):
        migrate.check(blank_engine)


def test_a_store_that_is_away_is_said_to_be_away(tmp_path: Path) -> None:
    away = make_engine(Settings(database=Database(url="postgresql://nobody@127.0.0.1:1/none")))
    with pytest.raises(Unavailable):
        migrate.current(away)
    with pytest.raises(Unavailable):
        migrate.upgrade(make_engine(Settings(database=Database(url=f"sqlite:///{tmp_path}"))))


def test_upgrades_at_once_from_several_processes_are_one(blank_engine: Engine) -> None:
    program = "import sys; from sqlalchemy import create_engine; from ringfence import migrate; migrate.upgrade(create_engine(sys.argv[1]))"
    url = blank_engine.url.render_as_string()
    runners = [subprocess.Popen([sys.executable, "-c", program, url], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [(runner.communicate(timeout=60)[1], runner.returncode) for runner in runners] == [("", 0)] * 3
    assert _differences(blank_engine) == []


def test_a_failed_migration_leaves_the_store_as_it_was(blank_engine: Engine) -> None:
    with blank_engine.begin() as connection:
        connection.execute(text("CREATE TABLE node (in_the_way INTEGER)"))
    with pytest.raises(Exception, match="node"):
        migrate.upgrade(blank_engine)
    assert [name for name in inspect(blank_engine).get_table_names() if name != "alembic_version"] == ["node"]
    assert migrate.current(blank_engine) is None


def test_every_column_says_what_data_it_holds() -> None:
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            assert set(column.info) == {"data_class", "purpose", "personal", "source"}, f"{table.name}.{column.name} lacks base.about()"
            assert isinstance(column.info["data_class"], DataClass)
            assert column.info["purpose"]


def test_migrations_stand_by_themselves() -> None:
    for path in sorted(Path("migrations/versions").glob("0*.py")):
        text_of = path.read_text(encoding="utf-8")
        assert "ringfence" not in text_of, f"{path} imports a model: it would change when the model does"
        assert f'revision = "{path.name[:4]}"' in text_of
