"""What `make test` runs: a part that fails, dies or lies about it is told, and an interrupt ends all and what they started."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.run_tests import ROOT, run

PARTS = {
    "passes": ("import time\ndef test_slow(): time.sleep(0.2)\n", "passed (1 tests)"),
    "fails": ("def test_it(): assert 0\n", "FAILED (1 tests, 1 failures; exit code 1)"),
    "cannot be read": ("import there_is_no_such_module\n", "FAILED (1 tests, 1 errors; exit code 2)"),
    "has nothing to run": ("", "FAILED (no tests; exit code 5)"),
    "is killed": ("import os\ndef test_it(): os.kill(os.getpid(), 9)\n", "DIED before its end (exit code -9)"),
    "ends as if all were well": ("import os\ndef test_it(): os._exit(0)\n", "DIED before its end (exit code 0)"),
}
WAITS = """
import os, pathlib, subprocess, time
import pytest
@pytest.fixture
def server():
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    pathlib.Path(__file__).with_suffix(".pid").write_text(str(process.pid))
    yield
    process.terminate()
    process.wait()
def test_it(server): time.sleep(600)
"""


@pytest.fixture(autouse=True)
def few_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pytests in these tests start quickly."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def part(folder: Path, name: str, code: str) -> list[str]:
    path = folder / f"test_{name.replace(' ', '_')}.py"
    path.write_text(code, encoding="utf-8")
    return [str(path), "-q", "-pno:cacheprovider"]


def test_each_is_told_how_it_ended_and_shown_with_its_slowest_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, verdicts = run({name: part(tmp_path, name, text) for name, (text, _) in PARTS.items()})
    assert code == 1
    assert [verdict.rpartition(" after ")[0] for verdict in verdicts] == [f"tests {name}: {said}" for name, (_, said) in PARTS.items()]
    shown = capsys.readouterr().out
    assert re.search(r"slowest 15 durations =+\n0\.2\ds call .*test_passes\.py::test_slow", shown)
    assert "assert 0" in shown


def test_all_that_pass(tmp_path: Path) -> None:
    code, (one, two) = run({name: part(tmp_path, name, "def test_it(): pass\n") for name in ("one", "two")})
    assert code == 0
    assert "passed" in one
    assert "passed" in two


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_all_and_what_they_started(tmp_path: Path, number: signal.Signals) -> None:
    parts = {name: part(tmp_path, name, WAITS) for name in ("one", "two")}
    program = f"import sys; from tools import run_tests as r; r.obey_signals(); sys.exit(r.run({parts!r})[0])"
    ignoring = f"import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.executable, [sys.executable, '-c', {program!r}])"
    with subprocess.Popen([sys.executable, "-c", ignoring], cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:  # as in a shell's background
        try:
            pids = [tmp_path / f"test_{name}.pid" for name in parts]
            deadline = time.monotonic() + 60
            while not all(path.is_file() and path.read_text() for path in pids) and time.monotonic() < deadline:
                time.sleep(0.05)
            running.send_signal(number)
            shown = running.communicate(timeout=60)[0]
        finally:
            running.kill()
    assert running.returncode == 130
    assert shown.count("exit code 2") == 2  # pytest's own for an interrupt: it came to its end
    assert [path for path in pids if Path(f"/proc/{path.read_text()}").exists()] == []
