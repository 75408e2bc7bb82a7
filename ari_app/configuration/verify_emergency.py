"""Does every phone's call to 999 find its way in the running Asterisk? Its dialplan, its phones and its emergency trunks are asked, not the files."""

from __future__ import annotations

from collections.abc import Mapping

from ari_app.ami.client import AmiClient
from ari_app.configuration.endpoint_detail import endpoint_detail
from dialplan.emergency_call import LEAST_TRUNKS, dialled_forms, in_turn
from dialplan.emergency_location import first_dialled
from dialplan.node_conf import NodeConf

Step = tuple[str, str]  # application and its data


async def verify_emergency(client: AmiClient, conf: NodeConf) -> str:
    """Return what stands in the way of a call to 999 from any phone; empty = nothing.

    Looked at are: each phone's context, each way to dial an emergency number there, the number that the phone's site presents, and each emergency
    trunk in its turn, loaded and with its contact.

    Raises:
        Unavailable: Asterisk stopped answering.
    """
    callers = [phone for phone in conf.phones if not phone.receive_only]
    if not callers:
        return ""
    ways = [way.name for way in in_turn(conf.trunks)]
    entrance, road, sites = [await _steps(client, context) for context in ("from-phone", "emergency", "emergency-site")]
    wrong = [f"{dialled} does not lead to {code}" for dialled, code in dialled_forms() if ("Goto", f"emergency,{code},1") not in entrance.get(dialled, ())]
    for code in sorted({code for _, code in dialled_forms()}):
        dialled = [data for application, data in road.get(code, ()) if application == "Dial"]
        tried = [way.name for data in dialled for way in in_turn(conf.trunks) if data.startswith(f"PJSIP/{code}@{first_dialled(way)},")]
        if tried != ways or len(tried) < LEAST_TRUNKS:
            wrong.append(f"{code} tries {', '.join(tried) or 'no trunk'} instead of {', '.join(ways)}")
    for phone in callers:
        if not any(f"RF_SITE={phone.site}" in data.split(",") for _, data in sites.get(phone.name, ())):
            wrong.append(f"phone {phone.name} does not present the number of its site")
        if await endpoint_detail(client, phone.name, "context") != "from-phone":
            wrong.append(f"phone {phone.name} is not in its context")
    loaded = {way: (await endpoint_detail(client, way, "aors"), await endpoint_detail(client, way, "sendpai")) for way in ways}
    wrong += [f"emergency trunk {way} is not loaded" for way, found in loaded.items() if found != (way, "true")]
    return "; ".join(wrong[:10]) + ("" if len(wrong) <= 10 else f"; and {len(wrong) - 10} more")


async def _steps(client: AmiClient, context: str) -> Mapping[str, list[Step]]:
    found: dict[str, list[Step]] = {}
    for event in await client.listing("ShowDialPlan", Context=context):
        if event.priority:
            found.setdefault(event.extension, []).append((event.application, event.appdata))
    return found
