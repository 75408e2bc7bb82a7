"""The twin in which calls to 999 are tested is this node's, and can reach nothing but this machine; and what its calls show is judged right."""

from __future__ import annotations

import socket
from typing import Any

import msgspec
import pytest

from ari_app.emergency.checks import located, reached, shown
from ari_app.emergency.twin import HERE, Place, outside, same_road, twin_conf
from ari_app.emergency.walk import one_of_each_site
from ari_app.private import root as roots
from ari_app.private.root import Root, with_sipp
from ari_app.private.sip_trace import SipMessage
from dialplan.emergency_location import elements
from dialplan.render import render
from ringfence.emergency import EmergencyAddress
from ringfence.errors import Misconfigured
from tests.unit.test_emergency_call import PHONE
from tests.unit.test_render import CONF, DIRS, WAYS

replace = msgspec.structs.replace
PLACE = Place(DIRS, 25060, 25061, 25062, 25063, 26000, {"first-999": 27001, "second-999": 27002}, "f" * 32)
TWIN = twin_conf(CONF, PLACE)
TEXTS = render(TWIN)


def test_nothing_of_it_is_outside_of_this_machine() -> None:
    away = outside(render(CONF))
    assert {"first-999.example.com", "second-999.example.com", "sip.example.com", "192.0.2.9"} <= set(away)
    assert outside(TEXTS) == []
    text = "".join(TEXTS.values())
    assert "example.com" not in text
    assert "a-pass" not in text
    assert PHONE.ha1 not in text


@pytest.mark.parametrize(
    ("name", "line", "host"),
    [
        ("pjsip.conf", "contact = sip:192.0.2.1:5060", "192.0.2.1"),
        ("pjsip.conf", "server_uri = sips:localhost", "localhost"),
        ("pjsip.conf", "bind = 198.51.100.1:5060", "198.51.100.1"),
        ("pjsip.conf", "outbound_proxy = sip:sip.example.com\\;lr", "sip.example.com"),
        ("extensions.conf", " same => n,Dial(PJSIP/first-999/sip:999@sip.example.net:5060,^6,i)", "sip.example.net"),
        ("http.conf", "bindaddr = 192.0.2.9", "192.0.2.9"),
    ],
)
def test_a_template_that_names_an_address_of_its_own_is_found(name: str, line: str, host: str) -> None:
    assert outside(TEXTS | {name: f"{TEXTS[name]}\n{line}\n"}) == [host]


def test_from_where_its_sockets_are_bound_the_kernel_sends_nothing_away() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((HERE, 0))
        with pytest.raises(OSError, match="Invalid argument"):
            sender.sendto(b"INVITE", ("192.0.2.1", 5060))
    assert [line for line in TEXTS["pjsip.conf"].splitlines() if line.startswith("bind =")] == [f"bind = {HERE}:25060"] * 2


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_it_goes_the_same_way_but_for_the_addresses(transport: str) -> None:
    conf = replace(CONF, trunks=(replace(WAYS[0], transport=transport), WAYS[1]))
    twin = render(twin_conf(conf, PLACE))["extensions.conf"]
    here = render(conf)["extensions.conf"]
    assert same_road(here, twin, conf, PLACE)
    for changed in (
        here.replace("^6.0", "^7.0", 1),
        here.replace("second-999.example.com", "first-999.example.com", 1),
        here.replace("RF_SITE=+442079460123", "RF_SITE=+442079460124"),
        render(replace(conf, phones=()))["extensions.conf"],
    ):
        assert changed != here
        assert not same_road(changed, twin, conf, PLACE)


def test_one_phone_of_each_site_that_calls() -> None:
    other = replace(PHONE, name="attic")
    deaf = replace(PHONE, name="alarm", site="+442079460124", receive_only=True)
    assert one_of_each_site([PHONE, other, deaf]) == [other]


def invite(*headers: tuple[str, str], body: str = "v=0", number: str = "+442079460123", code: str = "999") -> SipMessage:
    own = (("From", f"<sip:{number}@127.0.0.1>;tag=1"), ("P-Asserted-Identity", f"<sip:{number}@127.0.0.1>"))
    return SipMessage(False, f"INVITE sip:{code}@127.0.0.3:27001 SIP/2.0", headers or own, body)


FROM = ("From", "<sip:+442079460123@127.0.0.1>;tag=1")
ASSERTED = ("P-Asserted-Identity", "<sip:+442079460123@127.0.0.1>")
JUDGED: dict[str, tuple[SipMessage, str]] = {
    "right": (invite(), ""),
    "another number": (invite(number="+442079460124"), "From of desk is not the number of its site; P-Asserted-Identity of desk is not the number of its site"),
    "no identity": (invite(FROM), "P-Asserted-Identity of desk is not the number of its site"),
    "two identities": (invite(FROM, ASSERTED, ASSERTED), "P-Asserted-Identity of desk is not the number of its site"),
    "withheld": (invite(FROM, ASSERTED, ("Privacy", "id")), "the number of desk is withheld"),
    "nothing readable": (invite(("From", "!"), ASSERTED), "From of desk is not the number of its site"),
}


@pytest.mark.parametrize(("message", "told"), JUDGED.values(), ids=JUDGED)
def test_who_is_shown(message: SipMessage, told: str) -> None:
    assert shown(WAYS[0], [PHONE], [message]) == told


FORMS = {"e164_plus": "+442079460123", "e164": "442079460123", "national": "02079460123"}


@pytest.mark.parametrize("number_format", FORMS)
def test_the_number_must_be_in_the_trunk_s_form(number_format: str) -> None:
    trunk = replace(WAYS[0], number_format=number_format)
    assert {form for form, number in FORMS.items() if shown(trunk, [PHONE], [invite(number=number)]) == ""} == {number_format}


def test_who_is_reached() -> None:
    ways = ["first-999", "second-999"]
    came: dict[str, list[SipMessage]] = {"first-999": [invite()], "second-999": []}
    assert reached("999", ways, came, {"first-999": 1}) == ""
    assert reached("999", ways, came, {"second-999": 1}) == "first-999 got 1 call(s) instead of 0; second-999 got 0 call(s) instead of 1"
    assert reached("112", ways, came, {"first-999": 1}) == "first-999 was called for another number than 112"


TOLD: list[dict[str, Any]] = [
    {"headers": (FROM, ("Geolocation", "<cid:a@example.com>"))},
    {"headers": (FROM, ("content-type", "multipart/mixed;boundary=x"))},
    {"body": "<presence xmlns='urn:ietf:params:xml:ns:pidf'/>"},
]


@pytest.mark.parametrize("message", TOLD)
def test_a_location_that_nobody_asked_for_is_found(message: dict[str, Any]) -> None:
    told = invite(*message.get("headers", ()), body=message.get("body", "v=0"))
    assert located(WAYS[0], [PHONE, PHONE], [invite(), told]) == "first-999 was told where desk is, which it must not be"
    assert located(WAYS[0], [PHONE], [invite()]) == ""


ADDRESS = EmergencyAddress(name="Smith & Sons", bussuffix="Ltd", premises="104", thoroughfare="King Street", locality="Sheffield", postcode="S9 5AD")


def test_the_address_is_told_where_it_is_asked_for_and_only_in_the_first_round() -> None:
    way, phone = replace(WAYS[0], location=True), replace(PHONE, address=ADDRESS)
    inside = "".join(f"<ca:{name}>{value}</ca:{name}>" for name, value in elements(phone))
    assert "King Street" in inside
    headers = (FROM, ("Geolocation", "<cid:a@example.com>"), ("Geolocation-Routing", "yes"), ("Content-Type", "multipart/mixed;boundary=x"))
    right = invite(*headers, body=f"--x\n\n<gp:location-info><ca:civicAddress xmlns:ca='x'>{inside}</ca:civicAddress></gp:location-info>\n--x--")
    assert located(way, [phone], [right]) == ""
    assert located(way, [phone], [right], again=True) == "first-999 was told where desk is, which it must not be"
    assert located(WAYS[0], [phone], [right]) == "first-999 was told where desk is, which it must not be"
    for wrong in (invite(), invite(*headers, body=right.body.replace("King", "Queen")), invite(FROM, body=right.body), invite(*headers)):
        assert located(way, [phone], [wrong]) == "first-999 was not told the address of desk"
    assert located(way, [PHONE], [invite()]) == ""  # nobody has an address of that one


def test_without_sipp_it_is_said_what_to_install(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root(None, "22.10.1", tmp_path, tmp_path, ("asterisk",), ())
    monkeypatch.setattr(roots, "_which", lambda _program: None)
    with pytest.raises(Misconfigured, match="no SIPp") as caught:
        with_sipp(root)
    assert "apt install sip-tester" in caught.value.hint
    monkeypatch.setattr(roots, "_which", lambda program: f"/usr/bin/{program}")
    assert with_sipp(root).sipp == ("/usr/bin/sipp",)
