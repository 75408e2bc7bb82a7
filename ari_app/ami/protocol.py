"""AMI on the wire: panoramisk's protocol, actions and messages, without its traps.

Changed from panoramisk 1.4: bytes are decoded only when a message is whole (a character split over two segments was lost); an action
that is not answered when the connection ends fails (it was sent again after a reconnect, whatever it was); and answers to bulk
actions are counted instead of being made into objects, which is what lets a million entries through in seconds.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import structlog
from panoramisk.ami_protocol import AMIProtocol
from panoramisk.message import Message

from ringfence.errors import Unavailable

log = structlog.get_logger(__name__)

BULK = "bulk"  # ActionID of every action whose answer is only counted
TREE = "tree"  # ActionID of the one DBGetTree
_END = b"\r\n\r\n"
_TAKEN = b"Response: Success\r\nActionID: bulk"
_REFUSED = b"Response: Error\r\nActionID: bulk"
_ENTRY = re.compile(rb"Event: DBGetTreeResponse\r\nKey: /([^\r\n]*)\r\nVal: ([^\r\n]*)\r\nActionID: tree\Z")
_MAX_MESSAGE = 1 << 20  # bytes; Asterisk's longest, a dialplan extension, has some kilobytes

Entries = list[tuple[bytes, bytes]]


class Connection(AMIProtocol):  # type: ignore[misc]  # panoramisk has no types
    """One connection, from connect to its end; it is never used again.

    Args:
        on_event: called with each event that answers no action.
        on_lost: called once when the connection ends.
    """

    forgetable_actions = ()  # what panoramisk's protocol asks its manager for

    def __init__(self, on_event: Callable[[Message], None], on_lost: Callable[[], None]) -> None:
        self.encoding = "utf-8"
        self.ended = False
        self.taken = 0  # bulk actions that Asterisk carried out
        self.refused = 0  # and those that it did not
        self.on_entries: Callable[[Entries], None] | None = None
        self._rest = b""
        self._on_event = on_event
        self._on_lost = on_lost
        self._progress: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        super().connection_made(transport)
        self.factory = self

    def dispatch(self, event: Message) -> None:
        """Pass an event on; panoramisk's protocol calls its manager's method of this name."""
        self._on_event(event)

    def data_received(self, data: bytes) -> None:
        """Take what has come, and handle the messages that are whole."""
        blocks = (self._rest + data).split(_END)
        self._rest = blocks.pop()
        if len(self._rest) > _MAX_MESSAGE:
            log.error("ami_message_too_long", bytes=len(self._rest))
            self.transport.abort()
            return
        others = [block for block in blocks if not block.startswith(_TAKEN)]
        if len(others) < len(blocks):
            self.taken += len(blocks) - len(others)
            self._wake()
        if self.on_entries is not None:
            others = self._take_entries(self.on_entries, others)
        for block in others:
            self._take(block)

    def eof_received(self) -> bool:
        """Close when Asterisk does."""
        return False

    def connection_lost(self, _error: object) -> None:
        """Fail everything that waits for an answer; nothing is sent again."""
        if self.ended:
            return
        self.ended = True
        self.close()
        self._wake()
        self._on_lost()

    def close(self) -> None:
        """End the connection; panoramisk queues unanswered actions here, to send them again."""
        self.closed = True
        self.transport.close()
        waiting = list(self.responses.values())
        self.responses.clear()
        for action in waiting:
            if not action.future.done():
                action.future.set_exception(Unavailable("the connection to Asterisk ended before it answered", hint="it may have been done: look first"))

    async def progress(self, patience: float) -> None:
        """Wait until bulk actions are answered.

        Raises:
            Unavailable: the connection ended, or nothing was answered for `patience` seconds.
        """
        if not self.ended:
            self._progress = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait_for(self._progress, patience)
            except TimeoutError as error:
                raise Unavailable(f"Asterisk answered no manager action for {patience:g} s", hint="see its log") from error
            finally:
                self._progress = None
        if self.ended:
            raise Unavailable("the connection to Asterisk ended", hint="is it running?")

    def _wake(self) -> None:
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)

    def _take_entries(self, on_entries: Callable[[Entries], None], blocks: list[bytes]) -> list[bytes]:
        """Pass the entries of a tree on; return the other messages."""
        found = [(block, _ENTRY.match(block)) for block in blocks]
        entries = [(match[1], match[2]) for _, match in found if match]
        if entries:
            on_entries(entries)
        return [block for block, match in found if not match]

    def _take(self, block: bytes) -> None:
        if block.startswith(_REFUSED):
            self.refused += 1
            self._wake()
            return
        message = Message.from_line(block.decode("utf-8", "replace").strip())
        if message is not None and not any(isinstance(message.get(name), list) for name in ("ActionID", "CommandID", "Event", "Response")):
            self.handle_message(message)
