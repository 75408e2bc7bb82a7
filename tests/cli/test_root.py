from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import cli
from ringfence.lazy import LazyGroup
from tests.cli.conftest import CommandLine

ROOT = Path(cli.__file__).parent
OURS = ("db", "account", "number", "trunk", "endpoint", "audit", "retention", "hold", "incident", "policy")
SETTLES = ("incident", "close")  # it destroys nothing


def commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    click_ctx = click.Context(group)
    for name in group.list_commands(click_ctx):
        if isinstance(group, LazyGroup) and name in group.lazy and not group.lazy[name].target.startswith(("ringfence.", "retention.")):
            continue
        command = group.get_command(click_ctx, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands(cli.root, ()))
LEAVES = {path: command for path, command in ALL.items() if not isinstance(command, click.Group)}


def test_every_group_is_there() -> None:
    assert {path[0] for path in ALL} >= set(OURS)
    assert set(cli.GROUPS) >= {*OURS, "node", "config", "call", "cdr"}


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...], ringfence: CommandLine) -> None:
    answer = ringfence.ok(*path, "--help")
    assert answer.out.startswith(f"Usage: ringfence {' '.join(path)}")
    assert ALL[path].help


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_shows_an_example_and_explains_its_options(path: tuple[str, ...]) -> None:
    command = LEAVES[path]
    assert f"ringfence {' '.join(path)}" in (command.epilog or "")
    assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option))


@pytest.mark.parametrize("path", [path for path in LEAVES if path[-1] in {"list", "show", "current", "import"}], ids=" ".join)
def test_every_command_that_reads_has_json(path: tuple[str, ...]) -> None:
    assert "as_json" in {parameter.name for parameter in LEAVES[path].params}


@pytest.mark.parametrize("path", [path for path in LEAVES if path[-1] in {"close", "release", "remove", "import"} and path != SETTLES], ids=" ".join)
def test_whatever_destroys_needs_commit(path: tuple[str, ...]) -> None:
    assert "commit" in {parameter.name for parameter in LEAVES[path].params}


def test_the_roots_help_imports_no_group() -> None:
    script = (
        "import cli, sys; cli.run(['--help']); print(sorted(m for m in sys.modules if m.split('.')[0] in {'sqlalchemy', 'rich', 'phonenumbers', 'alembic'}))"
    )
    shown = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"
    assert "account" in shown.stdout


def test_it_runs_as_a_script_too() -> None:
    shown = subprocess.run([sys.executable, "cli.py", "acount"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert shown.returncode == 2
    assert "Did you mean 'account'?" in shown.stderr
    assert shown.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("account", "lst"), 2),
        (("account", "list", "--nonsense"), 2),
        (("account", "show"), 2),
        (("account", "show", "NOBODY"), 4),
        (("account", "set", "NOBODY", "--concurrency", "3"), 4),
        (("number", "show", "02079460999"), 4),
        (("number", "show", "999"), 2),
        (("trunk", "show", "x"), 4),
        (("endpoint", "show", "x"), 4),
        (("--config", "/nonexistent.toml", "account", "list"), 78),
        ((), 2),
        (("--help",), 0),
        (("--version",), 0),
    ],
)
def test_exit_codes(ringfence: CommandLine, arguments: tuple[str, ...], code: int) -> None:
    answer = ringfence(*arguments)
    assert answer.code == code
    assert "Traceback" not in answer.out + answer.err
    if code:
        assert answer.err
        assert answer.out == ""


def test_an_old_store_is_told_what_to_do(empty_ringfence: CommandLine) -> None:
    for arguments in (("account", "list"), ("number", "add", "02079460123"), ("db", "check")):
        answer = empty_ringfence(*arguments)
        assert answer.code == 5
        assert "ringfence db upgrade" in answer.err
    assert "from empty to" in empty_ringfence.ok("db", "upgrade").out
    assert "already" in empty_ringfence.ok("db", "upgrade").out
    assert empty_ringfence.ok("db", "check").out
    current = empty_ringfence.ok("db", "current", "--json").data
    assert current["up_to_date"] is True
    assert empty_ringfence.ok("account", "list", "--json").data == []


def test_a_store_that_is_away_is_unavailable(ringfence: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGFENCE_DATABASE__URL", "postgresql://ringfence@127.0.0.1:1/x")
    answer = ringfence("account", "list")
    assert answer.code == 69
    assert "database.url" in answer.err


def test_an_unexpected_error_is_a_sentence_unless_debugging(ringfence: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("ringfence.queries.accounts.list_accounts", broken)
    answer = ringfence("account", "list")
    assert answer.code == 1
    assert answer.err == "error: unexpected RuntimeError\n  run it again with 'ringfence --debug …' and report what it shows\n"
    assert "Traceback" in ringfence("--debug", "account", "list").err


def test_a_reader_that_leaves_is_no_error() -> None:
    script = f"{sys.executable} cli.py --help | head -n 1"
    shown = subprocess.run(["bash", "-o", "pipefail", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert shown.stderr == ""


def test_the_root_module_stays_small() -> None:
    assert len((ROOT / "cli.py").read_text().splitlines()) <= 150
