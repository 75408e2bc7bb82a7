"""Talking to a carrier within a limit of time, whatever it sends and however slowly; a fault on the way becomes "later"."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import msgspec

from retention.emergency.carriers.carrier import HOUR, Reply, later
from ringfence.errors import Misconfigured


class Patience(msgspec.Struct, frozen=True):
    """How long a carrier may take, in seconds."""

    connect: float = 5.0  # until the connection, with TLS, stands
    answer: float = 20.0  # for each answer, from asking to its last byte
    whole: float = 60.0  # for all of a request, which may be several questions


class Broken(Exception):
    """The talk cannot go on; the code says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.code)
        self.reply = reply


def exchange(talk: Callable[[], Coroutine[Any, Any, Reply]], patience: Patience) -> Reply:
    """Return what a talk came to. Each fault of the network, of TLS or of the protocol is "later", with its code."""

    async def bounded() -> Reply:
        async with asyncio.timeout(patience.whole):
            return await talk()

    try:
        return asyncio.run(bounded())
    except Broken as broken:
        return broken.reply
    except (TimeoutError, httpx.TimeoutException):
        return later("timeout")
    except httpx.RemoteProtocolError:
        return later("half_written")
    except (httpx.HTTPError, OSError) as error:
        return _fault(error)


def trust(ca_file: str) -> ssl.SSLContext:
    """Return the TLS that certificates are checked by: the system's authorities, or only those of a file.

    Raises:
        Misconfigured: the file cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=str(Path(ca_file)) if ca_file else None)
    except OSError as error:
        raise Misconfigured("emergency.ca_file cannot be read as certificates", hint="name a file of certificates in PEM") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _fault(error: BaseException) -> Reply:
    """Return what a fault of the connection means; httpx keeps the cause behind its own error."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLCertVerificationError):
            return later("certificate", HOUR)
        if isinstance(below, ssl.SSLError):
            return later("tls", HOUR)
        below = below.__cause__ or below.__context__
    return later("unreachable")
