"""Does the running Asterisk do what its files say? Asked over AMI, ARI and the kernel's socket table."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ari_app.ami.client import AmiClient
from ari_app.ari import http
from ari_app.configuration.verify_emergency import verify_emergency
from ari_app.configuration.verify_location import verify_location
from dialplan.emergency_location import first_dialled
from dialplan.node_conf import NodeConf
from ringfence.errors import NotFound, Refused, RingfenceError
from ringfence.settings import Settings

_LOAD = re.compile(r"^load\s*=>?\s*(\S+?)\.so\s*$", re.MULTILINE)
_LISTEN = "0A"  # state in /proc/net/tcp


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    check: str
    problem: str  # empty when it is as it should be


async def verify_running(client: AmiClient, settings: Settings, conf: NodeConf, texts: Mapping[str, str]) -> list[Finding]:
    """Look whether Asterisk has what the files say: modules, trunks and phones, dialplan, the way of each phone to 999, and the address that goes with it.

    Raises:
        Unavailable: Asterisk stopped answering.
    """
    return [
        Finding("modules", await _modules(client, texts["modules.conf"])),
        Finding("endpoints", await _endpoints(client, conf)),
        Finding("dialplan", await _dialplan(client, texts["extensions.conf"])),
        Finding("emergency calls", await verify_emergency(client, conf)),
        Finding("emergency location", await verify_location(client, settings, conf)),
    ]


async def verify_doors(settings: Settings) -> list[Finding]:
    """Look whether the ARI app is registered, and HTTP and AMI listen on loopback only."""
    findings = [Finding("ari app", await asyncio.to_thread(_app, settings))]
    for what, port in (("http", settings.ari.port), ("ami", settings.ami.port)):
        addresses = listening(port)
        outside = [str(address) for address in addresses if not address.is_loopback]
        problem = f"nobody listens on port {port}" if not addresses else f"port {port} is open on {', '.join(outside)}" if outside else ""
        findings.append(Finding(f"{what} on loopback", problem))
    return findings


def listening(port: int) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the addresses on which a TCP port of this machine is listened to (Linux)."""
    found: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = []
    for name in ("tcp", "tcp6"):
        path = Path("/proc/net") / name
        for line in path.read_text(encoding="ascii").splitlines()[1:] if path.exists() else ():
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if state == _LISTEN and int(number, 16) == port:
                words = [bytes.fromhex(address[start : start + 8])[::-1] for start in range(0, len(address), 8)]
                found.append(ipaddress.ip_address(b"".join(words)))
    return found


def dialplan_size(text: str) -> Counter[str]:
    """Return for each context of an extensions.conf the number of its priorities."""
    size: Counter[str] = Counter()
    context = ""
    for line in text.splitlines():
        if match := re.match(r"\[([^\]]+)\]", line):
            context = match[1]
            if context not in {"general", "globals"}:
                size[context] += 0
        elif re.match(r"(exten|same)\s*=>", line.strip()):
            size[context] += 1
    return size


async def _modules(client: AmiClient, text: str) -> str:
    missing = []
    for module in _LOAD.findall(text):
        try:
            await client.action("ModuleCheck", Module=module)
        except Refused:
            missing.append(module)
    return f"not loaded: {', '.join(missing)}" if missing else ""


async def _endpoints(client: AmiClient, conf: NodeConf) -> str:
    wanted = {name for trunk in conf.trunks for name in (trunk.name, first_dialled(trunk))} | {phone.name for phone in conf.phones}
    found = {event.objectname for event in await client.listing("PJSIPShowEndpoints")}
    parts = [f"{what}: {', '.join(sorted(names))}" for what, names in (("missing", wanted - found), ("not ours", found - wanted)) if names]
    return "; ".join(parts)


async def _dialplan(client: AmiClient, text: str) -> str:
    found = Counter(event.context for event in await client.listing("ShowDialPlan") if event.priority)
    wrong = [f"{context} has {found[context]} of {count} priorities" for context, count in dialplan_size(text).items() if found[context] != count]
    return "; ".join(wrong)


def _app(settings: Settings) -> str:
    try:
        http.request(settings, "GET", f"applications/{settings.ari.app}")
    except NotFound:
        return f"{settings.ari.app} is not connected"
    except RingfenceError as error:
        return error.message
    return ""
