"""ARI over plain HTTP on loopback: for what must not go over the socket (lists of channels), and for the command line."""

from __future__ import annotations

import http.client
from typing import Any

import msgspec

from ari_app.ari.frames import authorization
from ringfence.errors import NotFound, RingfenceError, Unavailable
from ringfence.settings import Settings


def request(settings: Settings, method: str, path: str, *, body: Any = None, timeout: float | None = None) -> Any:
    """Send one request and return the decoded answer, None when it has no body.

    Args:
        settings: where ARI is.
        method: GET, DELETE…
        path: below /ari/, without leading slash, already percent-encoded.
        body: sent as JSON unless None.
        timeout: seconds; the settings' by default.

    Raises:
        Unavailable: Asterisk does not answer, or is still starting.
        NotFound: 404.
        RingfenceError: any other refusal.
    """
    connection = http.client.HTTPConnection(settings.ari.host, settings.ari.port, timeout=timeout or settings.ari.request_timeout)
    try:
        headers = {"Authorization": authorization(settings), "Connection": "close", "Content-Type": "application/json"}
        connection.request(method, f"/ari/{path}", body=None if body is None else msgspec.json.encode(body), headers=headers)
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException) as error:
        where = f"{settings.ari.host}:{settings.ari.port}"
        raise Unavailable(f"Asterisk's ARI on {where} does not answer", hint="is Asterisk running? see 'ringfence node status'") from error
    finally:
        connection.close()
    if response.status == 503:
        raise Unavailable("Asterisk is still starting", hint="try again in a moment")
    if response.status == 404:
        raise NotFound("Asterisk does not know it (any more)")
    if response.status >= 300:
        raise RingfenceError(f"ARI answered {response.status} {response.reason}", hint="check ari.user and its secret: 'ringfence config verify'")
    return msgspec.json.decode(answer) if answer else None
