"""Asks the running Asterisk whether it remembers a call to 999 that presented a number."""

from __future__ import annotations

from datetime import datetime

from ari_app.ami.client import AmiClient
from dialplan.call_back import Remembered, read_remembered, variable_of
from ringfence.settings import Settings, read_secret


async def ask_remembered(settings: Settings, number: str, now: datetime) -> Remembered | None:
    """Return the call to 999 of the last hour that presented an E.164 number, None when this node's Asterisk remembers none.

    Raises:
        Unavailable: Asterisk does not answer.
        Misconfigured: it refuses the manager's login, or the secret cannot be read.
        Invalid: its answer cannot be read.
    """
    client = await AmiClient.connect(settings.ami, read_secret(settings.ami_secret_path))
    try:
        answer = await client.action("Getvar", Variable=variable_of(number))
        return read_remembered(str(answer.value or ""), now)
    finally:
        await client.close()
