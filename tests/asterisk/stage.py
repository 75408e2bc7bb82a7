"""One running node for the tests of calls: trunks and phones that stand from the start, and numbers that each test makes for itself.

What only routing reads (trunk order, weights, limits, targets, states) is changed while the node is up, and takes effect when the app
has taken that version of the plan. What a test provisions is its own, so tests do not see each other's calls.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import secrets
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from ari_app.private.node import PrivateNode, wait_until
from ari_app.private.ports import free_ports
from ari_app.private.root import Root
from ari_app.private.scenario import Answers, Call, Callee, Register
from ari_app.private.sip_trace import SipMessage
from ari_app.private.sipp import SilentServer, SippCalls, SippResult, SippServer, register_phone
from dialplan.emergency.state import AddressEvent
from dialplan.numbers import classify
from retention.emergency import records
from ringfence import models
from ringfence.clock import SystemClock
from ringfence.emergency import LocationClass
from ringfence.models import Leg
from ringfence.queries import accounts, numbering, trunks
from ringfence.queries.plan import current_version
from ringfence.queries.trunks import TrunkValues
from ringfence.session import make_engine, make_sessions
from ringfence.values import E164, CallerIdMode, NumberFormat, PlanTarget, TargetKind, TrunkDirection
from tests.asterisk.commands import read_command, run_command

CARRIER, MOBILE, PHONE = "127.0.0.2", "127.0.0.3", "127.0.0.4"
ACCOUNT = "acme"
TRUNKS = ("first", "second", "third", "silent", "diverting")
PHONES = {"desk": ACCOUNT, "lobby": ACCOUNT, "hall": ACCOUNT, "closed-desk": ACCOUNT, "late-desk": "late", "cellar": "late"}
WAYS = ("blue", "green")  # to 999, in this order
WAIT = 1.5  # seconds after which a silent one of them is passed over
RINGS = 2  # seconds; shorter than an operator may set, so that tests are quick

_DEFAULTS: TrunkValues = {
    "enabled": True,
    "weight": 100,
    "number_format": NumberFormat.E164_PLUS,
    "network_number": None,
    "capacity": None,
    "causes": {},
}


class Numbers:
    """Ofcom's drama numbers, each given out once."""

    def __init__(self) -> None:
        self._dids = (E164(f"+442079460{number:03}") for number in itertools.count())
        self._callers = (E164(f"+441174960{number:03}") for number in itertools.count())
        self._mobiles = (E164(f"+447700900{number:03}") for number in itertools.count())
        self.used: list[str] = []

    def did(self) -> E164:
        return self._next(self._dids)

    def caller(self) -> E164:
        return self._next(self._callers)

    def mobile(self) -> E164:
        return self._next(self._mobiles)

    def _next(self, numbers: Iterator[E164]) -> E164:
        number = next(numbers)
        self.used.append(number)
        return number


class Stage:
    """The node, what stands round it, and how a test drives it.

    Args:
        root: Asterisk and SIPp.
        home: the node's folder.
        options: settings of the node, as `PrivateNode` takes them.
    """

    def __init__(self, root: Root, home: Path, **options: Any) -> None:
        self.root = root
        self.work = home / "sipp"
        self.node = PrivateNode(root, home / "node", **{"emergency_wait": WAIT, **options})
        self.numbers = Numbers()
        self.secrets = {name: secrets.token_hex(12) for name in PHONES}
        self.ports = dict(zip((*TRUNKS, *WAYS, *PHONES), free_ports(len(TRUNKS) + len(WAYS) + len(PHONES)), strict=True))
        self.sites: dict[str, E164] = {}  # the number that 999 is shown, by phone
        self._changed = False
        self._clock = SystemClock()
        self._engine = make_engine(self.node.settings)
        self._sessions = make_sessions(self._engine)
        self._silence = SilentServer(MOBILE, self.ports["silent"])
        self._begun: list[SippCalls] = []

    # ---- the node

    def start(self) -> None:
        """Fill the store and start everything."""
        self.node.cli("db", "upgrade")
        with self._sessions.begin() as session:
            for name in TRUNKS:
                mode = CallerIdMode.PASS_DIVERSION if name == "diverting" else CallerIdMode.DID
                trunks.add_trunk(session, self._clock, name, **_trunk(self.ports[name], mode))
            carrier = cast("TrunkValues", {"host": CARRIER, "match": [CARRIER], "direction": TrunkDirection.INBOUND})
            trunks.add_trunk(session, self._clock, "carrier", **carrier)
            for ref in dict.fromkeys(PHONES.values()):
                accounts.add_account(session, self._clock, ref, f"{ref.title()} Ltd", None)
            for turn, name in enumerate(WAYS):
                trunks.add_trunk(session, self._clock, name, host=MOBILE, port=self.ports[name], direction=TrunkDirection.OUTBOUND, emergency=turn)
            for name, ref in PHONES.items():
                site = self.sites[name] = self.numbers.did()
                numbering.add_did(session, self._clock, site, classify(site))
                numbering.assign_did(session, self._clock, site, ref)
                accounts.add_endpoint(session, self._clock, name, ref, caller_did=None, emergency_did=site, ha1=_ha1(name, self.secrets[name]))
            accounts.set_endpoint(session, self._clock, "closed-desk", enabled=False)
        self.node.start()

    def stop(self) -> None:
        """Stop everything."""
        for calls in self._begun:
            calls.kill()
        self.node.stop()
        self._silence.__exit__(None, None, None)
        self._engine.dispose()

    @property
    def address(self) -> tuple[str, int]:
        """Where calls are sent."""
        host, _, port = self.node.sip_address.partition(":")
        return host, int(port)

    def metric(self, name: str) -> float:
        """Return the sum of a metric of the ARI app over its labels."""
        health = self.node.settings.health
        with urllib.request.urlopen(f"http://{health.host}:{health.ari}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.partition(" ")[0].partition("{")[0] == name)

    @property
    def decides(self) -> bool:
        """Whether the app is there and connected."""
        try:
            return self.metric("ringfence_ari_connected") == 1
        except OSError:
            return False

    def cli(self, *arguments: str, check: bool = True) -> CompletedProcess[str]:
        """Run a command on the node."""
        return run_command(self.node, *arguments, check=check)

    def read(self, *arguments: str) -> Any:
        """Return what a command prints with --json."""
        return read_command(self.node, *arguments)

    def hang_up(self) -> None:
        """End every call that is up, as a fault of the network does."""
        self.node.rx("channel request hangup all")

    # ---- provisioning while it is up

    @contextlib.contextmanager
    def changing(self) -> Iterator[Session]:
        """Give a session that is committed at the end; the next call waits until the app routes by it."""
        self._changed = True
        with self._sessions.begin() as session:
            yield session

    def await_plan(self) -> None:
        """Wait until what was changed is in effect: within a second, and more on a busy machine."""
        with self._sessions() as session:
            wanted = current_version(session)
        wait_until(lambda: self.metric("ringfence_plan_version") >= wanted, 10, "the plan to be in use")
        self._changed = False

    def did(self, *turns: Sequence[str], account: str = ACCOUNT, seconds: int = RINGS, number: str | None = None, again: bool = False) -> E164:
        """Make a number that forwards to these turns; each turn is numbers or phones that ring together. `again`: it is there already."""
        did = E164(number) if number else self.numbers.did()
        with self.changing() as session:
            if not again:
                numbering.add_did(session, self._clock, did, classify(did))
                numbering.assign_did(session, self._clock, did, account)
            numbering.replace_targets(session, self._clock, did, [_target(place, text, seconds) for place, turn in enumerate(turns, 1) for text in turn])
        return did

    def account(self, ref: str, limit: int | None = None) -> str:
        """Make an account."""
        with self.changing() as session:
            accounts.add_account(session, self._clock, ref, f"{ref} Ltd", limit)
        return ref

    def change(self, function: Callable[..., object], *arguments: Any, **values: Any) -> None:
        """Call one of the store's changing functions, such as `queries.accounts.set_account`, and wait until it is in effect."""
        with self.changing() as session:
            function(session, self._clock, *arguments, **values)
        self.await_plan()

    def present(self, phone: str, did: E164, *, until: AddressEvent | None = AddressEvent.SENT) -> None:
        """Let a phone present a number, with an address for 999 that has come so far at the carrier; None = without one."""
        self.change(accounts.set_endpoint, phone, caller_did=did)
        if until is not None:
            self.locate(did, until)

    def locate(self, did: E164, until: AddressEvent) -> None:
        """Enter an address for 999, and let the carrier say something of it."""
        fields = {"name": "Example", "premises": "104", "thoroughfare": "King Street", "locality": "Sheffield", "postcode": "S9 5AD"}
        wish = records.parse_wish(did, LocationClass.FIXED, fields, confirmed=None, acknowledged=False)
        with self.changing() as session:
            record = records.set_address(session, self._clock, wish).id
        if until is not AddressEvent.DRAFTED:
            with self.changing() as session:
                records.happened(session, self._clock, record, until)
        self.await_plan()

    # ---- calls

    @contextlib.contextmanager
    def behind(self, settings: Mapping[str, Mapping[str, Any]] | None = None, **callees: Callee | None) -> Iterator[dict[str, SippServer]]:
        """Let calls leave by these trunks only, in this order, with these callees behind them; give the servers by trunk.

        Args:
            settings: values of trunks that differ from the defaults, by trunk.
            callees: what answers behind each trunk; None = nothing does, ever.
        """
        with self.changing() as session:
            for name in TRUNKS:
                if name not in callees:
                    trunks.set_trunk(session, self._clock, name, enabled=False)
            for place, name in enumerate(callees, 1):
                mode = CallerIdMode.PASS_DIVERSION if name == "diverting" else CallerIdMode.DID
                values = {**_DEFAULTS, "caller_id_mode": mode, "priority": place * 10, **(settings or {}).get(name, {})}
                trunks.set_trunk(session, self._clock, name, **cast("TrunkValues", values))
        with contextlib.ExitStack() as stack:
            yield {name: stack.enter_context(self.serve(MOBILE, self.ports[name], callee)) for name, callee in callees.items() if callee is not None}

    def serve(self, host: str, port: int, callee: Callee) -> AbstractContextManager[SippServer]:
        """Return a callee that keeps every message."""
        return SippServer(self.root, self.work, host=host, port=port, scenario=callee, trace=True)

    def begin(self, number: str | Sequence[str], scenario: Call | None = None, *, caller: str = "anonymous", host: str = CARRIER, **options: Any) -> SippCalls:
        """Place calls, by what was provisioned, and return while they run."""
        if self._changed:
            self.await_plan()
        numbers = [number] if isinstance(number, str) else number
        to, made = self.address, scenario or Call()
        self._begun.append(SippCalls(self.root, self.work, host=host, to=to, numbers=numbers, scenario=made, caller=caller, trace=True, **options))
        return self._begun[-1]

    def call(self, number: str, scenario: Call | None = None, *, caller: str = "anonymous", host: str = CARRIER) -> SippResult:
        """Place one call, which must go as its scenario says, and wait for its end."""
        return self.begin(number, scenario, caller=caller, host=host).wait(30).check()

    # ---- phones

    def register(self, phone: str, *, secret: str | None = None, expect: int = 200, expires: int = 60) -> SippResult:
        """Register a phone from its own address."""
        scenario = Register(user=phone, secret=secret or self.secrets[phone], expect=expect, expires=expires)
        return register_phone(self.root, self.work, host=PHONE, port=self.ports[phone], to=self.address, scenario=scenario)

    @contextlib.contextmanager
    def phone(self, name: str, callee: Callee | None = None) -> Iterator[SippServer]:
        """Register a phone that takes calls; give its server."""
        self.register(name).check()
        try:
            with self.serve(PHONE, self.ports[name], callee or Answers()) as server:
                yield server
        finally:
            self.register(name, expires=0)

    def dial(self, phone: str, number: str, **values: Any) -> SippResult:
        """Dial a number on a phone, which must go as these values of its `Call` say, and wait for its end."""
        scenario = Call(**values, user=phone, secret=self.secrets[phone])
        return self.call(number, scenario, caller=phone, host=PHONE)

    # ---- records

    def booked(self, count: int = 1, **where: str | None) -> list[BookedCall]:
        """Wait for `count` calls with these values and return them, oldest first."""
        found: list[BookedCall] = []

        def enough() -> bool:
            found[:] = self.find(**where)
            return len(found) >= count

        wait_until(enough, 30, f"{count} calls to be booked")
        assert len(found) == count
        return found

    def cdr(self, **where: str | None) -> BookedCall:
        """Wait for the one call with these values and return it."""
        return self.booked(1, **where)[0]

    def rows(self, model: type[Any]) -> list[Any]:
        """Return everything in a table."""
        with self._sessions() as session:
            return list(session.scalars(select(model)))

    def find(self, **where: str | None) -> list[BookedCall]:
        """Return the calls with these values that are booked by now, oldest first."""
        with self._sessions() as session:
            calls = session.scalars(select(models.Call).filter_by(**where).order_by(models.Call.started_at)).all()
            legs = session.scalars(select(Leg).where(Leg.call_id.in_([call.call_id for call in calls])).order_by(Leg.number)).all()
        return [BookedCall(call, [leg for leg in legs if leg.call_id == call.call_id]) for call in calls]


class BookedCall:
    """A call detail record with its legs."""

    def __init__(self, call: models.Call, legs: list[Leg]) -> None:
        self.call = call
        self.legs = legs

    def shows(self, **values: object) -> None:
        """Check values of the call, by name."""
        found = {name: getattr(self.call, name) for name in values}
        wrong = {name: f"{found[name]!r} instead of {value!r}" for name, value in values.items() if found[name] != value}
        assert not wrong, f"{wrong}; legs {self.ways}"

    @property
    def ways(self) -> list[tuple[int, str, str | None, str, int | None]]:
        """Each leg as (attempt, address, trunk, disposition, SIP status)."""
        return [(leg.attempt, leg.address, leg.trunk, leg.disposition.value, leg.sip_status) for leg in self.legs]


def invites(server: SippServer) -> list[SipMessage]:
    """Return the INVITEs that a callee got, without those that were sent again."""
    found: dict[str, SipMessage] = {}
    for message in server.messages("INVITE", sent=False):
        found.setdefault(message.get("Via"), message)
    return list(found.values())


def invite(server: SippServer) -> SipMessage:
    """Return the one INVITE that a callee got."""
    (only,) = invites(server)
    return only


def _trunk(port: int, mode: CallerIdMode) -> TrunkValues:
    return cast("TrunkValues", {"host": MOBILE, "port": port, "direction": TrunkDirection.OUTBOUND, "caller_id_mode": mode})


def _target(position: int, text: str, seconds: int) -> PlanTarget:
    if not text.startswith("+"):
        return PlanTarget(position, TargetKind.ENDPOINT, text, seconds)
    return PlanTarget(position, TargetKind.MOBILE if text.startswith("+447") else TargetKind.LANDLINE, text, seconds)


def _ha1(name: str, secret: str) -> str:
    return hashlib.md5(f"{name}:ringfence:{secret}".encode(), usedforsecurity=False).hexdigest()
