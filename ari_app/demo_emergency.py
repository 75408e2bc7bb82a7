"""The 999 part of the demonstration.

A phone gets an address that a carrier accepts, the way to 999 is tested, and a call to 999 goes through with everything of ours stopped and the first
emergency trunk refusing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ari_app.private.address_carrier import ACCOUNT as CARRIER_ACCOUNT
from ari_app.private.address_carrier import LOGIN, SimwoodLike, authority
from ari_app.private.node import PrivateNode, wait_until
from ari_app.private.ports import free_ports
from ari_app.private.root import Root
from ari_app.private.scenario import Answers, Call, Refuses, Register
from ari_app.private.sip_trace import SipMessage
from ari_app.private.sipp import SippServer, place_call, register_phone

PHONE, SITE = "reception", "+442079460124"
WAYS = ("first-999", "second-999")
DAEMONS = ("ari", "agi", "ami", "ledger")
_PHONES, _ANSWERING = "127.0.0.4", "127.0.0.3"
_ADDRESS = ("--name", "Sample", "--bussuffix", "Ltd", "--premises", "104", "--thoroughfare", "King Street", "--locality", "Sheffield", "--postcode", "S9 5AD")
_SETTINGS = """
[emergency]
carrier = "simwood"
simwood_url = "https://127.0.0.1:{port}/v3"
simwood_account = "{account}"
ca_file = "{ca}"
"""
Say = Callable[[str], None]


class Shown(msgspec.Struct, frozen=True):
    """What this part came to."""

    problems: list[str]
    calls: list[str]  # ids of the calls that were booked
    test_id: str


class Emergency:
    """A phone, its address, and two emergency trunks of one node.

    Args:
        root: SIPp.
        node: not started yet.
        work: a folder for SIPp.
        account: whose phone it is.
    """

    def __init__(self, root: Root, node: PrivateNode, work: Path, account: str) -> None:
        self._root, self._node, self._work, self._account = root, node, work, account
        self._ports = dict(zip(WAYS, free_ports(len(WAYS), (_ANSWERING,)), strict=True))
        self._secret_file = work / "phone.secret"

    @contextlib.contextmanager
    def carrier(self) -> Iterator[SimwoodLike]:
        """Have a carrier of 999 addresses, which the node's settings name from now on."""
        ca, tls = authority(self._node.home / "carrier")
        with SimwoodLike().running(tls) as carrier:
            with self._node.config.open("a", encoding="utf-8") as settings:
                settings.write(_SETTINGS.format(port=carrier.port, account=CARRIER_ACCOUNT, ca=ca))
            login = self._node.home / "secrets" / "simwood"
            login.parent.mkdir(mode=0o700, exist_ok=True)
            login.touch(mode=0o600)
            login.write_text("\n".join(LOGIN) + "\n", encoding="ascii")
            yield carrier

    def provision(self) -> None:
        """Make the trunks, the number and the phone, before the node starts."""
        for turn, (name, port) in enumerate(self._ports.items(), 1):
            place = ("--host", _ANSWERING, "--port", str(port), "--direction", "outbound", "--emergency", str(turn * 10))
            self._node.cli("trunk", "add", name, *place)
        self._node.cli("number", "add", SITE, "--account", self._account)
        self._node.cli("endpoint", "add", PHONE, "--account", self._account, "--did", SITE, "--password-out", str(self._secret_file))

    def show(self, say: Say, carrier: SimwoodLike) -> Shown:
        """Do it all on the running node; return what is wrong, and what was booked."""
        problems = self._register(say) + self._locate(say, carrier)
        say("testing the way to 999, in a twin of this Asterisk that can reach nothing but this machine …")
        tested = self._node.cli("emergency", "test", "--by", "demo")
        say(tested.stdout.splitlines()[-1])
        tests = self._node.read("emergency", "tests")
        problems += [f"a test of 999 is due: {each['reason']}" for each in tests["due"]]
        known = {call["call_id"] for call in self._node.read("cdr", "list")}
        say("dialling 999 with the app, the route server, the manager process and the booker stopped; the first emergency trunk refuses …")
        problems += self._dial()
        calls = self._booked(known)
        problems += self._check(calls)
        for call in calls:
            print(self._node.cli("cdr", "show", call["call_id"], "--reveal").stdout)
        print(self._node.cli("emergency", "coverage").stdout)
        return Shown(problems, [call["call_id"] for call in calls], tests["held"][0]["id"])

    def _register(self, say: Say) -> list[str]:
        say(f"registering the phone {PHONE} …")
        scenario = Register(user=PHONE, secret=self._secret)
        done = register_phone(self._root, self._work, host=_PHONES, port=free_ports(1, (_PHONES,))[0], to=self._to, scenario=scenario)
        return [] if done.successful else [f"the phone {PHONE} could not register"]

    def _locate(self, say: Say, carrier: SimwoodLike) -> list[str]:
        """Enter the address, and wait until the carrier has it."""
        say(f"entering the address of {SITE}; the carrier takes it …")
        self._node.cli("emergency", "address", "set", SITE, "--class", "fixed", *_ADDRESS, "--confirmed-by", "Ada Example", "--how", "phone")

        def accepted() -> bool:
            self._node.cli("emergency", "poll", SITE)
            return bool(self._node.read("emergency", "address", "show", SITE)["state"] == "accepted")

        wait_until(accepted, 30, "the carrier to accept the address")
        counts = self._node.read("emergency", "coverage")
        problems = [] if (counts["covered"], counts["gaps"]) == (1, 0) else [f"coverage is {counts['covered']} with {counts['gaps']} gaps"]
        return problems if carrier.records[SITE[1:]] else [*problems, "the carrier has no address"]

    def _dial(self) -> list[str]:
        callees = {WAYS[0]: Refuses(status=503), WAYS[1]: Answers(ring_ms=300)}
        with contextlib.ExitStack() as stack:
            servers = {name: stack.enter_context(self._answering(name, callee)) for name, callee in callees.items()}
            with self._node.frozen(*DAEMONS):
                call = Call(hold_ms=1000, user=PHONE, secret=self._secret)
                done = place_call(self._root, self._work, host=_PHONES, to=self._to, number="999", scenario=call, caller=PHONE)
            came = {name: server.messages("INVITE", sent=False) for name, server in servers.items()}
        problems = [] if done.successful and not done.failed else ["the call to 999 was not answered"]
        problems += [f"the call to 999 did not come to {name}" for name, messages in came.items() if not messages]
        return problems + [f"{name} was shown another number than that of the site" for name, messages in came.items() if not all(map(_shows_site, messages))]

    def _answering(self, name: str, callee: Any) -> SippServer:
        return SippServer(self._root, self._work, host=_ANSWERING, port=self._ports[name], scenario=callee, trace=True)

    def _booked(self, known: set[str]) -> list[dict[str, Any]]:
        fresh: list[dict[str, Any]] = []

        def arrived() -> bool:
            fresh[:] = [call for call in self._node.read("cdr", "list", "--reveal") if call["call_id"] not in known]
            return bool(fresh)

        wait_until(arrived, 20, "the call to 999 to be booked")
        return fresh

    def _check(self, calls: list[dict[str, Any]]) -> list[str]:
        if len(calls) != 1:
            return [f"the call to 999 has {len(calls)} CDRs instead of one"]
        expected = {"called": "999", "did": SITE, "disposition": "answered", "trunk": WAYS[1], "routed_by": "static", "direction": "outbound"}
        call = self._node.read("cdr", "show", calls[0]["call_id"], "--reveal")
        problems = [f"the call to 999: {key} is {call[key]!r} instead of {value!r}" for key, value in expected.items() if call[key] != value]
        return problems if len(call["legs"]) == len(WAYS) else [*problems, f"the call to 999 has {len(call['legs'])} legs instead of {len(WAYS)}"]

    @property
    def _secret(self) -> str:
        return self._secret_file.read_text(encoding="ascii").strip()

    @property
    def _to(self) -> tuple[str, int]:
        host, _, port = self._node.sip_address.partition(":")
        return host, int(port)


def in_report(report: Path, test_id: str) -> list[str]:
    """Return what of 999 a report on a page lacks: coverage, and the test that was held."""
    text = report.read_text(encoding="utf-8")
    wanted = {"coverage of 999 addresses": "With what 999 needs", "the tests of 999": "Tests of calls to 999", "the test that was held": test_id}
    return [f"{report} does not show {what}" for what, words in wanted.items() if words not in text]


def _shows_site(message: SipMessage) -> bool:
    identity = message.all("P-Asserted-Identity")
    return message.get("From").startswith(f"<sip:{SITE}@") and len(identity) == 1 and identity[0].startswith(f"<sip:{SITE}@")
