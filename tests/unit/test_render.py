"""Whatever people write, a rendered file has exactly the sections and keys that it is meant to have, or nothing is rendered."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialplan.node_conf import Directories, Login, NodeConf, PhoneConf, Tls, TrunkConf
from dialplan.render import SECRET_FILES, render
from ringfence.errors import Invalid, Misconfigured

DIRS = Directories("/etc/a", "/usr/m", "/usr/d", "/var/db", "/var/k", "/var/agi", "/var/s", "/run/a", "/var/log/a")
TRUNK = TrunkConf(
    name="carrier-a",
    host="sip.example.com",
    port=5060,
    transport="udp",
    match=("192.0.2.1", "2001:db8::/32"),
    inbound=True,
    outbound=True,
    diversion=False,
    username="user",
    password="a-pass",
    register=True,
    number_format="e164_plus",
    emergency=None,
)
WAYS = tuple(
    msgspec.structs.replace(TRUNK, name=name, host=f"{name}.example.com", match=(), inbound=False, username="", password="", register=False, emergency=turn)
    for turn, name in enumerate(("first-999", "second-999"))
)
CONF = NodeConf(
    node="node1",
    app="ringfence",
    asterisk="22.10.1",
    geolocation=True,
    dirs=DIRS,
    ari=Login("127.0.0.1", 8088, "ringfence", "ari-secret"),
    ami=Login("127.0.0.1", 5038, "ringfence", "ami-secret"),
    agi=Login("127.0.0.1", 4573),
    sip_host="192.0.2.9",
    sip_port=5060,
    external_host="sip.example.com",
    rtp_start=10000,
    rtp_end=20000,
    max_calls=100,
    emergency_calls=4,
    emergency_wait=6.0,
    qualify_seconds=30,
    tls=Tls("/etc/cert.pem", "/etc/key.pem"),
    trunks=(TRUNK, *WAYS),
    phones=(PhoneConf("desk", "0" * 32, 7, "+442079460123", receive_only=False),),
)

Sections = list[tuple[str, list[tuple[str, str]]]]


def parse(text: str) -> Sections:
    r"""Read a file as Asterisk's config.c does: `;` begins a comment unless escaped, `;--` a block of them, `[name](templates)` a section, `#` an include."""
    sections: Sections = []
    for raw in text.split("\n"):
        assert ";--" not in raw
        line = re.sub(r"\\;", "\0", raw)
        line = line.split(";", 1)[0].replace("\0", ";").strip()
        if not line:
            continue
        assert not line.startswith("#"), "an include"
        if line.startswith("["):
            name, closed, rest = line[1:].partition("]")
            assert closed
            sections.append((name + rest, []))
            continue
        key, separator, value = line.partition("=")
        assert separator, line
        assert sections, "a key before any section"
        sections[-1][1].append((key.strip(), value.removeprefix(">").strip()))
    return sections


def shape(files: dict[str, str]) -> dict[str, list[tuple[str, list[str]]]]:
    """Return the sections and keys, without values."""
    return {name: [(section, [key for key, _ in pairs]) for section, pairs in parse(text)] for name, text in files.items()}


def named(files: dict[str, str], section: str) -> list[dict[str, list[str]]]:
    """Return the sections of pjsip.conf that have this name."""
    found = []
    for name, pairs in parse(files["pjsip.conf"]):
        if re.fullmatch(rf"{re.escape(section)}(\(.*\))?", name):
            values: dict[str, list[str]] = {}
            for key, value in pairs:
                values.setdefault(key, []).append(value)
            found.append(values)
    return found


EXPECTED = shape(render(CONF))


def test_what_is_rendered() -> None:
    files = render(CONF)
    assert set(SECRET_FILES) < set(files)
    endpoint, aor, identify, auth, registration = named(files, "carrier-a")
    assert endpoint["identify_by"] == ["ip"]
    assert endpoint["context"] == ["from-trunk"]
    assert aor["contact"] == ["sip:sip.example.com:5060"]
    assert identify["match"] == ["192.0.2.1", "2001:db8::/32"]
    assert auth["password"] == ["a-pass"]
    assert registration["line"] == ["yes"]
    phone, _, credentials = named(files, "desk")
    assert phone["identify_by"] == ["username"]
    assert credentials["md5_cred"] == ["0" * 32]


def test_a_tcp_trunk_s_transport_is_in_its_addresses() -> None:
    _, aor, _, _, registration = named(render(msgspec.structs.replace(CONF, trunks=(msgspec.structs.replace(TRUNK, transport="tcp"), *WAYS))), "carrier-a")
    assert aor["contact"] == ["sip:sip.example.com:5060;transport=tcp"]
    assert registration["server_uri"] == ["sip:sip.example.com:5060;transport=tcp"]


def test_an_outbound_trunk_takes_no_calls() -> None:
    trunk = msgspec.structs.replace(TRUNK, inbound=False, username="", password="", register=False)
    endpoint, aor = named(render(msgspec.structs.replace(CONF, trunks=(trunk, *WAYS))), "carrier-a")
    assert endpoint["context"] == ["nowhere"]
    assert aor["contact"]


@pytest.mark.parametrize(
    "change",
    [
        {"phones": (PhoneConf("carrier-a", "0" * 32, 7, "+442079460123", receive_only=False),)},
        {"phones": (PhoneConf("ours", "0" * 32, 7, "+442079460123", receive_only=False),)},
        {"tls": None, "trunks": (msgspec.structs.replace(TRUNK, transport="tls"), *WAYS)},
        {"trunks": (msgspec.structs.replace(TRUNK, transport="ws"), *WAYS)},
        {"trunks": (msgspec.structs.replace(TRUNK, password=""), *WAYS)},
    ],
)
def test_what_does_not_fit_together_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        render(msgspec.structs.replace(CONF, **change))


SYNTAX = [
    "x\n[evil]\ntype=endpoint",
    "x;--",
    "${SHELL(id)}",
    "x](!)",
    "#include /etc/passwd",
    "127.0.0.1\nmatch = 0.0.0.0/0",
    "a=>b",
    "0.0.0.0/0 ; x",
    "a\\",
    "fe80::1%x\n[evil]",
]
HOSTILE = st.text(alphabet="ab1.-_/${}[](),;|=>&\"'\\#!\n\r\t\0 é\u2028\x85", max_size=12) | st.sampled_from(SYNTAX)
PLACES = [
    ("node",),
    ("app",),
    ("external_host",),
    ("sip_host",),
    *(("dirs", name) for name in Directories.__struct_fields__),
    *((login, field) for login in ("ari", "ami") for field in ("host", "user", "secret")),
    ("agi", "host"),
    ("tls", "cert"),
    ("tls", "key"),
    *(("trunks", field) for field in ("name", "host", "transport", "username", "password", "number_format")),
    ("trunks", "match"),
    ("phones", "name"),
    ("phones", "ha1"),
    ("phones", "site"),
]


def placed(place: tuple[str, ...], value: str) -> NodeConf:
    replace = msgspec.structs.replace
    head, *rest = place
    if not rest:
        return replace(CONF, **{head: value})
    field = rest[0]
    current = getattr(CONF, head)
    if isinstance(current, tuple):
        return replace(CONF, **{head: (replace(current[0], **{field: ("192.0.2.1", value) if field == "match" else value}), *current[1:])})
    return replace(CONF, **{head: replace(current, **{field: value})})


def neutral(files: dict[str, str], conf: NodeConf) -> dict[str, list[tuple[str, list[str]]]]:
    """Return the shape with the names that were chosen put back to those of the example."""
    back = {conf.trunks[0].name: "carrier-a", conf.phones[0].name: "desk"}

    def section(name: str, file: str) -> str:
        if file == "ari.conf" and name == conf.ari.user:
            return "ringfence"
        if file == "manager.conf" and name == conf.ami.user:
            return "ringfence"
        base = name.removesuffix("(ours)")
        return back[base] + name[len(base) :] if file == "pjsip.conf" and base in back else name

    return {file: [(section(name, file), keys) for name, keys in sections] for file, sections in shape(files).items()}


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(PLACES), HOSTILE)
def test_no_value_carries_syntax_into_a_file(place: tuple[str, ...], value: str) -> None:
    conf = placed(place, value)
    try:
        files = render(conf)
    except (Invalid, Misconfigured):
        return
    expected = EXPECTED
    if place == ("external_host",) and not value:
        dropped = {"external_signaling_address", "external_media_address"}
        expected = {**EXPECTED, "pjsip.conf": [(name, [key for key in keys if key not in dropped]) for name, keys in EXPECTED["pjsip.conf"]]}
    if place == ("trunks", "username") and not value:
        return  # a trunk without credentials has other sections: test_an_outbound_trunk_takes_no_calls
    assert neutral(files, conf) == expected


@pytest.mark.parametrize("place", [("sip_host",), ("ari", "host"), ("ami", "host"), ("agi", "host"), ("trunks", "match")])
def test_an_address_s_zone_is_refused(place: tuple[str, ...]) -> None:
    """`ipaddress` takes any text for a zone."""
    with pytest.raises(Invalid):
        render(placed(place, "fe80::1%x\n[evil]\ntype = endpoint"))


@settings(max_examples=200)
@given(HOSTILE)
def test_a_secret_comes_out_as_it_went_in(secret: str) -> None:
    try:
        files = render(placed(("trunks", "password"), secret))
    except Invalid:
        return
    assert named(files, "carrier-a")[3]["password"] == [secret]
