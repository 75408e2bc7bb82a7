"""Which part of Asterisk takes which file, and what only a restart takes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from dialplan.emergency_location import MODULES

_RELOADED_BY: dict[str, tuple[str, ...]] = {
    "acl.conf": ("acl",),
    "ari.conf": ("res_ari.so",),
    "cdr.conf": ("cdr",),
    "cdr_custom.conf": ("cdr_custom.so",),
    "cel.conf": ("cel",),
    "extensions.conf": ("pbx_config.so",),
    "features.conf": ("features",),
    "indications.conf": ("indications",),
    "logger.conf": ("logger",),
    "manager.conf": ("manager",),
    "pjsip.conf": ("res_pjsip.so", "res_pjsip_authenticator_digest.so", "res_pjsip_endpoint_identifier_ip.so", "res_pjsip_outbound_registration.so"),
    "rtp.conf": ("res_rtp_asterisk.so",),
    "udptl.conf": ("udptl",),
}
_LOCATIONS, _MODULES_CONF = "geolocation.conf", "modules.conf"
_COMPLAINT = re.compile(
    r"\] (?:WARNING|ERROR)\[\d+\](?:\[C-[0-9a-f]+\])? "
    r"((?:config|config_options|sorcery|res_sorcery_config|pbx_config|loader|acl|indications|res_geolocation/geoloc_\w+|geoloc_\w+|cdrel_custom/config|res_pjsip_endpoint_identifier_ip"
    r"|res_pjsip/(?:config_\w+|pjsip_configuration|location))\.c: .*)"
)


class Plan(msgspec.Struct, frozen=True):
    """What makes changed files take effect."""

    load: tuple[str, ...]  # modules to load first, those that are there to be reloaded instead
    modules: tuple[str, ...]  # to reload, in order
    restart: tuple[str, ...]  # files whose change only a restart of Asterisk takes


def plan_reload(wanted: Mapping[str, str | None], present: Mapping[str, str | None], names: Sequence[str]) -> Plan:
    """Return what has to be done for the changed files `names`."""
    modules = dict.fromkeys(module for name in names for module in _RELOADED_BY.get(name, ()))
    restart = [name for name in names if name not in _RELOADED_BY and name != _LOCATIONS]
    load = MODULES if _locates(wanted) and any(name in names for name in (_LOCATIONS, _MODULES_CONF)) else ()
    if load and _without_location(wanted[_MODULES_CONF]) == _without_location(present.get(_MODULES_CONF)):
        restart = [name for name in restart if name != _MODULES_CONF]
    elif _LOCATIONS in names and _locates(present):  # no more addresses; the modules stay until a restart
        modules = {f"{MODULES[0]}.so": None, **modules}
    if "pjsip.conf" in names and _transports(wanted["pjsip.conf"] or "") != _transports(present.get("pjsip.conf") or ""):
        restart.append("pjsip.conf")  # a transport keeps its socket until a restart: calls are on it
    return Plan(tuple(f"{module}.so" for module in load), tuple(modules), tuple(restart))


def _locates(texts: Mapping[str, str | None]) -> bool:
    return f"load={MODULES[0]}.so" in (texts.get(_MODULES_CONF) or "").splitlines()


def _without_location(text: str | None) -> list[str]:
    """Return a modules.conf without what is there for locations only, comments and empty lines left out."""
    lines = (line.strip() for line in (text or "").splitlines())
    return [line for line in lines if line and not line.startswith(";") and line not in {f"load={module}.so" for module in MODULES}]


def complaints(log: str) -> list[str]:
    """Return what Asterisk's log says of files it did not like; what calls cause is left out."""
    return [match[1] for line in log.splitlines() if (match := _COMPLAINT.search(line))]


def _transports(text: str) -> list[str]:
    sections = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    return [section.split(";")[0].strip() for section in sections if re.search(r"^type\s*=\s*transport$", section, re.MULTILINE)]
