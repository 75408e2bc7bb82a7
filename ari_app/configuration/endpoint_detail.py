"""One setting of a PJSIP endpoint, as the running Asterisk has it."""

from __future__ import annotations

from ari_app.ami.client import AmiClient
from ringfence.errors import Refused


async def endpoint_detail(client: AmiClient, endpoint: str, name: str) -> str:
    """Return a setting; empty when the endpoint is not loaded, or has none.

    Args:
        client: the connection.
        endpoint: its name.
        name: of the field in AMI's event `EndpointDetail`, in small letters.

    Raises:
        Unavailable: Asterisk stopped answering.
    """
    try:
        details = await client.listing("PJSIPShowEndpoint", Endpoint=endpoint)
    except Refused:
        return ""
    return next((str(getattr(event, name) or "") for event in details if event.event == "EndpointDetail"), "")
