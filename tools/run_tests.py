"""Runs the test suite in two halves at once: those on a real Asterisk mostly wait, so the others run beside them.

    python tools/run_tests.py

Each half is a pytest of its own with branch coverage; the second one's output comes when the first is done, then the coverage of both.
Exit code 0 only if both halves passed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HALVES = {
    "on a real Asterisk": ["tests/asterisk"],
    "everything else": ["tests", "--ignore=tests/asterisk"],
}


def main() -> int:
    """Run both halves and show their coverage; return the exit code."""
    os.chdir(ROOT)
    for old in ROOT.glob(".coverage*"):
        old.unlink()
    with tempfile.TemporaryFile() as later:
        running = []
        for number, (name, arguments) in enumerate(HALVES.items()):
            command = [sys.executable, "-m", "pytest", *arguments, "--cov", "--cov-report=", f"-ocache_dir=.pytest_cache/{number}"]
            environment = {**os.environ, "COVERAGE_FILE": str(ROOT / f".coverage.half{number}")}
            output = None if number == 0 else later
            running.append((name, subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT if output else None)))
        codes = []
        for number, (name, process) in enumerate(running):
            codes.append(process.wait())
            if number:
                sys.stdout.write(f"\n==== tests: {name}\n")
                sys.stdout.flush()
                later.seek(0)
                sys.stdout.buffer.write(later.read())
                sys.stdout.flush()
    subprocess.run([sys.executable, "-m", "coverage", "combine", "-q"], check=False)
    subprocess.run([sys.executable, "-m", "coverage", "report", "--skip-covered"], check=False)
    for (name, _), code in zip(running, codes, strict=True):
        sys.stdout.write(f"tests {name}: {'passed' if code == 0 else f'FAILED ({code})'}\n")
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
