"""A manager that answers as a test says: what a real Asterisk does only when it is broken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ringfence.settings import Ami

Action = dict[str, str]
Reply = bytes | None  # None = no answer at all


def ok(action: Action, *lines: str) -> bytes:
    """Return a successful answer."""
    return "\r\n".join(["Response: Success", f"ActionID: {action['ActionID']}", *lines, "", ""]).encode()


def error(action: Action, message: str) -> bytes:
    """Return a refusal."""
    return "\r\n".join(["Response: Error", f"ActionID: {action['ActionID']}", f"Message: {message}", "", ""]).encode()


class FakeManager:
    """Takes logins and notes every action."""

    def __init__(self) -> None:
        self.seen: list[Action] = []
        self.secret = "right"
        self.connections = 0
        self.answer: Callable[[Action], Reply] = ok
        self.writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def settings(self) -> Ami:
        """Settings that lead here, with short times."""
        return Ami(port=self.port, user="ringfence", timeout=1.0)

    def names(self) -> list[str]:
        """The actions that came, without logins and pings."""
        return [action["Action"] for action in self.seen if action["Action"] not in {"Login", "Ping"}]

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def drop(self) -> None:
        """Close every connection."""
        for writer in list(self.writers):
            writer.transport.abort()
        await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        await self.drop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        writer.write(b"Asterisk Call Manager/11.0.0\r\n")
        try:
            while True:
                block = (await reader.readuntil(b"\r\n\r\n")).decode("utf-8", "surrogateescape")
                action = dict(line.split(": ", 1) for line in block.strip().split("\r\n"))
                self.seen.append(action)
                reply = self._login(action) if action["Action"] == "Login" else self.answer(action)
                if reply is not None:
                    writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    def _login(self, action: Action) -> bytes:
        if action["Secret"] != self.secret:
            return error(action, "Authentication failed")
        return ok(action) + b"Event: FullyBooted\r\nStatus: Fully Booted\r\n\r\n"


@asynccontextmanager
async def fake_manager() -> AsyncIterator[FakeManager]:
    """Run a fake manager."""
    manager = FakeManager()
    await manager.start()
    try:
        yield manager
    finally:
        await manager.stop()
