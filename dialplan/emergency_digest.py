"""What a call to 999 goes through, as digests: two of them, so that whoever changed something is told what must be tested, and why.

A digest holds no secret: passwords stay out, and so does what differs from phone to phone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from dialplan.call import LOCATED
from dialplan.emergency_call import CODES, dialled_forms

_SECTION = re.compile(r"\[([^\]]+)\]")
_WAY = re.compile(rf"Dial\(PJSIP/(?:{'|'.join(CODES)})@([a-z0-9-]+)(?:{re.escape(LOCATED)})?,")
_PHONE = re.compile(r"exten => [a-z0-9-]+,1,MSet\(")
_OF_A_PHONE = (
    (re.compile(r"(exten => |\|)[a-z0-9-]+(,1,|\|)"), r"\1phone\2"),
    (re.compile(r"static::\d+:"), "static::account:"),
    (re.compile(r"\+?\d{7,15}"), "number"),
)
_SECRET = re.compile(r"(password|secret|md5_cred)\s*=")
_GOES_THROUGH = ("general", "globals", "tried", "ended")  # contexts, whole


class WayDigest(msgspec.Struct, frozen=True):
    """The way to 999 of one configuration; each digest is a SHA-256 in hexadecimal."""

    trunks: str  # the emergency trunks, and how they are tried
    dialplan: str  # whatever else a call to 999 goes through


def way_digest(texts: Mapping[str, str]) -> WayDigest | None:
    """Return the digests of a rendered configuration; None when no phone of it has a number to call 999 with.

    Args:
        texts: the files by name; `extensions.conf` and `pjsip.conf` are read.
    """
    contexts = sections(texts["extensions.conf"])
    phones = [line for line in contexts.get("emergency-site", ()) if _PHONE.match(line)]
    if not phones:
        return None
    trunks = [*contexts.get("emergency", ()), *_of_trunks(texts["pjsip.conf"], emergency_trunks(texts["extensions.conf"]))]
    road = [*_forms(contexts.get("from-phone", ())), *sorted({_alike(line) for line in contexts["emergency-site"]})]
    road += ["[located]", *sorted({_alike(line) for line in contexts.get("located", ())})]
    for name in _GOES_THROUGH:
        road += [f"[{name}]", *contexts.get(name, ())]
    return WayDigest(_digest(trunks), _digest(road))


def road(extensions: str) -> list[str]:
    """Return every step that a call to 999 may go through in an extensions.conf, with the context that each belongs to."""
    contexts = sections(extensions)
    steps = list(_forms(contexts.get("from-phone", ())))
    for name in ("emergency-site", "located", "emergency", *_GOES_THROUGH):
        steps += [f"[{name}]", *contexts.get(name, ())]
    return steps


def emergency_trunks(extensions: str) -> list[str]:
    """Return the names of the trunks that an extensions.conf tries for 999, in turn."""
    return list(dict.fromkeys(_WAY.findall("\n".join(sections(extensions).get("emergency", ())))))


def sections(text: str) -> dict[str, list[str]]:
    """Return the lines of each section of a configuration file, without comments; sections of one name are joined, their headers kept."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith(";") or not line:
            continue
        if match := _SECTION.match(line):
            name = match[1]
            found.setdefault(name, [])
            if found[name] or line != f"[{name}]":
                found[name].append(line)
        else:
            found.setdefault(name, []).append(line)
    return found


def _forms(lines: Iterable[str]) -> Iterator[str]:
    """Yield the steps of every way to dial an emergency number."""
    forms = {form for form, _ in dialled_forms()}
    inside = False
    for line in lines:
        if line.startswith("exten"):
            inside = line.removeprefix("exten => ").partition(",")[0] in forms
        if inside:
            yield line


def _of_trunks(pjsip: str, names: Iterable[str]) -> Iterator[str]:
    found = sections(pjsip)
    wanted = ["ours", *(one for name in names for one in (name, name + LOCATED) if one in found)]
    used = {line.partition("=")[2].strip() for name in wanted for line in found.get(name, ()) if line.startswith("transport")}
    for name in (*wanted, *sorted(used)):
        yield f"[{name}]"
        yield from (line for line in found.get(name, ()) if not _SECRET.match(line))


def _alike(line: str) -> str:
    """Return a line of a phone's as that of any phone."""
    for pattern, instead in _OF_A_PHONE:
        line = pattern.sub(instead, line)
    return line


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
