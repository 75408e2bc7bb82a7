"""Shapes of what the operator types: names, hosts, networks. Nothing that passes here can carry configuration syntax into a file."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import msgspec

from ringfence.errors import Invalid, NotFound
from ringfence.values import E164, NumberClass, PlanTarget

# Section names that the rendered configuration uses itself, and the one that PJSIP gives to strangers.
RESERVED_NAMES = frozenset({"anonymous", "general", "global", "identify", "nowhere", "ours", "ringfence", "system", "tcp", "tls", "udp", "ws", "wss"})

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}\Z")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)\Z")
_WORD = re.compile(r"[A-Za-z0-9_.+@-]{1,80}\Z")
_OPERATOR = re.compile(r"[a-z0-9][a-z0-9._@+\\-]{0,59}\Z")
_PATH = re.compile(r"/[A-Za-z0-9_./+@-]{1,254}\Z")
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class DidWish(msgspec.Struct, frozen=True):
    """What a row of a file wants of a number."""

    e164: E164
    number_class: NumberClass
    account: str | None  # the account's reference; '' = nobody; None = as it is
    targets: tuple[PlanTarget, ...] | None  # None = as they are


def check_name(name: str) -> str:
    """Return the name of a trunk or endpoint.

    Raises:
        Invalid: it cannot be a PJSIP section of ours.
    """
    if not _NAME.match(name):
        raise Invalid("a name has 1 to 40 lower-case letters, digits and dashes, and does not begin with a dash", hint="choose one like carrier-a or desk-12")
    if name in RESERVED_NAMES:
        raise Invalid(f"the name {name} is taken by the configuration itself", hint="choose another name")
    return name


def check_ref(ref: str) -> str:
    """Return an account's reference.

    Raises:
        Invalid: it has other characters than letters, digits, dots, dashes and underscores, or more than 40.
    """
    if not _REF.match(ref):
        raise Invalid(
            "an account's reference has 1 to 40 letters, digits, dots, dashes and underscores",
            hint="choose one like ACME-1; the customer's name goes into --name",
        )
    return ref


def check_operator(name: str) -> str:
    """Return an operator's name in lower case: Kim and kim are one person, who cannot approve what she proposed.

    Raises:
        Invalid: it has other characters than letters, digits, dots, dashes, underscores, @, + and backslashes, or more than 60.
    """
    name = name.strip().lower()
    if not _OPERATOR.match(name):
        raise Invalid("an operator's name has 1 to 60 letters, digits, dots, dashes, underscores, @ and +", hint="give your login name: --operator kim")
    return name


def check_display_name(name: str) -> str:
    """Return a customer's name, in Unicode's composed form and without space around it.

    Raises:
        Invalid: it is empty, longer than 200 characters, or holds characters that do not print.
    """
    name = unicodedata.normalize("NFC", name).strip()
    if not 1 <= len(name) <= 200:
        raise Invalid("a customer's name has 1 to 200 characters")
    if any(unicodedata.category(character) in _UNPRINTABLE for character in name):
        raise Invalid("a customer's name holds characters that do not print", hint="type it again, without line breaks or control characters")
    return name


def check_note(text: str) -> str:
    """Return a note of at most 200 characters, in Unicode's composed form and without space around it; it may be empty.

    Raises:
        Invalid: it is longer, or holds characters that do not print.
    """
    text = unicodedata.normalize("NFC", text).strip()
    if len(text) > 200:
        raise Invalid("a note has at most 200 characters")
    if any(unicodedata.category(character) in _UNPRINTABLE for character in text):
        raise Invalid("a note holds characters that do not print", hint="type it again, without line breaks or control characters")
    return text


def check_host(host: str) -> str:
    """Return a trunk's host, a DNS name or an IPv4 address, in lower case.

    Raises:
        Invalid: it is neither.
    """
    if re.fullmatch(r"[0-9.]+", host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError as error:
            raise Invalid("the host is not an IPv4 address", hint="write it like 192.0.2.10") from error
    if len(host) > 253 or not all(_LABEL.match(label) for label in host.split(".")):
        raise Invalid("the host is neither a DNS name nor an IPv4 address", hint="write it like sip.example.com or 192.0.2.10; the port goes into --port")
    return host.lower()


def check_networks(networks: Iterable[str]) -> list[str]:
    """Return the addresses that a trunk's calls come from, each an IP address or a network in CIDR form.

    Raises:
        Invalid: one of them is neither, or it is so wide that strangers would be let in.
    """
    found = []
    for text in networks:
        try:
            network = ipaddress.ip_network(text, strict=True)
        except ValueError as error:
            raise Invalid("a match is neither an IP address nor a network", hint="write it like 192.0.2.10 or 192.0.2.0/28, without host bits") from error
        if network.prefixlen < (8 if network.version == 4 else 16):
            raise Invalid("a match is too wide: it would let strangers in", hint="name the carrier's own networks")
        found.append(str(network.network_address) if network.num_addresses == 1 else str(network))
    return list(dict.fromkeys(found))


def check_username(username: str) -> str:
    """Return the user name that we give a carrier.

    Raises:
        Invalid: it has other characters than letters, digits and `_ . + @ -`, or more than 80.
    """
    if not _WORD.match(username):
        raise Invalid("a trunk's user name has 1 to 80 letters, digits and _ . + @ -")
    return username


def check_password_file(path: str) -> str:
    """Return the path where each node keeps a trunk's password.

    Raises:
        Invalid: it is not absolute, or has characters that a configuration file must not see.
    """
    if not _PATH.match(path) or ".." in path.split("/"):
        raise Invalid(
            "the password file is not an absolute path of plain characters", hint="write it like /etc/ringfence/secrets/carrier-a, mode 0600 on each node"
        )
    return path


def not_found(kind: str, name: str, known: Sequence[str], command: str) -> NotFound:
    """Return the error for a name that does not exist, with the nearest one that does.

    Args:
        kind: 'account', 'trunk', …
        name: what was asked for.
        known: names to look for near misses in.
        command: what lists them.
    """
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    shown = name if name.isascii() and name.isprintable() and len(name) <= 40 else "of that name"
    hint = f"did you mean {near[0]}? '{command}' lists them" if near else f"'{command}' lists them"
    return NotFound(f"there is no {kind} {shown}", hint=hint)
