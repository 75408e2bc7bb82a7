"""The second half of the demonstration: two years of made-up calls are purged, reported on, and proven by a bundle that the stand-alone verifier accepts."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ari_app.private.node import PrivateNode
from ringfence.errors import Conflict, RingfenceError

OUT = Path("var/demo")  # outlives the demonstration
REPORT, BUNDLE, KEY = OUT / "retention.html", OUT / "evidence.tar", OUT / "verifier.key"
YEARS, PER_DAY = "2", "40"
_PATIENCE = 60.0  # seconds for the node's own worker to finish what it does
_GOOD = {"done", "nothing_due"}


def prove(node: PrivateNode, say: Callable[[str], None], own: Sequence[str]) -> list[str]:
    """Seed, purge, report and verify; return what is wrong.

    Args:
        node: a node whose store holds the demonstration's calls.
        say: tells people how far it is.
        own: ids of calls that were just made: they must survive.

    Raises:
        RingfenceError: a command failed.
    """
    OUT.mkdir(parents=True, exist_ok=True)
    for path in (REPORT, BUNDLE, KEY):
        path.unlink(missing_ok=True)
    seeded = node.read("dev", "seed", "--years", YEARS, "--per-day", PER_DAY, "--commit")
    say(f"{seeded['calls']} made-up calls from {seeded['first']} to {seeded['last']}; purging those past their window …")
    problems = _purge(node, say)
    gone = set(own) - {call["call_id"] for call in node.read("cdr", "list", "--limit", "100")}
    problems += [f"{len(gone)} of the calls just made are gone"] if gone else []
    node.cli("audit", "key", "new")
    node.cli("report", "retention", "--format", "html", "--out", str(REPORT.absolute()), "--force")
    if not REPORT.is_file() or b"<html" not in REPORT.read_bytes()[:500].lower():
        problems.append(f"there is no report {REPORT}")
    bundle = node.read("audit", "export", str(BUNDLE.absolute()))
    KEY.write_text(bundle["verifier_key"] + "\n", encoding="utf-8")
    return problems + _verify(say)


def _purge(node: PrivateNode, say: Callable[[str], None]) -> list[str]:
    report = _run(node)
    results = {result["data_class"]: result["outcome"] for result in report["results"]}
    problems = [f"the purge of {name} ended as {outcome}" for name, outcome in results.items() if outcome not in _GOOD]
    problems += [f"a brake stopped the purge: {report['stopped']}"] if report["stopped"] else []
    plan = node.read("retention", "plan")
    left = sum(item["due"] + item["held"] for item in plan["items"])
    problems += [f"{left} row(s) past their window are still there"] if left else []
    receipts = node.read("retention", "receipts")
    went = sum(receipt["rows"] for receipt in receipts)
    say(f"{went} row(s) went, with {len(receipts)} receipts; {left} past their window are left")
    return problems if went else [*problems, "nothing was purged"]


def _run(node: PrivateNode) -> Any:
    """Purge as soon as the node's own worker, which may be at it, lets go."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            return node.read("retention", "run", "--commit")
        except RingfenceError as error:
            if f"ended with {Conflict.exit_code}" not in error.message:
                raise
            time.sleep(0.5)
    raise Conflict("the node's worker does not let go of the purge", hint="see the worker's log")


def _verify(say: Callable[[str], None]) -> list[str]:
    """Run the verifier as an auditor does: it knows the bundle and the key, nothing else."""
    command = [str(Path(sys.executable).with_name("ringfence-verify")), str(BUNDLE), "--key", str(KEY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=120)
    if done.returncode:
        return [f"the verifier refuses {BUNDLE}:\n{done.stdout}{done.stderr}"]
    say(f"ringfence-verify {BUNDLE} --key {KEY}: {done.stdout.strip().splitlines()[-1]}")
    say(f"report: {REPORT}; evidence: {BUNDLE}; they stay there until the next demonstration")
    return []
