"""Commands on a test's store, run in this process as an operator runs them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog

import cli
from ringfence.clock import Clock, SystemClock
from ringfence.commands.installation import Installation
from ringfence.settings import Audit, Settings


class Here(Installation):
    """An installation on a test's store."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        super().__init__(None)
        self.__dict__["settings"] = Settings(
            home=settings.home, database=settings.database, audit=Audit(origin="example.com/ringfence"), retention=settings.retention
        )
        self.clock = clock or SystemClock()


class Answer:
    """What a command printed, and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def data(self) -> Any:
        """Its JSON."""
        return json.loads(self.out)


class Commands:
    """Runs `ringfence …` on an installation."""

    def __init__(self, here: Here, capsys: pytest.CaptureFixture[str]) -> None:
        self.here, self._capsys = here, capsys

    def __call__(self, *arguments: object) -> Answer:
        self._capsys.readouterr()
        with unchanged_logging():
            code = cli.run([str(each) for each in arguments], installation=self.here)
        return Answer(code, *self._capsys.readouterr())

    def ok(self, *arguments: object) -> Answer:
        """Run what must succeed."""
        answer = self(*arguments)
        assert answer.code == 0, answer.err
        return answer


@contextmanager
def unchanged_logging() -> Iterator[None]:
    """Undo what a command does to this process's logging."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)
        structlog.reset_defaults()
