"""Runs the test suite in parts, three at once: the tests on a real Asterisk mostly wait, so the others share what they leave of two cores.

    python tools/run_tests.py

Each part is a pytest of its own with branch coverage. What it printed is shown in one piece when it ends, with its slowest tests; until
then a line from time to time says how far each is. ^C ends them all, and lets them stop what they started. Exit code 0 only if every part
came to its end and passed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent
PARTS = {
    "on a real Asterisk": ["tests/asterisk"],
    "of the store on PostgreSQL": ["tests/database", "-k", "postgresql"],
    "of single modules": ["tests/unit"],
    "of the store on SQLite": ["tests/database", "-k", "not postgresql"],
    "of everything else": ["tests", "--ignore=tests/asterisk", "--ignore=tests/database", "--ignore=tests/unit"],
}  # in an order in which all three places are taken until near the end
AT_ONCE = 3
COVERAGE = ("--cov", "--cov-report=")
SHOWN = ("--durations=15", "-ofaulthandler_timeout=120")  # the slowest tests; and where a test hangs
TELL_EVERY = 60.0  # seconds
STOP_WITHIN = 90.0  # seconds; a part that is interrupted stops an Asterisk, its daemons and a PostgreSQL


class Part:
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
        environment = {**os.environ, "COVERAGE_FILE": str(ROOT / f".coverage.part{folder.name}")}
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


def run(parts: Mapping[str, Sequence[str]], options: Sequence[str] = ()) -> tuple[int, list[str]]:
    """Run every part and show what they print; return the exit code (0 = all passed, 1 = not, 130 = interrupted) and a line on each."""
    running: list[Part] = []
    with tempfile.TemporaryDirectory(prefix="rf-tests-") as folder:

        def begin(name: str) -> Part:
            place = Path(folder) / str(len(running))
            place.mkdir()
            return Part(name, [*parts[name], *options], place)

        try:
            _watch(running, list(parts), begin)
        except KeyboardInterrupt:
            _end(running)
            return 130, [part.verdict for part in running]
    return 0 if all(part.passed for part in running) else 1, [part.verdict for part in running]


def _watch(running: list[Part], waiting: list[str], begin: Callable[[str], Part]) -> None:
    tell = time.monotonic() + TELL_EVERY
    while waiting or not _all_ended(running):
        while waiting and sum(not part.ended() for part in running) < AT_ONCE:
            running.append(begin(waiting.pop(0)))
        if time.monotonic() > tell:
            _say("tests: " + ", ".join(part.progress() for part in running) + "\n")
            tell += TELL_EVERY
        time.sleep(0.2)


def _end(running: Sequence[Part]) -> None:
    _say("\ntests: interrupted; what they started is being stopped, ^C once more kills\n")
    for part in running:
        part.interrupt()
    deadline = time.monotonic() + STOP_WITHIN
    try:
        while not _all_ended(running) and time.monotonic() < deadline:
            time.sleep(0.1)
    except KeyboardInterrupt:
        pass
    finally:
        for part in running:
            part.kill()
        _all_ended(running)


def _all_ended(running: Sequence[Part]) -> bool:
    return sum(part.ended() for part in running) == len(running)  # each is asked: it shows its output when it has ended


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def obey_signals() -> None:
    """Take SIGTERM for ^C; and heed ^C also where it is ignored, as in a shell's background, which every process would inherit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def main() -> int:
    """Run the suite and show its coverage; return the exit code."""
    os.chdir(ROOT)
    obey_signals()
    for old in ROOT.glob(".coverage*"):
        old.unlink()
    code, verdicts = run(PARTS, COVERAGE)
    if code != 130:
        for arguments in (("combine", "-q"), ("report", "--skip-covered")):
            subprocess.run([sys.executable, "-m", "coverage", *arguments], check=False)
    _say("\n" + "".join(f"{verdict}\n" for verdict in verdicts))
    return code


if __name__ == "__main__":
    sys.exit(main())
