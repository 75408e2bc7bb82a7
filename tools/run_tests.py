"""Runs the test suite in two halves at once: those on a real Asterisk mostly wait, so the others run beside them.

    python tools/run_tests.py

Each half is a pytest of its own with branch coverage. What it printed is shown in one piece when it ends, with its slowest tests; until
then a line from time to time says how far both are. ^C ends both, and lets them stop what they started. Exit code 0 only if both halves
came to their end and passed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent
HALVES = {
    "on a real Asterisk": ["tests/asterisk"],
    "everything else": ["tests", "--ignore=tests/asterisk"],
}
COVERAGE = ("--cov", "--cov-report=")
SHOWN = ("--durations=15", "-ofaulthandler_timeout=120")  # the slowest tests; and where a test hangs
TELL_EVERY = 60.0  # seconds
STOP_WITHIN = 90.0  # seconds; a half that is interrupted stops an Asterisk, its daemons and a PostgreSQL


class Half:
    """One pytest, in a session of its own, so that ^C on the terminal reaches it once, from here.

    `verdict` is a line on how it ended, empty until it has, and `passed` tells whether it came to its end without a failure.
    """

    def __init__(self, name: str, arguments: Sequence[str], folder: Path) -> None:
        self.name = name
        self._output, self._report = folder / "output", folder / "report.xml"
        self._began = time.monotonic()
        self.verdict = ""
        self.passed = False
        command = [sys.executable, "-m", "pytest", *arguments, *SHOWN, f"--junit-xml={self._report}", f"-ocache_dir={ROOT}/.pytest_cache/{folder.name}"]
        environment = {**os.environ, "COVERAGE_FILE": str(ROOT / f".coverage.half{folder.name}")}
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def ended(self) -> bool:
        """Return whether it has ended; the first time, show what it printed."""
        if not self.verdict and self._process.poll() is not None:
            self.passed, result = self._result()
            self.verdict = f"tests {self.name}: {result} after {time.monotonic() - self._began:.0f} s"
            _say(f"\n==== {self.verdict}\n{self._text()}")
        return bool(self.verdict)

    def progress(self) -> str:
        """Return how far it is."""
        shares = re.findall(r"\[ *([0-9]+%)\]", self._text())
        return f"{self.name} {shares[-1] if shares else '0%'}"

    def interrupt(self) -> None:
        """Let it end as after ^C."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it and what is in its process group at once."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _text(self) -> str:
        return self._output.read_text(encoding="utf-8", errors="replace")

    def _result(self) -> tuple[bool, str]:
        """Return whether it passed, and what it counted. pytest writes the report at its very end: without one, an exit code of 0 means nothing."""
        code = self._process.returncode
        try:
            counts = ET.parse(self._report).getroot()[0].attrib  # noqa: S314  pytest's own
        except (OSError, ET.ParseError, IndexError):
            return False, f"DIED before its end (exit code {code})"
        told = ", ".join(f"{counts[what]} {what}" for what in ("tests", "failures", "errors", "skipped") if counts.get(what, "0") != "0") or "no tests"
        return (True, f"passed ({told})") if code == 0 else (False, f"FAILED ({told}; exit code {code})")


def run(halves: Mapping[str, Sequence[str]], options: Sequence[str] = ()) -> tuple[int, list[str]]:
    """Run every half at once and show what they print; return the exit code (0 = all passed, 1 = not, 130 = interrupted) and a line on each."""
    running: list[Half] = []
    with tempfile.TemporaryDirectory(prefix="rf-tests-") as folder:
        try:
            for number, (name, arguments) in enumerate(halves.items()):
                place = Path(folder) / str(number)
                place.mkdir()
                running.append(Half(name, [*arguments, *options], place))
            _watch(running)
        except KeyboardInterrupt:
            _end(running)
            return 130, [half.verdict for half in running]
    return 0 if all(half.passed for half in running) else 1, [half.verdict for half in running]


def _watch(running: Sequence[Half]) -> None:
    tell = time.monotonic() + TELL_EVERY
    while not _all_ended(running):
        if time.monotonic() > tell:
            _say("tests: " + ", ".join(half.progress() for half in running) + "\n")
            tell += TELL_EVERY
        time.sleep(0.2)


def _end(running: Sequence[Half]) -> None:
    _say("\ntests: interrupted; what they started is being stopped, ^C once more kills\n")
    for half in running:
        half.interrupt()
    deadline = time.monotonic() + STOP_WITHIN
    try:
        while not _all_ended(running) and time.monotonic() < deadline:
            time.sleep(0.1)
    except KeyboardInterrupt:
        pass
    finally:
        for half in running:
            half.kill()
        _all_ended(running)


def _all_ended(running: Sequence[Half]) -> bool:
    return sum(half.ended() for half in running) == len(running)  # each is asked: it shows its output when it has ended


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run the suite and show its coverage; return the exit code."""
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, _as_interrupt)
    for old in ROOT.glob(".coverage*"):
        old.unlink()
    code, verdicts = run(HALVES, COVERAGE)
    if code != 130:
        for arguments in (("combine", "-q"), ("report", "--skip-covered")):
            subprocess.run([sys.executable, "-m", "coverage", *arguments], check=False)
    _say("\n" + "".join(f"{verdict}\n" for verdict in verdicts))
    return code


if __name__ == "__main__":
    sys.exit(main())
