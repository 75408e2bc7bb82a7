"""The configuration of a twin: an Asterisk whose way to 999 is that of this node, and that can reach nothing but this machine.

Two things keep it from the real 999, each enough by itself. Every address in its files is one of loopback: `outside` looks at the rendered text. And
its SIP sockets are bound to 127.0.0.1, from which Linux sends nothing that leaves the machine.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping

import msgspec

from dialplan.emergency_call import CODES, in_turn
from dialplan.emergency_digest import road
from dialplan.node_conf import Directories, Login, NodeConf, PhoneConf, TrunkConf

REALM = "ringfence"  # of pjsip.conf.j2
HERE, ANSWERING, PHONES = "127.0.0.1", "127.0.0.3", "127.0.0.4"
_SIP = re.compile(r"sips?:(?:[^@\s,<>]*@)?([^\s:;,<>()\\]+)")
_BIND = re.compile(r"^bind(?:addr)?\s*=\s*(\S+?)(?::\d+)?$", re.MULTILINE)


class Place(msgspec.Struct, frozen=True):
    """What a twin has of its own."""

    dirs: Directories
    sip_port: int
    ari_port: int
    ami_port: int
    agi_port: int  # where nobody listens
    rtp_start: int
    ways: Mapping[str, int]  # the answering point's port for each emergency trunk
    secret: str  # of its phones and its doors


def twin_conf(conf: NodeConf, place: Place) -> NodeConf:
    """Return what the twin's files are rendered from: this node's emergency trunks and phones, with other addresses and secrets, and no ordinary trunk."""
    return msgspec.structs.replace(
        conf,
        dirs=place.dirs,
        ari=Login(HERE, place.ari_port, conf.ari.user, place.secret),
        ami=Login(HERE, place.ami_port, conf.ami.user, place.secret),
        agi=Login(HERE, place.agi_port),
        sip_host=HERE,
        sip_port=place.sip_port,
        external_host="",
        rtp_start=place.rtp_start,
        rtp_end=place.rtp_start + 400,
        qualify_seconds=0,
        tls=None,
        trunks=tuple(_trunk(trunk, place.ways[trunk.name]) for trunk in in_turn(conf.trunks)),
        phones=tuple(_phone(phone, place.secret) for phone in conf.phones),
    )


def same_road(in_place: str, twin: str, conf: NodeConf, place: Place) -> bool:
    """Tell whether a call to 999 goes through the same steps in the twin's extensions.conf as in the one in place, but for the trunks' addresses."""
    for way in in_turn(conf.trunks):
        transport, instead = ("", "") if way.transport == "udp" else (f"\\;transport={way.transport}", "\\;transport=tcp")
        in_place = in_place.replace(f"PJSIP/{way.name}/sip:", f"PJSIP/{way.name}//sip:")  # each trunk's own lines only
        for code in CODES:
            address = f"PJSIP/{way.name}//sip:{code}@{way.host}:{way.port}{transport},"
            in_place = in_place.replace(address, f"PJSIP/{way.name}/sip:{code}@{ANSWERING}:{place.ways[way.name]}{instead},")
    return road(in_place) == road(twin)


def outside(texts: Mapping[str, str]) -> list[str]:
    """Return every address in rendered files that is not one of loopback; a name is none, whatever it may resolve to."""
    found = {host for name in ("pjsip.conf", "extensions.conf") for host in _SIP.findall(texts[name])}
    found |= {host for text in texts.values() for host in _BIND.findall(text)}
    return sorted(host for host in found if not _is_loopback(host))


def _trunk(trunk: TrunkConf, port: int) -> TrunkConf:
    transport = "udp" if trunk.transport == "udp" else "tcp"  # for TLS it would need a certificate that somebody trusts
    return msgspec.structs.replace(
        trunk, host=ANSWERING, port=port, transport=transport, match=(), inbound=False, outbound=True, username="", password="", register=False
    )


def _phone(phone: PhoneConf, secret: str) -> PhoneConf:
    ha1 = hashlib.md5(f"{phone.name}:{REALM}:{secret}".encode(), usedforsecurity=False).hexdigest()  # RFC 2617, 3.2.2.2
    return msgspec.structs.replace(phone, ha1=ha1)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
