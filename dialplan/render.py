"""Asterisk's configuration as text: values in, `{file name: text}` out. No I/O but reading the shipped templates.

Names and values that come from people are checked again here, by shape, so that none can carry configuration or dialplan
syntax into a file, whatever let it into the store.
"""

from __future__ import annotations

import ipaddress
import re
from importlib import resources

import jinja2

from dialplan import emergency_call, emergency_location
from dialplan.node_conf import Directories, NodeConf
from ringfence.errors import Invalid

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?\Z")
_WORD = re.compile(r"[A-Za-z0-9_.+@-]{1,80}\Z")
_SECRET = re.compile(r"[A-Za-z0-9_.+@/=!*%:,~^-]{1,128}\Z")
_PATH = re.compile(r"/[A-Za-z0-9_./+@-]*\Z")
_SITE = re.compile(r"(\+[1-9][0-9]{6,14})?\Z", re.ASCII)
_HA1 = re.compile(r"[0-9a-f]{32}\Z")

SECRET_FILES = frozenset({"ari.conf", "geolocation.conf", "manager.conf", "pjsip.conf"})


def render(conf: NodeConf) -> dict[str, str]:
    """Return the text of every file of the configuration.

    Raises:
        Invalid: a value has a shape that it must not have.
        Misconfigured: a phone that may call has no way to 999, or this Asterisk cannot send the address that a trunk asks for.
        jinja2.UndefinedError: a template names a variable that does not exist.
    """
    check(conf)
    emergency_call.check_ways(conf.trunks, conf.phones)
    emergency_location.check_location(conf)
    values = {field: getattr(conf, field) for field in conf.__struct_fields__}
    values |= {"codes": emergency_call.CODES, "forms": tuple(emergency_call.dialled_forms()), "ways": emergency_call.in_turn(conf.trunks)}
    values |= {"call_back_seconds": emergency_call.CALL_BACK_SECONDS, "call_back_ring": emergency_call.CALL_BACK_RING}
    values |= {"locates": emergency_location.asks(conf.trunks), "location_modules": emergency_location.MODULES}
    values |= {"locations": {phone.name: emergency_location.elements(phone) for phone in conf.phones if phone.address}}
    values |= {"first_dialled": emergency_location.first_dialled}
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    files: dict[str, str] = {}
    for entry in (resources.files("dialplan") / "templates").iterdir():
        if entry.name.endswith(".conf.j2"):
            files[entry.name.removesuffix(".j2")] = environment.from_string(entry.read_text(encoding="utf-8")).render(values)
        elif entry.name.endswith(".conf"):
            files[entry.name] = entry.read_text(encoding="utf-8")
    return dict(sorted(files.items()))


def check(conf: NodeConf) -> None:
    """Refuse values whose shape could carry configuration or dialplan syntax.

    Raises:
        Invalid: naming the value, not showing it when it is secret.
    """
    _match(_NAME, conf.node, "the node's name")
    _match(_NAME, conf.app, "the ARI app's name")
    for name in Directories.__struct_fields__:
        _match(_PATH, getattr(conf.dirs, name), f"folder {name}")
    for login in (conf.ari, conf.ami, conf.agi):
        _address(login.host)
        if login.user:
            _match(_WORD, login.user, "a user name")
            _secret(login.secret, f"the secret of {login.user}")
    _address(conf.sip_host)
    if conf.external_host:
        _match(_HOST, conf.external_host, "external_host")
    if conf.tls:
        _match(_PATH, conf.tls.cert, "the certificate's path")
        _match(_PATH, conf.tls.key, "the key's path")
    names: set[str] = set()
    for trunk in conf.trunks:
        _match(_NAME, trunk.name, "a trunk's name")
        _match(_HOST, trunk.host, f"the host of trunk {trunk.name}")
        _match(re.compile(r"(udp|tcp|tls)\Z"), trunk.transport, f"the transport of trunk {trunk.name}")
        _match(re.compile(r"(e164_plus|e164|national)\Z"), trunk.number_format, f"the number format of trunk {trunk.name}")
        if trunk.transport == "tls" and conf.tls is None:
            raise Invalid(f"trunk {trunk.name} wants TLS, but no certificate is set", hint="set asterisk.tls_cert and asterisk.tls_key")
        for address in trunk.match:
            _network(address)
        if trunk.username:
            _match(_WORD, trunk.username, f"the user name of trunk {trunk.name}")
            _secret(trunk.password, f"the password of trunk {trunk.name}")
        names.add(trunk.name)
    for phone in conf.phones:
        _match(_NAME, phone.name, "a phone's name")
        _match(_HA1, phone.ha1, f"the digest of phone {phone.name}")
        _match(_SITE, phone.site, f"the number that phone {phone.name} presents to 999")
        names.add(phone.name)
    if len(names) != len(conf.trunks) + len(conf.phones) or names & {"ours", "global", "udp", "tcp", "tls"}:
        raise Invalid("two trunks or phones share a name, or one is called ours, global, udp, tcp or tls", hint="rename one of them")


def _match(pattern: re.Pattern[str], value: str, what: str) -> None:
    if not pattern.match(value):
        raise Invalid(f"{what} is {value!r}, which a configuration file cannot hold", hint="use plain letters, digits and '-'")


def _secret(value: str, what: str) -> None:
    if not _SECRET.match(value):
        raise Invalid(f"{what} is empty or has characters that a configuration file cannot hold", hint="use letters, digits and _.+@/=!*%:,~^-")


def _address(value: str) -> None:
    try:
        _no_scope(ipaddress.ip_address(value))
    except ValueError as error:
        raise Invalid(f"{value!r} is not an IP address", hint="write the address, not a name") from error


def _network(value: str) -> None:
    try:
        _no_scope(ipaddress.ip_network(value, strict=False).network_address)
    except ValueError as error:
        raise Invalid(f"{value!r} is neither an IP address nor a network", hint="write an address like 192.0.2.10 or a network like 192.0.2.0/24") from error


def _no_scope(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Refuse an IPv6 zone (`fe80::1%eth0`): the library takes any text for one, line ends too."""
    if "%" in str(address):
        raise ValueError("an address of one link only")
