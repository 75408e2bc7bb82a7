"""What every command works on: the settings, the store and the clock of this installation, made when first used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import click
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from ringfence import settings as settings_file
from ringfence.clock import Clock, SystemClock
from ringfence.errors import Conflict, Unavailable
from ringfence.session import make_engine, make_sessions
from ringfence.settings import Settings


class Installation:
    """The settings, store and clock that a command works on.

    Args:
        config: the settings file that was named, or None to look in the usual places.
    """

    def __init__(self, config: Path | None) -> None:
        self._config = config
        self.clock: Clock = SystemClock()

    @cached_property
    def settings(self) -> Settings:
        """The settings, read once."""
        return settings_file.load(self._config)

    @cached_property
    def engine(self) -> Engine:
        """The store's engine."""
        return make_engine(self.settings)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session whose changes are rolled back.

        Raises:
            Unavailable: the store cannot be reached.
            Conflict: its schema is not that of this release.
        """
        with self.translated(), make_sessions(self.engine)() as session:
            yield session
            session.rollback()

    @contextmanager
    def changing(self, *, commit: bool = True) -> Iterator[Session]:
        """Give a session that is committed at the end, unless an error ends it or this is a dry run.

        Raises:
            Unavailable: the store cannot be reached.
            Conflict: its schema is not that of this release.
        """
        with self.translated(), make_sessions(self.engine)() as session:
            yield session
            if commit:
                session.commit()
            else:
                session.rollback()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what the store says into errors for an operator, for work that opens its own transactions.

        Raises:
            Unavailable: the store cannot be reached.
            Conflict: its schema is not that of this release.
        """
        try:
            yield
        except (OperationalError, ProgrammingError) as error:
            if _is_schema_error(error):
                raise Conflict("the store's schema is not that of this release", hint="run 'ringfence db upgrade'") from error
            raise Unavailable(f"the store does not answer: {type(error.orig).__name__}", hint="check database.url, and that the server is up") from error


installed = click.make_pass_decorator(Installation)


def _is_schema_error(error: DBAPIError) -> bool:
    """SQLite says it in words only; PostgreSQL has SQLSTATE 42P01 (undefined table) and 42703 (undefined column)."""
    state = getattr(error.orig, "sqlstate", None)
    return state in {"42P01", "42703"} or (state is None and str(error.orig).startswith(("no such table", "no such column")))
