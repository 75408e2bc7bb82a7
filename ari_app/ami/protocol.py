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
_TAKEN = b"Response: Success\r\nActionID: bulk\r\n"
_REFUSED = b"Response: Error\r\nActionID: bulk\r\n"
_ENTRY = re.compile(rb"Event: DBGetTreeResponse\r\nKey: /([^\r\n]*)\r\nVal: ([^\r\n]*)\r\nActionID: tree\r\n\r\n")
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
        data = self._rest + data
        end = data.rfind(_END) + len(_END)
        if end < len(_END):
            self._rest = data
            if len(data) > _MAX_MESSAGE:
                log.error("ami_message_too_long", bytes=len(data))
                self.transport.abort()
            return
        whole, self._rest = data[:end], data[end:]
        taken = whole.count(_TAKEN)
        if taken:
            self.taken += taken
            self._wake()
            if taken == whole.count(_END):
                return
        if self.on_entries is not None:
            whole = self._take_entries(whole)
        for block in whole.split(_END):
            if block and not block.startswith(_TAKEN):
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

    def _take_entries(self, whole: bytes) -> bytes:
        """Pass the entries of a tree on; return what else there was."""
        entries = _ENTRY.findall(whole)
        if not entries or self.on_entries is None:
            return whole
        self.on_entries(entries)
        self._wake()
        return b"" if len(entries) == whole.count(_END) else _ENTRY.sub(b"", whole)

    def _take(self, block: bytes) -> None:
        if block.startswith(_REFUSED):
            self.refused += 1
            self._wake()
            return
        message = Message.from_line(block.decode("utf-8", "replace").strip())
        if message is not None:
            self.handle_message(message)
