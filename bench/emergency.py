"""What our way to 999 adds to the set-up time of a call: a plain `Dial()` and an emergency call in turn, from one phone, on one Asterisk, the app running.

    python -m bench.emergency [--rounds 7] [--rate 20] [--seconds 4] [--json]

Set-up is the time from the phone's first INVITE to the 200, as SIPp sees it, with the digest challenge in both. Medians within a round, the
median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from ari_app.private.node import PrivateNode, wait_until
from ari_app.private.ports import free_ports
from ari_app.private.progress import shown_progress
from ari_app.private.root import Root, ensure_root
from ari_app.private.scenario import Answers, Call
from ari_app.private.sipp import SippCalls, SippServer

SERVICE, PHONE = "127.0.0.3", "127.0.0.4"
SITE, NAME = "+442079460123", "desk"
PLAIN, EMERGENCY = "998", "999"

_DIALPLAN = """
[from-phone](+)
exten => 998,1,Set(CHANNEL(hangup_handler_push)=plain-ended,s,1)
 same => n,Dial(PJSIP/999@first-999)
 same => n,Hangup(34)
[plain-ended]
exten => s,1,Set(CDR(rf_end)=out:998::allowed:desk:0:|dialplan::::|||${HANGUPCAUSE}|||||${CHANNEL(hangupsource)}|${CHANNEL(name)})
 same => n,Return()
"""


class Rig:
    """The node, a phone and two emergency trunks, the first of which answers."""

    def __init__(self, root: Root, home: Path) -> None:
        self.root, self.home = root, home
        self.node = PrivateNode(root, home / "node", log_level="warning")
        self.secret = home / "desk.secret"

    def prepare(self, ports: list[int]) -> None:
        """Provision, start, and add the plain way."""
        node = self.node
        node.cli("db", "upgrade")
        for turn, port in enumerate(ports, 1):
            name = ("first-999", "second-999")[turn - 1]
            node.cli("trunk", "add", name, "--host", SERVICE, "--port", str(port), "--direction", "outbound", "--emergency", str(turn))
        node.cli("account", "add", "bench", "--name", "Bench Ltd")
        node.cli("number", "add", SITE, "--account", "bench")
        node.cli("endpoint", "add", NAME, "--account", "bench", "--did", SITE, "--password-out", str(self.secret))
        node.start()
        with (node.settings.conf_dir / "extensions.conf").open("a", encoding="utf-8") as file:
            file.write(_DIALPLAN)
        node.rx("dialplan reload")
        wait_until(lambda: "plain-ended" in node.rx("dialplan show plain-ended"), 10, "the plain way")

    def setup_ms(self, number: str, rate: float, seconds: float) -> list[float]:
        """Place calls one way and return their set-up times."""
        host, _, port = self.node.sip_address.partition(":")
        calls = SippCalls(
            self.root,
            self.home / "sipp",
            host=PHONE,
            to=(host, int(port)),
            numbers=[number],
            scenario=Call(hold_ms=100, user=NAME, secret=self.secret.read_text(encoding="ascii").strip()),
            caller=NAME,
            count=int(rate * seconds),
            rate=rate,
            timed=True,
        )
        return list(calls.wait().check().setup_ms)


def measure(rig: Rig, rounds: int, rate: float, seconds: float) -> list[dict[str, float]]:
    """Return the median set-up times of each round, in milliseconds; who goes first changes from round to round."""
    found: list[dict[str, float]] = []
    for number in range(rounds):
        ways = (("plain", PLAIN), ("emergency", EMERGENCY))
        times = {name: rig.setup_ms(dialled, rate, seconds) for name, dialled in (ways if number % 2 == 0 else ways[::-1])}
        entry = {f"{name}_p50_ms": round(statistics.median(values), 3) for name, values in times.items()}
        found.append({**entry, "ratio": round(entry["emergency_p50_ms"] / entry["plain_p50_ms"], 4)})
        print(f"round {number + 1}: {found[-1]}", file=sys.stderr, flush=True)
    return found


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.emergency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of both ways")
    parser.add_argument("--rate", type=float, default=20.0, help="calls a second")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each way in a round")
    parser.add_argument("--json", action="store_true", help="print JSON on one line")
    options = parser.parse_args()
    with shown_progress() as progress:
        root = ensure_root(progress=progress)
    with tempfile.TemporaryDirectory(prefix="rf-bench-") as folder:
        rig, ports = Rig(root, Path(folder)), free_ports(2, (SERVICE,))
        with SippServer(root, Path(folder) / "sipp", host=SERVICE, port=ports[0], scenario=Answers(ring_ms=0)):
            try:
                rig.prepare(ports)
                measure(rig, 1, options.rate, 1.0)  # warm up
                rounds = measure(rig, options.rounds, options.rate, options.seconds)
            finally:
                rig.node.stop()
    figures: dict[str, Any] = {"setup_ratio": round(statistics.median(entry["ratio"] for entry in rounds), 3), "rounds": rounds}
    print(json.dumps(figures, indent=None if options.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
