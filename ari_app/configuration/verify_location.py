"""Does a call to 999 carry the address that the store has, on the trunks that ask for it and on no other? The running Asterisk is asked, over AMI and ARI."""

from __future__ import annotations

import asyncio

from ari_app.ami.client import AmiClient
from ari_app.ari import http
from ari_app.configuration.endpoint_detail import endpoint_detail
from dialplan.emergency_location import asks, elements, first_dialled
from dialplan.node_conf import NodeConf, PhoneConf
from ringfence.errors import NotFound
from ringfence.settings import Settings

_SENDS = "<discard_config>"  # what the endpoint that is dialled sends: nothing of its own, only what the call has
_SHOWN = 10


async def verify_location(client: AmiClient, settings: Settings, conf: NodeConf) -> str:
    """Return what differs; empty = nothing. No address is in it.

    Looked at are: that no endpoint but those of trunks that ask for addresses sends any, which location a call of each phone names, and what each location
    says, element by element.

    Raises:
        Unavailable: Asterisk stopped answering.
    """
    wrong: list[str] = []
    for trunk in conf.trunks:
        if trunk.location and await _sends(client, first_dialled(trunk)) != _SENDS:
            wrong.append(f"trunk {trunk.name} does not send addresses")
        if await _sends(client, trunk.name):
            wrong.append(f"trunk {trunk.name} sends addresses where it should not")
    if asks(conf.trunks):
        named = {event.extension: event.appdata for event in await client.listing("ShowDialPlan", Context="located") if event.application == "MSet"}
        for phone in conf.phones:
            if ("GEOLOC_PROFILE(location_reference)=${EXTEN}" in named.get(phone.name, "").split(",")) is not bool(phone.address):
                wrong.append(f"calls of phone {phone.name} carry {'no' if phone.address else 'an'} address")
            elif phone.address and not await asyncio.to_thread(_is_there, settings, phone):
                wrong.append(f"the address of phone {phone.name} is not the one of the store")
    return "; ".join(wrong[:_SHOWN]) + ("" if len(wrong) <= _SHOWN else f"; and {len(wrong) - _SHOWN} more")


async def _sends(client: AmiClient, endpoint: str) -> str:
    return await endpoint_detail(client, endpoint, "geolocoutgoingcallprofile")


def _is_there(settings: Settings, phone: PhoneConf) -> bool:
    try:
        found = http.request(settings, "GET", f"asterisk/config/dynamic/res_geolocation/location/{phone.name}")
    except NotFound:
        return False
    held = [(item["attribute"], item["value"]) for item in found]
    wanted = list(elements(phone))
    return held[: len(wanted)] == wanted and dict(held)["format"] == "civicAddress"
