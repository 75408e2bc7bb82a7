"""A small ARI over HTTP and WebSocket, by hand (RFC 6455), so that it can also do what no library lets a server do."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class FakeAri:
    """An Asterisk's HTTP port. `answers` maps "METHOD path" to status and body; what is not there is 204."""

    def __init__(self) -> None:
        self.port = 0
        self.answers: dict[str, tuple[int, Any]] = {}
        self.requests: list[tuple[str, Any, str]] = []  # "METHOD path", body, authorization
        self.sockets: list[FakeSocket] = []
        self.refuse_upgrade = 0  # a status instead of the upgrade
        self.pongs = True
        self.on_socket: Callable[[FakeSocket], Awaitable[None]] | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for socket in self.sockets:
            socket.drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split()
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            if headers.get("upgrade", "").lower() == "websocket":
                await self._upgrade(path, headers, reader, writer)
                return
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            what = f"{method} {path}"
            self.requests.append((what, json.loads(body) if body else None, headers.get("authorization", "")))
            status, answer = self.answers.get(what, (204, None))
            content = b"" if answer is None else json.dumps(answer).encode()
            writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode() + content)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _upgrade(self, path: str, headers: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse_upgrade:
            writer.write(f"HTTP/1.1 {self.refuse_upgrade} No\r\nContent-Length: 0\r\n\r\n".encode())
            return
        key = base64.b64encode(hashlib.sha1(headers["sec-websocket-key"].encode() + _GUID).digest()).decode()  # noqa: S324  RFC 6455 asks for it
        writer.write(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {key}\r\n\r\n".encode())
        socket = FakeSocket(path, headers.get("authorization", ""), reader, writer)
        self.sockets.append(socket)
        if self.on_socket is not None:
            await self.on_socket(socket)
        await socket.listen(self)


class FakeSocket:
    """One WebSocket, server's side."""

    def __init__(self, path: str, authorization: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.path = path
        self.authorization = authorization
        self.received: list[Any] = []
        self._reader = reader
        self._writer = writer

    def event(self, **values: Any) -> None:
        """Send an event."""
        self.frame(json.dumps(values).encode())

    def frame(self, payload: bytes, opcode: int = TEXT, *, last: bool = True) -> None:
        """Send one frame."""
        size = len(payload)
        length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big")
        self._writer.write(bytes([opcode | (0x80 if last else 0)]) + length + payload)

    def drop(self) -> None:
        """End it without a word."""
        self._writer.transport.abort()

    async def listen(self, server: FakeAri) -> None:
        while True:
            first, second = await self._reader.readexactly(2)
            size = second & 0x7F
            if size >= 126:
                size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
            mask = await self._reader.readexactly(4)
            payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(await self._reader.readexactly(size)))
            if first & 0x0F == PING and server.pongs:
                self.frame(payload, PONG)
            elif first & 0x0F == TEXT:
                self.received.append(json.loads(payload))
            elif first & 0x0F == CLOSE:
                return
