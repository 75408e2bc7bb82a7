"""The check on what trunks are told of a caller: what each trunk's rule says, and that the configuration in place adds nothing to it.

The INVITE is made of the app's decision, which is the trunk's rule, and of what Asterisk adds by its configuration. The first is computed here by the function
that decides live calls, for made-up callers; the second is read from the files in place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from dialplan.call import CallFacts
from dialplan.identity import Identity, for_trunk
from retention.claims.model import Check, Context, Finding, Status, verdict
from ringfence.queries import plan
from ringfence.values import E164, CallerIdMode, Direction, PlanTrunk, TrunkDirection

_DID = E164("+442079460000")  # Ofcom's drama numbers
_SHOWN = CallFacts(Direction.INBOUND, _DID, "+441174960999", "allowed_not_screened", "", 0, "")
_CALLERS = {"shown": _SHOWN, "withheld": msgspec.structs.replace(_SHOWN, presentation="prohib")}
_ADDED = frozenset({"P-Asserted-Identity", "Privacy"})  # by the dialplan, where the decision says so
_ADDS = re.compile(r"PJSIP_HEADER\(\s*(?:add|update)\s*,\s*([^)\s,]+)", re.IGNORECASE)
_SECTION = re.compile(r"\[([^\]]+)\](?:\(([^)]*)\))?")
# What can make Asterisk tell a trunk more of a caller: options of PJSIP endpoints in Asterisk 22, with their defaults.
_DEFAULTS = MappingProxyType(
    {
        "callerid": "",
        "from_user": "",
        "geoloc_outgoing_call_profile": "",
        "send_connected_line": "yes",
        "send_diversion": "yes",
        "send_history_info": "no",
        "send_pai": "no",
        "send_rpid": "no",
        "set_var": "",
        "trust_id_outbound": "no",
    }
)


def routing_data_minimal(context: Context) -> Finding:
    """Show what each trunk is told of made-up callers, and list what the configuration in place would tell beyond that."""
    trunks = [trunk for trunk in plan.load_trunks(context.session) if trunk.enabled and trunk.direction is not TrunkDirection.INBOUND]
    files = {name: _text(context.settings.conf_dir / name) for name in ("pjsip.conf", "extensions.conf")}
    context.looked("dialplan.identity.for_trunk, for made-up callers; pjsip.conf and extensions.conf in place on the node that is asked")
    told = [{"trunk": trunk.name, "rule": _rule(trunk), **{name: _said(for_trunk(facts, _DID, trunk)) for name, facts in _CALLERS.items()}} for trunk in trunks]
    if files["pjsip.conf"] is None or files["extensions.conf"] is None:
        return Finding(Status.NOT_CHECKABLE, {"trunks": told}, "no configuration of Asterisk is in place on the node that is asked")
    options = endpoint_options(files["pjsip.conf"])
    beyond = [each for trunk in trunks if trunk.name in options for each in _beyond(trunk, options[trunk.name])]
    beyond += [f"extensions.conf adds {name}" for name in sorted(set(_ADDS.findall(files["extensions.conf"])) - _ADDED)]
    result = {"trunks": told, "not_in_place": [trunk.name for trunk in trunks if trunk.name not in options], "beyond_the_rule": beyond}
    return verdict(len(beyond), result, f"the configuration in place tells trunks more than their rule: {'; '.join(beyond)}")


def endpoint_options(text: str) -> dict[str, dict[str, str]]:
    """Return the options of each PJSIP endpoint in a pjsip.conf, with those of its templates; the last value of an option counts. Pure."""
    sections: list[tuple[str, list[str], dict[str, str]]] = []
    for line in (raw.partition(";")[0].strip() for raw in text.splitlines()):
        begins = _SECTION.match(line)
        name, equals, value = line.partition("=")
        if begins:
            sections.append((begins[1], (begins[2] or "").split(","), {}))
        elif equals and sections:
            sections[-1][2][name.strip()] = value.removeprefix(">").strip()
    templates: dict[str, dict[str, str]] = {}
    found: dict[str, dict[str, str]] = {}
    for name, marks, own in sections:
        options = {key: value for mark in marks for key, value in templates.get(mark, {}).items()} | own
        if "!" in marks:
            templates[name] = options
        elif options.get("type") == "endpoint":
            found[name] = options
    return found


def _beyond(trunk: PlanTrunk, options: Mapping[str, str]) -> Iterator[str]:
    diverts = trunk.caller_id_mode is CallerIdMode.PASS_DIVERSION
    for name, default in _DEFAULTS.items():
        value = options.get(name, default)
        if value not in ("", "no") and not (name == "send_diversion" and diverts):
            yield f"{trunk.name}: {name} = {value}"


def _rule(trunk: PlanTrunk) -> dict[str, Any]:
    return {"caller_id": trunk.caller_id_mode, "format": trunk.number_format, "network_number": trunk.network_number is not None}


def _said(identity: Identity) -> dict[str, Any]:
    return {key: value for key, value in msgspec.structs.asdict(identity).items() if value}


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


CHECKS: Mapping[str, Check] = MappingProxyType({"routing_data_minimal": routing_data_minimal})
