"""One ARI WebSocket: events in, REST requests out, reconnect with jitter. It decides nothing.

Requests get no answers: the event filter leaves `RESTResponse` out, which saves two frames a call. That Asterisk still carries requests out is
told by the PONG: it reads a socket's frames strictly in order, so a PING behind a request that hangs is not answered in time either.
A dropped socket loses events, and Asterisk sends none again: every (re)connect calls `on_connected`, whose job is to look for calls
that were missed. `ApplicationReplaced` means that another process has taken over: this one must stop, not fight.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any, Protocol

import msgspec
import structlog
from picows import WSAutoPingStrategy, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from ari_app.ari import http
from ari_app.ari.frames import FILTER, Frame, authorization, decode, encode_request
from ringfence.clock import Clock
from ringfence.errors import Conflict, RingfenceError
from ringfence.settings import Settings

log = structlog.get_logger(__name__)

_FIRST_WAIT = 0.1  # seconds before the first reconnect; doubles up to _LAST_WAIT, each drawn at random
_LAST_WAIT = 2.0
_STEADY = 5.0  # a connection that held this long makes the next wait short again
_PING_EVERY = 1.0  # seconds
_PONG_WITHIN = 1.0  # at most _PING_EVERY


class Listener(Protocol):
    """Who hears the events."""

    def on_event(self, frame: Frame) -> None:
        """Take one event; must not block."""
        ...

    def on_lost(self) -> None:
        """Learn that the socket is gone."""
        ...

    async def on_connected(self) -> None:
        """Look for what was missed; the socket already delivers new events."""
        ...


class AriSocket:
    """The application's connection to Asterisk.

    Args:
        settings: where ARI is, and the application's name.
        clock: for the waits between tries.
        listener: who hears the events.
    """

    def __init__(self, settings: Settings, clock: Clock, listener: Listener) -> None:
        self._settings = settings
        self._clock = clock
        self._listener = listener
        self._transport: WSTransport | None = None
        self._sent = 0
        self._replaced = False
        self.reconnects = 0

    @property
    def connected(self) -> bool:
        """Tell whether the socket is up."""
        return self._transport is not None

    def send(self, method: str, uri: str, body: Any) -> None:
        """Send a REST request; while the socket is down it goes nowhere, and `on_connected` finds the call again.

        Requests of one socket are carried out by Asterisk one after another, in order.
        """
        if self._transport is not None:
            self._sent += 1
            self._transport.send(WSMsgType.TEXT, encode_request(str(self._sent), method, uri, body))

    async def run(self) -> None:
        """Stay connected until cancelled.

        Raises:
            Conflict: another process has taken the application over.
            Misconfigured: the secret cannot be read.
        """
        wait = _FIRST_WAIT
        while True:
            try:
                transport = await self._connect()
            except (OSError, WSError, TimeoutError) as error:
                log.info("ari_not_reached", error=type(error).__name__, wait=round(wait, 2))
            else:
                began = self._clock.monotonic()
                await self._serve(transport)
                wait = _FIRST_WAIT if self._clock.monotonic() - began > _STEADY else wait
            if self._replaced:
                raise Conflict("another process serves this ARI application", hint="run one 'ringfence node serve ari' for each Asterisk")
            await asyncio.sleep(random.uniform(_FIRST_WAIT / 2, wait))  # noqa: S311  jitter, not a secret
            wait = min(wait * 2, _LAST_WAIT)

    async def _connect(self) -> WSTransport:
        ari = self._settings.ari
        transport, _ = await ws_connect(
            lambda: _Receiver(self),
            f"ws://{ari.host}:{ari.port}/ari/events?app={ari.app}",
            extra_headers={"Authorization": authorization(self._settings)},
            websocket_handshake_timeout=5,
            enable_auto_ping=True,
            auto_ping_strategy=WSAutoPingStrategy.PING_PERIODICALLY,
            auto_ping_idle_timeout=_PING_EVERY,
            auto_ping_reply_timeout=_PONG_WITHIN,
            max_frame_size=1 << 20,
        )
        return transport

    async def _serve(self, transport: WSTransport) -> None:
        self._transport = transport
        starter = asyncio.create_task(self._start(transport))
        try:
            await transport.wait_disconnected()
        finally:
            self._transport = None
            transport.disconnect()
            starter.cancel()
            await asyncio.gather(starter, return_exceptions=True)
            self.reconnects += 1
            self._listener.on_lost()

    async def _start(self, transport: WSTransport) -> None:
        """Set the event filter, which lives with Asterisk's object of the app and may be lost with it; then look for missed calls."""
        try:
            uri = f"applications/{self._settings.ari.app}/eventFilter"
            await asyncio.to_thread(http.request, self._settings, "PUT", uri, body=FILTER)
            await self._listener.on_connected()
        except RingfenceError as error:
            log.warning("ari_start_failed", error=error.message)
            transport.disconnect()

    def receive(self, payload: bytes) -> None:
        """Take one frame from the wire."""
        try:
            frame = decode(payload)
        except (msgspec.DecodeError, msgspec.ValidationError):
            log.warning("ari_frame_unreadable", size=len(payload))
            return
        if frame.type == "ApplicationReplaced":
            self._replaced = True
            if self._transport is not None:
                self._transport.disconnect()
        else:
            self._listener.on_event(frame)


class _Receiver(WSListener):  # type: ignore[misc,unused-ignore]
    """Puts frames together and hands them on."""

    def __init__(self, socket: AriSocket) -> None:
        self._socket = socket
        self._parts: list[bytes] = []

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one WebSocket frame."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.msg_type in {WSMsgType.TEXT, WSMsgType.CONTINUATION}:
            self._parts.append(frame.get_payload_as_bytes())
            if frame.fin:
                payload = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
                self._parts.clear()
                self._socket.receive(payload)
