"""A command line on a migrated store of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import cli
from ringfence import migrate
from ringfence.session import make_engine
from ringfence.settings import Settings


class Answer:
    """What a command printed, and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def data(self) -> Any:
        """Its JSON."""
        return json.loads(self.out)


class CommandLine:
    """Runs `ringfence …` in this process, as `cli.main` does."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Answer:
        self._capsys.readouterr()
        code = cli.run(list(arguments))
        return Answer(code, *self._capsys.readouterr())

    def ok(self, *arguments: str) -> Answer:
        answer = self(*arguments)
        assert answer.code == 0, answer.err
        return answer


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = Settings(home=str(tmp_path_factory.mktemp("migrated")))
    engine = make_engine(settings)
    migrate.upgrade(engine)
    engine.dispose()
    return settings.home_path / "ringfence.db"


@pytest.fixture
def empty_ringfence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """A command line whose store has no schema."""
    config = tmp_path / "ringfence.toml"
    config.write_text(f'home = "{tmp_path}/home"\n[routing]\ndrama_numbers = true\n')
    monkeypatch.setenv("RINGFENCE_CONFIG", str(config))
    return CommandLine(capsys)


@pytest.fixture
def ringfence(empty_ringfence: CommandLine, tmp_path: Path, migrated: Path) -> CommandLine:
    """A command line on an empty store."""
    (tmp_path / "home").mkdir()
    shutil.copy(migrated, tmp_path / "home" / "ringfence.db")
    return empty_ringfence


@pytest.fixture
def stocked(ringfence: CommandLine) -> CommandLine:
    """A command line on a store with an account, a number, a phone and a trunk."""
    ringfence.ok("account", "add", "ACME", "--name", "Acme Plumbing Ltd", "--concurrency", "10")
    ringfence.ok("number", "add", "020 7946 0123", "--account", "ACME")
    ringfence.ok("endpoint", "add", "desk-1", "--account", "ACME", "--did", "02079460123")
    ringfence.ok("trunk", "add", "carrier-a", "--host", "sip.example.com", "--match", "192.0.2.0/28")
    return ringfence
