"""What Ringfence costs a call: plain `Dial()` and Ringfence in turn, on the same private Asterisk, with the same ledger on.

    python -m bench.calls [--rounds 5] [--rate 150] [--seconds 10] [--json]

Each round runs both ways at the same rate and reads each process's CPU time from /proc; then at a gentle rate for set-up times (INVITE to 200,
as SIPp sees it); then searches each way's highest rate without a failed call or a retransmission. Medians over the rounds, ratios within
the run. At the end every call that SIPp placed must be in the store once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ari_app.private.node import PrivateNode, wait_until
from ari_app.private.ports import free_ports
from ari_app.private.progress import shown_progress
from ari_app.private.root import Root, ensure_root
from ari_app.private.scenario import Answers, Call
from ari_app.private.sipp import SippCalls, SippResult, SippServer
from bench.cpu import cpu_seconds

CARRIER, MOBILE, PLAIN = "127.0.0.2", "127.0.0.3", "127.0.0.5"
DID, TARGET = "+442079460123", "+447700900123"
CALLERS = tuple(f"+441174960{number:03}" for number in range(1000))  # many: one caller again and again would be taken for a loop
HOLD_MS = 500
DAEMONS = ("ari", "ledger", "agi", "ami")
GENTLE = 40.0  # calls a second for set-up times: latency, not queueing
STEP = 10.0  # calls a second; how finely the highest rate is searched

_DIALPLAN = """
[plain]
exten => _+X!,1,Set(CHANNEL(hangup_handler_push)=plain-ended,s,1)
 same => n,Dial(PJSIP/{target}@mobile,25)
 same => n,Hangup(34)
[plain-ended]
exten => s,1,Set(CDR(rf_end)=in:{did}:+441174960100:allowed:plain:0:|dialplan::::|m:{target}:mobile||${{HANGUPCAUSE}}|${{DIALSTATUS}}|${{DIALEDTIME_MS}}|${{ANSWEREDTIME_MS}}|${{RINGTIME_MS}}|${{CHANNEL(hangupsource)}}|${{CHANNEL(name)}})
 same => n,Return()
"""  # noqa: E501
_ENDPOINT = f"""
[plain](ours)
transport = udp
context = plain
[plain]
type = identify
endpoint = plain
match = {PLAIN}
"""


class Rig:
    """The node, a mobile that answers, and the two ways in."""

    def __init__(self, root: Root, home: Path) -> None:
        self.root = root
        self.home = home
        self.node = PrivateNode(root, home / "node", max_rate=100_000, log_level="warning")
        self.placed = 0

    def prepare(self, mobile_port: int) -> None:
        """Provision, start, and add the plain way beside what Ringfence rendered."""
        node = self.node
        node.cli("db", "upgrade")
        node.cli("trunk", "add", "mobile", "--host", MOBILE, "--port", str(mobile_port), "--direction", "outbound")
        node.cli("trunk", "add", "carrier", "--host", CARRIER, "--match", CARRIER, "--direction", "inbound")
        node.cli("account", "add", "bench", "--name", "Bench Ltd")
        node.cli("number", "add", DID, "--account", "bench")
        node.cli("number", "forward", DID, "--to", f"mobile:{TARGET}:25")
        node.start()
        conf = node.settings.conf_dir
        for name, text in (("extensions.conf", _DIALPLAN.format(target=TARGET, did=DID)), ("pjsip.conf", _ENDPOINT)):
            with (conf / name).open("a", encoding="utf-8") as file:
                file.write(text)
        node.rx("dialplan reload")
        node.rx("module reload res_pjsip.so")
        wait_until(lambda: "plain" in node.rx("pjsip show endpoint plain"), 10, "the plain endpoint")

    def place(self, way: str, rate: float, seconds: float, *, timed: bool = False, hold_ms: int = HOLD_MS) -> SippResult:
        """Place calls at `rate` for `seconds` one way, and wait for their ends."""
        host = PLAIN if way == "plain" else CARRIER
        to_host, _, port = self.node.sip_address.partition(":")
        count = int(rate * seconds)
        self.placed += count
        return SippCalls(
            self.root,
            self.home / "sipp",
            host=host,
            to=(to_host, int(port)),
            numbers=[DID] * len(CALLERS),
            scenario=Call(hold_ms=hold_ms),
            caller=CALLERS,
            count=count,
            rate=rate,
            timed=timed,
        ).wait()

    def cpu(self) -> dict[str, float]:
        """Return CPU seconds so far of Asterisk and each daemon."""
        return {name: cpu_seconds(self.node.pid(name)) for name in ("asterisk", *DAEMONS)}

    def settle(self) -> None:
        """Wait until the ledger is booked, so that no round pays for the one before."""
        wait_until(lambda: self.booked() >= self.placed, 120, "the booking of every call")

    def booked(self) -> int:
        """Return how many calls are in the store."""
        return int(sum(day["store"] for day in self.node.read("cdr", "reconcile")["days"]))


def cpu_round(rig: Rig, way: str, rate: float, seconds: float) -> dict[str, float]:
    """Return milliseconds of CPU per call of each process."""
    before = rig.cpu()
    result = rig.place(way, rate, seconds)
    rig.settle()
    used = {name: (after - before[name]) * 1000 / (rate * seconds) for name, after in rig.cpu().items()}
    return {**used, "failed": result.failed, "retransmissions": result.retransmissions}


def cost(way: str, used: dict[str, float]) -> float:
    """Return what a call cost that way: Asterisk, and with Ringfence everything else too."""
    return used["asterisk"] + (0.0 if way == "plain" else sum(used[name] for name in DAEMONS))


def highest_rate(rig: Rig, way: str, start: float, seconds: float) -> float:
    """Return the highest rate at which no call failed and nothing was sent twice: up in strides, then down to a step."""

    def holds(rate: float) -> bool:
        result = rig.place(way, rate, seconds)
        return not result.failed and not result.retransmissions

    low, stride = 0.0, 50.0
    rate = start
    while holds(rate):
        low, rate = rate, rate + stride
    high = rate
    while high - low > STEP:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def measure(rig: Rig, options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Run every round and return the raw figures."""
    rounds: list[dict[str, Any]] = []
    for number in range(options.rounds):
        entry: dict[str, Any] = {}
        ways = ("plain", "ringfence") if number % 2 == 0 else ("ringfence", "plain")
        for way in ways:
            used = cpu_round(rig, way, options.rate, options.seconds)
            entry[way] = {"cpu_ms": used, "cost_ms": cost(way, used)}
        for way in ways:
            times = rig.place(way, GENTLE, options.seconds, timed=True).check().setup_ms
            quantiles = statistics.quantiles(times, n=100, method="inclusive")
            entry[way] |= {"setup_p50_ms": quantiles[49], "setup_p99_ms": quantiles[98], "setup_count": len(times)}
        if not options.no_rate:
            for way in ways:
                entry[way]["highest_rate"] = highest_rate(rig, way, options.rate, options.rate_seconds)
        rig.settle()
        plain, ours = entry["plain"], entry["ringfence"]
        setup = f"set-up p50 {ours['setup_p50_ms']:.2f} against {plain['setup_p50_ms']:.2f} ms"
        say(f"round {number + 1}: CPU {ours['cost_ms']:.2f} against {plain['cost_ms']:.2f} ms; {setup}")
        rounds.append(entry)
    return {"rounds": rounds}


def summary(raw: dict[str, Any], missing: int, duplicate: int) -> dict[str, Any]:
    """Return the figures that count: medians over the rounds."""

    def median(way: str, key: str) -> float:
        return float(statistics.median(entry[way][key] for entry in raw["rounds"]))

    figures: dict[str, Any] = {
        "cpu_ratio": round(statistics.median(e["ringfence"]["cost_ms"] / e["plain"]["cost_ms"] for e in raw["rounds"]), 3),
        "added_setup_p50_ms": round(median("ringfence", "setup_p50_ms") - median("plain", "setup_p50_ms"), 2),
        "added_setup_p99_ms": round(median("ringfence", "setup_p99_ms") - median("plain", "setup_p99_ms"), 2),
        "cdr_missing": missing,
        "cdr_duplicate": duplicate,
    }
    if all("highest_rate" in entry["plain"] for entry in raw["rounds"]):
        figures["rate_ratio"] = round(median("ringfence", "highest_rate") / median("plain", "highest_rate"), 3)
    return figures


def main() -> int:
    """Run the benchmark; exit code 1 when a record is missing or double."""
    parser = argparse.ArgumentParser(prog="python -m bench.calls", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of both ways")
    parser.add_argument("--rate", type=float, default=120.0, help="calls a second while CPU is measured")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a CPU or latency run")
    parser.add_argument("--rate-seconds", type=float, default=5.0, help="length of each try of a rate")
    parser.add_argument("--no-rate", action="store_true", help="leave the search for the highest rate out")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    with shown_progress() as progress:
        root = ensure_root(progress=progress)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="rf-bench-") as folder:
        rig = Rig(root, Path(folder))
        port = free_ports(1, (MOBILE,))[0]
        with SippServer(root, Path(folder) / "sipp", host=MOBILE, port=port, scenario=Answers(ring_ms=0)):
            try:
                rig.prepare(port)
                for way in ("plain", "ringfence"):
                    rig.place(way, 20.0, 2.0)  # warm up
                rig.settle()
                raw = measure(rig, options, say)
                time.sleep(1)
                report = rig.node.read("cdr", "reconcile")
                missing = rig.placed - rig.booked()
                duplicate = max(-missing, 0)
                figures = summary(raw, max(missing, 0), duplicate) | {"differences": report["differences"], "calls": rig.placed} | raw
            finally:
                rig.node.stop()
    print(json.dumps(figures, indent=None if options.json else 2))
    return 1 if figures["cdr_missing"] or figures["cdr_duplicate"] else 0


if __name__ == "__main__":
    sys.exit(main())
