"""Brings a store to the schema of this release, and tells where it stands. Used by `db upgrade|check` and by the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from ringfence.errors import Conflict, Unavailable

_LOCATION = "migrations:"  # the package, wherever it is installed


def head() -> str:
    """Return the revision that this release needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise RuntimeError("the package holds no migrations")
    return revision


def current(engine: Engine) -> str | None:
    """Return the revision that the store has; None for an empty one.

    Raises:
        Unavailable: the store cannot be reached.
    """
    with _connected(engine) as connection:
        return current_of(connection)


def current_of(connection: Connection) -> str | None:
    """Return the revision of the store behind a connection; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def check(engine: Engine) -> None:
    """Return when the store's schema is that of this release.

    Raises:
        Conflict: it is behind, or ahead of it.
        Unavailable: the store cannot be reached.
    """
    found, needed = current(engine), head()
    if found == needed:
        return
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise Conflict(f"the store's schema is {found}, which is newer than this release ({needed})", hint="install the newer release")
    raise Conflict(f"the store's schema is {found or 'empty'}, this release needs {needed}", hint="run 'ringfence db upgrade'")


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the store to `revision`; does nothing when it is there already.

    Raises:
        Unavailable: the store cannot be reached, or something held a table or the turn to migrate for too long.
    """
    with _connected(engine) as connection:
        command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the store back to `revision` ('base' = empty). What the newer schema held is lost.

    Raises:
        Unavailable: as in `upgrade`.
    """
    with _connected(engine) as connection:
        command.downgrade(_config(connection), revision)


@contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    try:
        with engine.connect() as connection:
            yield connection
    except OperationalError as error:
        reason = str(error.orig).partition("\n")[0]
        raise Unavailable(f"the store failed: {reason}", hint="check database.url, and that the server is up") from error


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", _LOCATION)
    config.attributes["connection"] = connection
    return config
