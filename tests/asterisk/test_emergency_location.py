"""The address of a phone's site in its calls to 999, on a real Asterisk: only where it is asked for, valid by its RFCs, and never in the way of the call."""

from __future__ import annotations

import asyncio
import contextlib
import email
import json
import random
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from email import policy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lxml import etree
from sqlalchemy.orm import Session

from ari_app.ari import http
from ari_app.configuration.apply import apply
from ari_app.configuration.gather import gather
from ari_app.private.node import wait_until
from ari_app.private.root import Root
from ari_app.private.scenario import Answers, Callee, Refuses
from ari_app.private.sip_trace import SipMessage
from ari_app.private.sipp import SippServer
from dialplan.emergency.address import parse_address
from dialplan.emergency.state import AddressEvent
from dialplan.emergency_location import elements
from dialplan.node_conf import NodeConf, PhoneConf
from dialplan.render import render
from retention.emergency import records
from ringfence.emergency import LocationClass
from ringfence.errors import Misconfigured
from ringfence.queries import trunks
from ringfence.values import EmergencyLocation, Transport
from tests.asterisk.stage import MOBILE, TRUNKS, Stage, invite, invites

pytestmark = pytest.mark.asterisk

STREET = "Drama's Lane, North"
FIELDS = {"name": "Smith & Sons", "bussuffix": "Ltd", "premises": "104b", "thoroughfare": STREET, "locality": "Attercliffe, Sheffield", "postcode": "S9 5AD"}
SENT = [
    ("country", "GB"),
    ("A3", "Attercliffe, Sheffield"),
    ("RD", STREET),
    ("HNO", "104"),
    ("HNS", "B"),
    ("NAM", "Smith and Sons Ltd"),
    ("PC", "S9 5AD"),
]
NAMESPACES = {"gp": "urn:ietf:params:xml:ns:pidf:geopriv10", "ca": "urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr"}
SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).parent / "schemas" / "pidf.xsd"))


@pytest.fixture(scope="module")
def located(asterisk_root: Root) -> Iterator[Stage]:
    """A node that runs already when `blue` is made to ask for addresses; `green` does not."""
    home = Path(tempfile.mkdtemp(prefix="rf-"))
    stage = Stage(asterisk_root, home)
    try:
        stage.start()
        located_at(stage, "desk", FIELDS)
        with stage.changing() as session:
            trunks.set_trunk(session, stage._clock, "blue", transport=Transport.TCP, emergency_location=EmergencyLocation.CIVIC)
        stage.cli("config", "apply")
        stage.await_plan()
        yield stage
    finally:
        stage.stop()
        shutil.rmtree(home)


def located_at(stage: Stage, phone: str, fields: dict[str, str], *, until: AddressEvent | None = AddressEvent.SENT) -> None:
    wish = records.parse_wish(stage.sites[phone], LocationClass.FIXED, fields, confirmed=None, acknowledged=False)
    with stage.changing() as session:
        record = records.set_address(session, stage._clock, wish).id
    if until:
        with stage.changing() as session:
            records.happened(session, stage._clock, record, until)
    stage.await_plan()


@contextlib.contextmanager
def services(stage: Stage, blue: Callee | None, green: Callee | None) -> Iterator[dict[str, SippServer]]:
    with contextlib.ExitStack() as stack:
        servers = {}
        for way, transport, callee in (("blue", "t1", blue), ("green", "u1", green)):
            if callee is not None:
                server = SippServer(stage.root, stage.work, host=MOBILE, port=stage.ports[way], scenario=callee, trace=True, transport=transport)
                servers[way] = stack.enter_context(server)
        yield servers


def conf_of(stage: Stage) -> NodeConf:
    with Session(stage._engine) as session:
        return gather(stage.node.settings, session, stage.root)


def document(message: SipMessage) -> Any:
    """Return the location in an INVITE, which must be valid and belong to the header; the other part must be the offer."""
    text = f"Content-Type: {message.get('Content-Type')}\n\n{message.body}"
    whole = email.message_from_string(text, policy=policy.default)
    offer, location = whole.iter_parts()
    assert (offer.get_content_type(), location.get_content_type()) == ("application/sdp", "application/pidf+xml")
    assert b"m=audio" in offer.get_content()
    (header,) = message.all("Geolocation")
    assert header == f"<cid:{str(location['Content-ID']).strip('<>')}>"
    assert message.all("Geolocation-Routing") == ["yes"]
    found = etree.fromstring(location.get_content())
    SCHEMA.assertValid(found)
    return found


def civic(message: SipMessage) -> list[tuple[str, str]]:
    (address,) = document(message).iterfind(".//gp:location-info/ca:civicAddress", NAMESPACES)
    return [(etree.QName(element).localname, element.text) for element in address]


def carries_none(message: SipMessage) -> bool:
    return "geoloc" not in repr(message).lower() and message.get("Content-Type") == "application/sdp"


def problems(stage: Stage) -> dict[str, str]:
    shown = stage.cli("config", "verify", "--json", check=False)
    return {row["check"]: row["problem"] for row in json.loads(shown.stdout) if not row["ok"]} if shown.stdout else {"asterisk": "away"}


def test_it_is_applied_to_a_running_asterisk_and_proven_there(located: Stage) -> None:
    assert problems(located) == {}
    conf = located.node.settings.conf_dir
    assert stat.S_IMODE((conf / "geolocation.conf").stat().st_mode) == 0o600
    assert [path.name for path in conf.iterdir() if path.is_file() and STREET in path.read_text(encoding="utf-8")] == ["geolocation.conf"]


def test_the_trunk_that_asks_gets_the_address_and_the_call_is_booked_as_ever(located: Stage) -> None:
    site = located.sites["desk"]
    with services(located, Answers(), Answers()) as servers, located.node.frozen("ari", "agi", "ami", "ledger"):
        located.dial("desk", "999", hold_ms=50)
        message = invite(servers["blue"])
        assert invites(servers["green"]) == []
    assert civic(message) == SENT
    assert message.all("P-Asserted-Identity") == [f"<sip:{site}@127.0.0.1>"]
    (rules,) = document(message).iterfind(".//gp:usage-rules/*", NAMESPACES)
    assert rules.text == "true"
    call = located.cdr(called="999", inbound_trunk="desk")
    call.shows(disposition="answered", trunk="blue", did=site, routed_by="static")
    assert call.ways == [(1, "999", "blue", "answered", None)]


def test_a_carrier_that_refuses_it_is_tried_again_without_and_the_other_trunk_never_gets_it(located: Stage) -> None:
    with services(located, Refuses(status=415), Refuses(status=503)) as servers:
        located.dial("desk", "112", expect=503)
        first, again = invites(servers["blue"])
        others = invites(servers["green"])
    assert civic(first) == SENT
    assert carries_none(again)
    assert [carries_none(message) for message in others] == [True, True]
    call = located.cdr(called="112", inbound_trunk="desk")
    assert call.ways == [(turn, "112", way, "failed", status) for turn, (way, status) in enumerate([("blue", 415), ("green", 503)] * 2, 1)]


def test_a_phone_without_an_address_and_an_ordinary_call_carry_none(located: Stage) -> None:
    located_at(located, "hall", FIELDS, until=None)  # a draft: no carrier has it
    with services(located, Answers(), None) as servers:
        for phone in ("lobby", "hall"):
            located.dial(phone, "999", hold_ms=50)
        assert [carries_none(message) for message in invites(servers["blue"])] == [True, True]
    mobile = located.numbers.mobile()
    located.present("desk", located.sites["desk"], until=None)
    with located.behind(first=Answers(), **dict.fromkeys(TRUNKS[1:])) as carriers:
        located.dial("desk", mobile, hold_ms=50)
        assert carries_none(invite(carriers["first"]))


def test_whatever_an_address_may_hold_arrives_in_asterisk_as_it_is(located: Stage) -> None:
    """200 records of every character that a record takes: Asterisk's config reader and its list reader take none of it for syntax."""
    chance, alphabet = random.Random(999), "abcXYZÀé019 '-./&()#,:"  # noqa: S311  the same records in every run
    phones: list[PhoneConf] = []
    while len(phones) < 200:
        texts = {name: "A" + "".join(chance.choices(alphabet, k=chance.randint(0, 28))) for name in ("name", "premises", "thoroughfare", "locality")}
        address = parse_address({**texts, "postcode": "S9 5AD"}).address
        phones.append(PhoneConf(f"fuzz-{len(phones)}", "0" * 32, 1, located.sites["desk"], receive_only=False, address=address))
    conf, etc = conf_of(located), located.node.settings.conf_dir / "geolocation.conf"
    before = etc.read_text(encoding="utf-8")
    etc.write_text(render(msgspec.structs.replace(conf, phones=tuple(phones)))["geolocation.conf"], encoding="utf-8")
    try:
        located.node.rx("module reload res_geolocation.so")
        for phone in phones:
            found = http.request(located.node.settings, "GET", f"asterisk/config/dynamic/res_geolocation/location/{phone.name}")
            held = [(item["attribute"], item["value"]) for item in found][: len(elements(phone))]
            assert held == list(elements(phone))
    finally:
        etc.write_text(before, encoding="utf-8")
        located.node.rx("module reload res_geolocation.so")


def test_an_address_that_changes_or_leaves_is_stale_until_it_is_applied(located: Stage) -> None:
    located_at(located, "desk", {**FIELDS, "premises": "The Lighthouse"})
    stale = problems(located)
    assert stale.keys() == {"files", "emergency location"}, stale
    assert (stale["files"], stale["emergency location"]) == (
        "differ from what would be rendered: geolocation.conf",
        "the address of phone desk is not the one of the store",
    )
    assert located.read("node", "status")["configuration"]["stale"] == ["geolocation.conf"]
    diff = located.cli("config", "diff", check=False).stdout
    assert "location_info = <secret " in diff
    assert STREET not in diff
    assert located.read("config", "apply")["restart"] == []
    assert problems(located) == {}
    assert located.read("node", "status")["configuration"]["stale"] == []
    with services(located, Answers(), None) as servers:
        located.dial("desk", "999", hold_ms=50)
        assert ("BLD", "The Lighthouse") in civic(invite(servers["blue"]))
    located_at(located, "desk", FIELDS, until=None)  # a new address, which no carrier has yet: the old one must not go out
    located.read("config", "apply")
    assert "Lighthouse" not in (located.node.settings.conf_dir / "geolocation.conf").read_text(encoding="utf-8")
    with services(located, Answers(), None) as servers:
        located.dial("desk", "999", hold_ms=50)
        assert carries_none(invite(servers["blue"]))
    located_at(located, "desk", FIELDS)
    located.read("config", "apply")


def test_when_geolocation_fails_the_call_goes_on(located: Stage) -> None:
    etc = located.node.settings.conf_dir
    kept = {name: (etc / name).read_text(encoding="utf-8") for name in ("geolocation.conf", "pjsip.conf", "extensions.conf")}

    def broken(name: str, text: str, module: str) -> None:
        (etc / name).write_text(text, encoding="utf-8")
        located.node.rx(f"module reload {module}")

    try:
        broken("geolocation.conf", "; nothing\n", "res_geolocation.so")  # the location is gone
        with services(located, Answers(), None) as servers:
            located.dial("desk", "999", hold_ms=50)
            assert carries_none(invite(servers["blue"]))
        assert "calls of phone" not in problems(located)["emergency location"]
        broken("geolocation.conf", kept["geolocation.conf"], "res_geolocation.so")
        broken("extensions.conf", kept["extensions.conf"].replace("GEOLOC_PROFILE(", "NO_SUCH_FUNCTION("), "pbx_config.so")
        with services(located, Answers(), None) as servers:
            located.dial("desk", "999", hold_ms=50)
            assert carries_none(invite(servers["blue"]))
        broken("extensions.conf", kept["extensions.conf"], "pbx_config.so")
        # As after a start without the module: Asterisk does not make the endpoint then.
        broken("pjsip.conf", kept["pjsip.conf"].replace("[blue.location]", "[blue.other]"), "res_pjsip.so")
        with services(located, Answers(), Answers()) as servers:
            located.dial("desk", "999", hold_ms=50)
            assert carries_none(invite(servers["green"]))
        with services(located, Answers(), None) as servers:
            located.dial("desk", "999", hold_ms=50)
            assert carries_none(invite(servers["blue"]))
        assert "trunk blue does not send addresses" in problems(located)["emergency location"]
    finally:
        for name, text in kept.items():
            (etc / name).write_text(text, encoding="utf-8")
        for module in ("res_geolocation.so", "pbx_config.so", "res_pjsip.so"):
            located.node.rx(f"module reload {module}")
    assert problems(located) == {}


def test_an_asterisk_that_starts_with_it_sends_it_too(located: Stage) -> None:
    before = located.node.pid("asterisk")
    located.node.signal("asterisk", signal.SIGKILL)
    wait_until(lambda: located.node.pid("asterisk") != before and located.decides, 20, "the next Asterisk")
    wait_until(lambda: problems(located) == {}, 20, "it to be as it should")
    with services(located, Answers(), None) as servers:
        located.dial("desk", "999", hold_ms=50)
        assert civic(invite(servers["blue"])) == SENT


def test_a_running_asterisk_of_another_version_is_refused(located: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = conf_of(located)
    monkeypatch.setattr("dialplan.emergency_location.PROVEN", (22, 99, 0))
    with pytest.raises(Misconfigured, match=r"this is 22\.10\.1"):
        asyncio.run(apply(located.node.settings, conf, {"geolocation.conf": "; never written\n", "modules.conf": "", "manager.conf": ""}))
    assert "never written" not in (located.node.settings.conf_dir / "geolocation.conf").read_text(encoding="utf-8")


def test_no_address_is_in_a_log_a_ledger_or_a_spool(located: Stage) -> None:
    home = located.node.home
    allowed = {home / "asterisk" / "etc" / "geolocation.conf", *home.glob("ringfence.db*")}
    written = [path for path in home.rglob("*") if path.is_file() and path not in allowed]
    assert [path for path in written if b"Drama" in (held := path.read_bytes()) or b"Attercliffe" in held] == []
    assert {"messages", "ledger.json", "ami.log", "ledger.log"} <= {path.name for path in written}


def test_turned_off_nothing_is_left(located: Stage) -> None:
    with located.changing() as session:
        trunks.set_trunk(session, located._clock, "blue", emergency_location=None)
    assert located.read("config", "apply")["restart"] == ["modules.conf"]
    assert problems(located) == {}
    assert STREET not in (located.node.settings.conf_dir / "geolocation.conf").read_text(encoding="utf-8")
    assert "Total Location Objects: 0" in located.node.rx("geoloc list locations")
    with services(located, Answers(), None) as servers:
        located.dial("desk", "999", hold_ms=50)
        assert carries_none(invite(servers["blue"]))
