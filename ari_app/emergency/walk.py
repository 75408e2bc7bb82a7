"""Walks the way to 999 of this node in a twin of its Asterisk: phones of SIPp dial, answering points of SIPp stand for the emergency trunks."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event

import msgspec

from ari_app.ami.client import AmiClient
from ari_app.configuration.files import read_files, write_files
from ari_app.configuration.gather import directories
from ari_app.configuration.verify_emergency import verify_emergency
from ari_app.configuration.verify_location import verify_location
from ari_app.emergency import checks
from ari_app.emergency.checks import Check
from ari_app.emergency.twin import ANSWERING, HERE, PHONES, Place, outside, same_road, twin_conf
from ari_app.private.asterisk import AriDoor, PrivateAsterisk
from ari_app.private.ports import free_ports
from ari_app.private.root import Root
from ari_app.private.scenario import Answers, Call, Callee, Refuses
from ari_app.private.sip_trace import SipMessage
from ari_app.private.sipp import SippCalls, SippServer, register_phones
from dialplan.emergency_call import CODES, in_turn
from dialplan.emergency_digest import WayDigest, way_digest
from dialplan.node_conf import NodeConf, PhoneConf
from dialplan.render import render
from ringfence.errors import Conflict, Refused, RingfenceError
from ringfence.settings import Settings

_LOOKS = 0.02  # seconds between looks whether calls are over
_REFUSED = Refuses(status=503)
Came = Mapping[str, Sequence[SipMessage]]
Told = Callable[[str], None]


class Walked(msgspec.Struct, frozen=True):
    """What a test found."""

    checks: tuple[Check, ...]
    way: WayDigest  # of what was tested
    sites: int  # whose phone called
    sites_in_all: int


def walk(settings: Settings, conf: NodeConf, root: Root, *, sites: int, told: Told = lambda _text: None, stop: Event | None = None) -> Walked:
    """Test calls to 999 as they go on this node; nothing leaves this machine.

    Args:
        settings: this node's.
        conf: what its configuration is rendered from.
        root: its Asterisk, and SIPp.
        sites: try one phone of each of so many sites, chosen anew each time; 0 = of all.
        told: told how far it is.
        stop: set: end soon, with all that was started.

    Raises:
        KeyboardInterrupt: it was told to stop.
        Refused: no phone may call, or the twin could reach something outside.
        Conflict: what is in place is not what would be rendered now.
        Unavailable: the twin or SIPp did not start.
    """
    found = {name: text or "" for name, text in read_files(settings.conf_dir, {"extensions.conf": "", "pjsip.conf": ""}).items()}
    way = way_digest(found)
    callers = one_of_each_site(conf.phones)
    if way is None or not callers:
        raise Refused("no phone of this node calls 999", hint="'ringfence config apply' puts phones and emergency trunks in place")
    chosen = callers if not sites or sites >= len(callers) else sorted(secrets.SystemRandom().sample(callers, sites), key=lambda phone: phone.name)
    work = Path(tempfile.mkdtemp(prefix="rf-"))
    try:
        place = make_place(settings, conf, root, work)
        twin = twin_conf(conf, place)
        texts = render(twin)
        if away := outside(texts):
            raise Refused(f"the twin could reach {', '.join(away)}", hint="a template names an address of its own: it must come from the settings")
        if not same_road(found["extensions.conf"], texts["extensions.conf"], conf, place) or way != way_digest(render(conf)):
            raise Conflict("what 999 goes through in place is not what would be rendered now", hint="'ringfence config apply' first, then test")
        told("asking the running Asterisk …")
        running = Check("running Asterisk", _asked(settings, conf))
        told(f"starting a twin of it on {HERE}, with answering points for {len(twin.trunks)} emergency trunks …")
        with _started(root, twin, texts, work):
            stage = _Stage(root, work, twin, place.secret, chosen, stop or Event())
            return Walked((running, Check("twin's dialplan", _asked(_of_twin(settings, place, work), twin)), *stage.act(told)), way, len(chosen), len(callers))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def one_of_each_site(phones: Sequence[PhoneConf]) -> list[PhoneConf]:
    """Return a phone of each site that may call, by name."""
    found: dict[str, PhoneConf] = {}
    for phone in sorted(phones, key=lambda phone: phone.name):
        if not phone.receive_only and phone.site:
            found.setdefault(phone.site, phone)
    return list(found.values())


def make_place(settings: Settings, conf: NodeConf, root: Root, work: Path) -> Place:
    """Return folders below `work`, free ports and a secret for a twin."""
    ways = in_turn(conf.trunks)
    sip, ari, ami, agi, rtp, *answering = free_ports(5 + len(ways))
    own = msgspec.structs.replace(settings, home=str(work), asterisk=msgspec.structs.replace(settings.asterisk, conf_dir="", log_dir=""))
    return Place(
        dirs=directories(own, root),
        sip_port=sip,
        ari_port=ari,
        ami_port=ami,
        agi_port=agi,
        rtp_start=rtp - rtp % 2,
        ways={way.name: port for way, port in zip(ways, answering, strict=True)},
        secret=secrets.token_hex(16),
    )


class _Stage:
    """The calls of a test."""

    def __init__(self, root: Root, work: Path, twin: NodeConf, secret: str, phones: Sequence[PhoneConf], stop: Event) -> None:
        self._root, self._work, self._secret, self._phones = root, work / "sipp", secret, phones
        self._stop = stop
        self._to = (HERE, twin.sip_port)
        self._trunks = {trunk.name: trunk for trunk in in_turn(twin.trunks)}
        self._ways = list(self._trunks)

    def act(self, told: Told) -> Iterator[Check]:
        """Make the calls, and yield what they show."""
        told(f"registering a phone of each of {len(self._phones)} site(s) …")
        yield self._registered()
        first, every = self._trunks[self._ways[0]], {way: Answers() for way in self._ways}
        shown, located = [], []
        for code in CODES:
            told(f"dialling {code} …")
            unanswered, came = self._dialled(code, self._phones, every)
            yield Check(f"{code} by the first trunk", unanswered or checks.reached(code, self._ways, came, {first.name: len(self._phones)}))
            shown.append(checks.shown(first, self._phones, came[first.name]))
            located += self._located(self._phones, came)
        yield Check("number of the site", "; ".join(filter(None, shown)))
        one = self._phones[:1]
        told("dialling 999 with the number withheld …")
        unanswered, came = self._dialled("141999", one, every, Call(hold_ms=20, secret=self._secret, privacy="id;header", from_host="anonymous.invalid"))
        hidden = unanswered or checks.reached("999", self._ways, came, {first.name: 1}) or checks.shown(first, one, came[first.name])
        yield Check("never withheld", hidden)
        for place, way in enumerate(self._ways[1:], 1):
            told(f"dialling 999 with {place} trunk(s) that refuse …")
            before = self._ways[:place]
            unanswered, came = self._dialled("999", one, {other: _REFUSED if other in before else Answers() for other in self._ways})
            wrong = unanswered or checks.reached("999", self._ways, came, dict.fromkeys([*before, way], 1))
            yield Check(f"{way} when {', '.join(before)} refuse", wrong or checks.shown(self._trunks[way], one, came[way]))
            located += self._located(one, came)
        told("dialling 999 with every trunk refusing …")
        other, came = self._dialled("999", one, dict.fromkeys(self._ways, _REFUSED), Call(secret=self._secret, expect=503))
        yield Check("every trunk twice, then 503", other or checks.reached("999", self._ways, came, dict.fromkeys(self._ways, 2)))
        located += self._located(one, came)
        located += self._located(one, {way: messages[1:] for way, messages in came.items()}, again=True)
        yield Check("location only where asked", "; ".join(dict.fromkeys(filter(None, located))))

    def _registered(self) -> Check:
        users = [phone.name for phone in self._phones]
        done = register_phones(self._root, self._work, host=PHONES, port=free_ports(1)[0], to=self._to, users=users, secret=self._secret)
        missing = len(users) - done.successful
        return Check("registration", f"{missing} of {len(users)} phone(s) could not register" if missing else "")

    def _dialled(self, number: str, phones: Sequence[PhoneConf], callees: Mapping[str, Callee], call: Call | None = None) -> tuple[str, Came]:
        """Dial from each phone in turn; return what did not go as the call says, and what came to each trunk."""
        names = [phone.name for phone in phones]
        with contextlib.ExitStack() as stack:
            servers = {way: stack.enter_context(self._answering(way, callee)) for way, callee in callees.items()}
            with SippCalls(
                self._root,
                self._work,
                host=PHONES,
                to=self._to,
                numbers=[number] * len(names),
                scenario=call or Call(hold_ms=20, secret=self._secret),
                caller=names,
                count=len(names),
                rate=50.0,
                at_once=1,
            ) as calls:
                while calls.running():
                    if self._stop.wait(_LOOKS):
                        raise KeyboardInterrupt
                done = calls.wait()
            came = {way: _invites(server) for way, server in servers.items()}
        failed = len(names) - done.successful
        return f"{failed} of {len(names)} call(s) did not end as they should" if failed else "", came

    def _answering(self, way: str, callee: Callee) -> SippServer:
        trunk = self._trunks[way]
        transport = "u1" if trunk.transport == "udp" else "t1"
        return SippServer(self._root, self._work, host=ANSWERING, port=trunk.port, scenario=callee, trace=True, transport=transport)

    def _located(self, phones: Sequence[PhoneConf], came: Came, *, again: bool = False) -> list[str]:
        return [checks.located(self._trunks[way], phones, came[way], again=again) for way in self._ways]


@contextlib.contextmanager
def _started(root: Root, twin: NodeConf, texts: Mapping[str, str], work: Path) -> Iterator[None]:
    etc = Path(twin.dirs.etc)
    write_files(etc, texts)
    asterisk = PrivateAsterisk(root, etc, ari=AriDoor(twin.ari.host, twin.ari.port, twin.ari.user, twin.ari.secret), console=work / "console")
    try:
        asterisk.start()
        asterisk.wait_ready()
        yield
    finally:
        asterisk.stop()


def _asked(settings: Settings, conf: NodeConf) -> str:
    """Return what the manager of an Asterisk says of the way to 999, as `config verify` does."""

    async def ask() -> str:
        client = await AmiClient.connect(settings.ami, conf.ami.secret)
        try:
            return await verify_emergency(client, conf) or await verify_location(client, settings, conf)
        finally:
            await client.close()

    try:
        return asyncio.run(ask())
    except RingfenceError as error:
        return error.message


def _of_twin(settings: Settings, place: Place, work: Path) -> Settings:
    """Return the settings by which a twin is asked."""
    replace, secret = msgspec.structs.replace, work / "ari"
    secret.touch(mode=0o600)
    secret.write_text(place.secret, encoding="ascii")
    ari = replace(settings.ari, host=HERE, port=place.ari_port, secret_file=str(secret))
    return replace(settings, ari=ari, ami=replace(settings.ami, host=HERE, port=place.ami_port))


def _invites(server: SippServer) -> list[SipMessage]:
    """Return the INVITEs that came, without those that were sent again."""
    found: dict[str, SipMessage] = {}
    for message in server.messages("INVITE", sent=False):
        found.setdefault(message.get("Via"), message)
    return list(found.values())
