"""The command line in this process: the same commands, without the second that another Python takes to start on a busy machine."""

from __future__ import annotations

import contextlib
import io
import json
from subprocess import CompletedProcess
from typing import Any

import pytest

import cli
from ari_app.private.node import PrivateNode
from ringfence.commands.installation import Installation
from ringfence.errors import RingfenceError
from tests.asterisk.rendered import Rendered


def run_command(node: PrivateNode, *arguments: str, check: bool = True) -> CompletedProcess[str]:
    """Run `ringfence` with these arguments on a node, as `PrivateNode.cli` does.

    Raises:
        RingfenceError: it failed, and `check` is set.
    """
    installation = Installation(node.config)
    installation.__dict__["settings"] = node.settings  # without this process's environment
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.run(list(arguments), installation=installation)
    installation.engine.dispose()
    if check and code:
        raise RingfenceError(f"ringfence {' '.join(arguments)} ended with {code}: {err.getvalue().strip()}")
    return CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def read_command(node: PrivateNode, *arguments: str) -> Any:
    """Return what a command prints with --json."""
    return json.loads(run_command(node, *arguments, "--json").stdout)


class Shell:
    """Commands on an Asterisk whose configuration is rendered, and which has no settings file: exit code, stdout and stderr."""

    def __init__(self, node: Rendered, capsys: pytest.CaptureFixture[str], *group: str) -> None:
        self.node, self.capsys, self.group = node, capsys, group

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        installation = Installation(None)
        installation.__dict__["settings"] = self.node.settings
        code = cli.run([*self.group, *arguments], installation=installation)
        installation.engine.dispose()
        out = self.capsys.readouterr()
        return code, out.out, out.err

    def read(self, *arguments: str) -> Any:
        """Return what a command prints with --json."""
        return json.loads(self(*arguments, "--json")[1])
