"""What goes over the ARI WebSocket, typed: the two events that are used, and REST requests (Asterisk 22)."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from ringfence.settings import Settings, read_secret

EVENTS = ("StasisStart", "ApplicationReplaced")
FILTER = {"allowed": [{"type": event} for event in EVENTS]}  # without RESTResponse: answers to requests are not wanted (docs/design/calls.md)


class Channel(msgspec.Struct, frozen=True):
    """The part of a channel that is used."""

    id: str


class Frame(msgspec.Struct, frozen=True):
    """An event of Asterisk's; fields that a type does not have are at their defaults."""

    type: str
    args: tuple[str, ...] = ()
    channel: Channel | None = None
    application: str = ""


class Request(msgspec.Struct, frozen=True, tag="RESTRequest"):
    """A REST request over the socket; `uri` has no leading slash, the body is JSON as a string."""

    request_id: str
    transaction_id: str
    method: str
    uri: str
    message_body: str
    content_type: str = "application/json"


_frames = msgspec.json.Decoder(Frame)
_encoder = msgspec.json.Encoder()


def decode(payload: bytes) -> Frame:
    """Return the frame in `payload`.

    Raises:
        msgspec.DecodeError, msgspec.ValidationError: it is not a frame of Asterisk's.
    """
    return _frames.decode(payload)


def encode_request(request_id: str, method: str, uri: str, body: Any) -> bytes:
    """Return the bytes of a REST request."""
    return _encoder.encode(Request(request_id=request_id, transaction_id=request_id, method=method, uri=uri, message_body=_encoder.encode(body).decode()))


def authorization(settings: Settings) -> str:
    """Return the value of the Authorization header for ARI; the password is never in a URL."""
    secret = read_secret(settings.ari_secret_path)
    return "Basic " + base64.b64encode(f"{settings.ari.user}:{secret}".encode()).decode()
