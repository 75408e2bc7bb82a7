"""The whole node on this machine, with SIPp as carrier and mobile: `make run` to look around, `make demo` to see it prove itself.

python -m ari_app.demo run     one test call, then stays up and shows live calls until Ctrl-C
python -m ari_app.demo demo    six calls and one to 999, their call detail records checked and printed; then two years of made-up calls, purged,
                               reported on and proven; exit code 0 only if all is right
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from ari_app.demo_emergency import Emergency, in_report
from ari_app.demo_retention import REPORT, YEARS, prove
from ari_app.private.node import PrivateNode, wait_until
from ari_app.private.ports import free_ports
from ari_app.private.progress import shown_progress
from ari_app.private.root import Root, ensure_root
from ari_app.private.scenario import Answers, Call, Callee, Refuses, Rings
from ari_app.private.sipp import SippServer, place_call
from ringfence.errors import Conflict, RingfenceError

HOME = Path("var/node")
CARRIER, MOBILE = "127.0.0.2", "127.0.0.3"
ACCOUNT, DID, TARGET, CALLER = "sample", "+442079460123", "+447700900123", "+441174960100"
UNKNOWN = "+442079460999"
_RING_SECONDS = 5


class Step(msgspec.Struct, frozen=True):
    """One call of the demonstration, and what must be booked for it."""

    title: str
    number: str
    call: Call
    first: Callee  # behind the first trunk
    second: Callee  # behind the second
    disposition: str
    legs: int
    trunk: str | None
    refusal: str | None = None


STEPS = (
    Step("answered", DID, Call(hold_ms=1200), Answers(ring_ms=300), Refuses(status=500), "answered", 1, "first"),
    Step("first trunk refuses with 503", DID, Call(hold_ms=700), Refuses(status=503), Answers(ring_ms=200), "answered", 2, "second"),
    Step("busy", DID, Call(expect=486), Refuses(status=486), Answers(), "busy", 1, "first"),
    Step("no answer", DID, Call(expect=480), Rings(), Answers(), "no_answer", 1, "first"),
    Step("caller gives up", DID, Call(give_up_ms=1500), Rings(), Answers(), "abandoned", 1, "first"),
    Step("unknown number", UNKNOWN, Call(expect=404), Answers(), Answers(), "unallocated", 0, None, "unknown_number"),
)


class Stage:
    """The node, and the ports of the two carriers behind its trunks."""

    def __init__(self, root: Root, home: Path) -> None:
        self.root = root
        self.node = PrivateNode(root, home)
        self.work = Path(tempfile.mkdtemp(prefix="ringfence-"))
        self.ports = (0, 0)

    def provision(self) -> bool:
        """Bring the store up to date, and fill it when it is empty; return whether it was."""
        self.node.cli("db", "upgrade")
        trunks = {trunk["name"]: trunk["port"] for trunk in self.node.read("trunk", "list")}
        if {"first", "second"} <= set(trunks):
            self.ports = (trunks["first"], trunks["second"])
            return False
        first, second = self.ports = tuple(free_ports(2, (MOBILE,)))  # type: ignore[assignment]
        for name, port, priority in (("first", first, "10"), ("second", second, "20")):
            self.node.cli("trunk", "add", name, "--host", MOBILE, "--port", str(port), "--direction", "outbound", "--priority", priority)
        self.node.cli("trunk", "add", "carrier", "--host", CARRIER, "--match", CARRIER, "--direction", "inbound")
        self.node.cli("account", "add", ACCOUNT, "--name", "Sample Ltd")
        self.node.cli("number", "add", DID, "--account", ACCOUNT)
        self.node.cli("number", "forward", DID, "--to", f"mobile:{TARGET}:{_RING_SECONDS}")
        return True

    @contextlib.contextmanager
    def carriers(self, first: Callee, second: Callee) -> Iterator[None]:
        """Put SIPp behind both trunks."""
        with (
            SippServer(self.root, self.work, host=MOBILE, port=self.ports[0], scenario=first),
            SippServer(self.root, self.work, host=MOBILE, port=self.ports[1], scenario=second),
        ):
            yield

    def call(self, number: str, scenario: Call) -> None:
        """Place one call from the carrier and wait for its end."""
        host, _, port = self.node.sip_address.partition(":")
        place_call(self.root, self.work, host=CARRIER, to=(host, int(port)), number=number, scenario=scenario, caller=CALLER).check()

    def cdrs(self) -> list[dict[str, Any]]:
        """Return every call booked so far, oldest first, with its legs."""
        calls = self.node.read("cdr", "list", "--reveal")
        return sorted(calls, key=lambda call: call["started_at"])

    def wait_for_cdrs(self, known: set[str], what: str) -> list[dict[str, Any]]:
        """Wait until a call is booked that is not known yet, and return all such."""
        fresh: list[dict[str, Any]] = []

        def arrived() -> bool:
            fresh[:] = [call for call in self.cdrs() if call["call_id"] not in known]
            return bool(fresh)

        wait_until(arrived, 10, what)
        return fresh


def run(home: Path) -> int:
    """Start the node, place one call, and stay until Ctrl-C; return the exit code."""
    stage = _stage(home)
    try:
        filled = stage.provision()
        _say("starting Asterisk, the ARI app, the route server, the booker and the AstDB keeper …")
        stage.node.start()
        if filled:
            _say(f"provisioned account {ACCOUNT}, number {DID} forwarded to {TARGET}, trunks first and second")
        with stage.carriers(Answers(ring_ms=300), Answers(ring_ms=300)):
            known = {call["call_id"] for call in stage.cdrs()}
            _say(f"placing a test call to {DID} …")
            stage.call(DID, Call(hold_ms=1500))
            stage.wait_for_cdrs(known, "the test call's CDR")
            print(stage.node.cli("cdr", "list", "--limit", "1", "--reveal").stdout)
            _say(f"up: SIP on {stage.node.sip_address} for carriers at {CARRIER}; try it in another terminal:")
            print(f"    export RINGFENCE_CONFIG={stage.node.config}")
            print(f"    .venv/bin/ringfence number explain {DID} --from {CALLER}")
            print("    .venv/bin/ringfence node status")
            _say("live calls; Ctrl-C stops everything")
            _watch(stage)
    except KeyboardInterrupt:
        pass
    finally:
        _say("stopping …")
        stage.node.stop()
        _say("stopped; no process is left")
    return 0


def demo(home: Path) -> int:
    """Place the six calls and the one to 999, and check their records; return the exit code."""
    stage = _stage(home)
    emergency = Emergency(stage.root, stage.node, stage.work, ACCOUNT)
    try:
        with emergency.carrier() as carrier:
            stage.provision()
            emergency.provision()
            _say("starting the node …")
            stage.node.start()
            problems = _place(stage)
            shown = emergency.show(_say, carrier)
            problems += shown.problems
            own = [call["call_id"] for call in stage.cdrs()]
            problems += [f"the call {call_id} is not among the calls" for call_id in set(shown.calls) - set(own)]
            reconciled = stage.node.cli("cdr", "reconcile", check=False)
            if reconciled.returncode:
                problems.append(f"reconcile found differences:\n{reconciled.stdout}{reconciled.stderr}")
            problems += prove(stage.node, _say, own)
            problems += in_report(REPORT, shown.test_id)
        for problem in problems:
            _say(f"WRONG: {problem}")
        _say(f"{len(STEPS)} calls, one to 999, {YEARS} years of history, {len(problems)} wrong")
        return 1 if problems else 0
    finally:
        stage.node.stop()
        shutil.rmtree(stage.work)


def _place(stage: Stage) -> list[str]:
    """Place the six calls; return what is wrong with their records."""
    known = {call["call_id"] for call in stage.cdrs()}
    problems: list[str] = []
    for step in STEPS:
        _say(f"call: {step.title}")
        with stage.carriers(step.first, step.second):
            stage.call(step.number, step.call)
        fresh = stage.wait_for_cdrs(known, f"the CDR of '{step.title}'")
        known |= {call["call_id"] for call in fresh}
        problems += _check(step, fresh, stage)
    print(stage.node.cli("cdr", "list", "--limit", str(len(STEPS)), "--reveal").stdout)
    return problems


def _check(step: Step, calls: list[dict[str, Any]], stage: Stage) -> list[str]:
    if len(calls) != 1:
        return [f"{step.title}: {len(calls)} CDRs instead of one"]
    call = stage.node.read("cdr", "show", calls[0]["call_id"], "--reveal")
    expected: dict[str, Any] = {"disposition": step.disposition, "trunk": step.trunk, "refusal": step.refusal, "routed_by": "ari", "caller": CALLER}
    expected["forwarded_to"] = None if step.trunk is None else TARGET
    problems = [f"{step.title}: {key} is {call[key]!r} instead of {value!r}" for key, value in expected.items() if call[key] != value]
    if len(call["legs"]) != step.legs:
        problems.append(f"{step.title}: {len(call['legs'])} legs instead of {step.legs}")
    if (call["billable_seconds"] > 0) != (step.disposition == "answered"):
        problems.append(f"{step.title}: {call['billable_seconds']} billable seconds")
    return problems


def _watch(stage: Stage) -> None:
    """Show live calls until Ctrl-C: a view that renews itself on a terminal, elsewhere a table when their number changes."""
    if sys.stdout.isatty():
        subprocess.run([sys.executable, "-P", "-m", "cli", "--config", str(stage.node.config), "call", "watch"], check=False)
        return
    shown = None
    while True:
        if not stage.node.running:
            raise RingfenceError("the node ended by itself", hint=f"see {stage.node.home / 'console'}")
        calls = stage.node.read("call", "list")
        if len(calls) != shown:
            shown = len(calls)
            print(stage.node.cli("call", "list").stdout.rstrip(), flush=True)
        time.sleep(1)


def _stage(home: Path) -> Stage:
    home.mkdir(parents=True, exist_ok=True)
    lock = (home / "demo.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Conflict(f"a node runs below {home} already", hint="stop it with Ctrl-C in its terminal first") from error
    _locks.append(lock)
    with shown_progress() as progress:
        root = ensure_root(progress=progress)
    return Stage(root, home)


_locks: list[Any] = []  # kept open for as long as this process lives


def _say(text: str) -> None:
    print(f"ringfence: {text}", flush=True)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    """Run what the first argument names."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if sys.argv[1:] == ["demo"]:
            with tempfile.TemporaryDirectory(prefix="ringfence-demo-") as home:
                return demo(Path(home))
        if sys.argv[1:] == ["run"]:
            return run(HOME)
        print("usage: python -m ari_app.demo run | demo", file=sys.stderr)
    except RingfenceError as error:
        print(f"error: {error.message}\n  {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 2


if __name__ == "__main__":
    sys.exit(main())
