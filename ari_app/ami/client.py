"""A manager connection that can be relied upon: refused logins raise, every action has a time-out, and a dead peer is noticed.

Nothing is ever sent twice. When the connection ends, what waits fails, and a new one begins with a new look at how things are.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import structlog
from panoramisk.actions import Action
from panoramisk.message import Message

from ari_app.ami.protocol import BULK, TREE, Connection, Entries
from ringfence.batches import batched
from ringfence.errors import Invalid, Misconfigured, Refused, RingfenceError, Unavailable
from ringfence.settings import Ami

log = structlog.get_logger(__name__)

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9-]*\Z")
_UNANSWERED = 4_000  # bulk actions in flight; more gains nothing
BATCH = 500  # entries that are made and sent at once
_BOOT_SECONDS = 60.0
_FIRST_WAIT, _LAST_WAIT = 0.2, 10.0  # seconds before a reconnect, jittered
_random = random.SystemRandom()


class AmiClient:
    """One login. Use `connect` to make it."""

    def __init__(self, settings: Ami) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._lost = asyncio.Event()
        self._booted = asyncio.Event()
        self._bulk = asyncio.Lock()
        self._pinger: asyncio.Task[None] | None = None
        self._connection = Connection(self._on_event, self._lost.set)
        self.on_event: Callable[[Message], None] = lambda _event: None

    @classmethod
    async def connect(cls, settings: Ami, secret: str) -> AmiClient:
        """Connect and log in.

        Raises:
            Unavailable: Asterisk does not answer within the time-out.
            Misconfigured: it refuses the login.
        """
        client = cls(settings)
        where = f"{settings.host}:{settings.port}"
        try:
            async with asyncio.timeout(settings.timeout):
                await client._loop.create_connection(lambda: client._connection, settings.host, settings.port)
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"Asterisk's manager on {where} does not answer", hint="is Asterisk running? see 'ringfence node status'") from error
        try:
            await client.action("Login", Username=settings.user, Secret=secret, Events="on")
        except Refused as error:
            await client.close()
            raise Misconfigured(f"Asterisk refuses the login of manager user {settings.user} on {where}", hint="run 'ringfence config diff'") from error
        except BaseException:
            await client.close()
            raise
        client._pinger = asyncio.create_task(client._ping())
        return client

    @property
    def connected(self) -> bool:
        """Whether the connection stands."""
        return not self._lost.is_set()

    async def lost(self) -> None:
        """Wait until the connection ends."""
        await self._lost.wait()

    async def booted(self) -> None:
        """Wait until Asterisk has loaded everything.

        Raises:
            Unavailable: it did not say so within a minute.
        """
        try:
            await asyncio.wait_for(self._booted.wait(), _BOOT_SECONDS)
        except TimeoutError as error:
            raise Unavailable("Asterisk is still starting", hint="see its log") from error

    async def close(self) -> None:
        """End the connection; may be called twice."""
        if self._pinger is not None:
            self._pinger.cancel()
            with contextlib.suppress(asyncio.CancelledError, RingfenceError):
                await self._pinger
        if not self._connection.ended:
            self._connection.transport.abort()
            await self._lost.wait()

    async def action(self, name: str, **fields: str) -> Message:
        """Carry out one action and return its answer.

        Raises:
            Invalid: a field holds a line end.
            Refused: Asterisk answers with an error; the message has its reason.
            Unavailable: no answer within the time-out, or the connection ended: whether it was done is not known.
        """
        answer = await self._send(name, fields, as_list=False)
        if answer.response not in {"Success", "Follows", "Goodbye"}:
            raise Refused(f"Asterisk refuses {name}: {answer.message or 'no reason given'}")
        return answer

    async def listing(self, name: str, **fields: str) -> list[Message]:
        """Carry out an action that is answered by a list of events; return those, without the frame.

        Raises:
            Invalid, Refused, Unavailable: as `action`; that there is nothing to list is no error.
        """
        answer = await self._send(name, fields, as_list=None)
        if not isinstance(answer, list):
            if answer.response == "Error" and re.match(r"No \w+ found", answer.message):
                return []
            raise Refused(f"Asterisk refuses {name}: {answer.message or 'it gives no list'}")
        return [event for event in answer if event.event and not event.event.endswith("Complete")]

    async def tree(self, family: str, on_entries: Callable[[Entries], None]) -> int:
        """Read a family of AstDB; return the number of entries.

        Args:
            family: without slashes.
            on_entries: called with `(family/key, value)` pairs as they come; must be quick, for Asterisk's AstDB is locked meanwhile.

        Raises:
            Refused, Unavailable: as `action`; the time-out is between entries.
        """
        async with self._bulk:
            count = 0

            def take(entries: Entries) -> None:
                nonlocal count
                count += len(entries)
                on_entries(entries)

            self._connection.on_entries = take
            try:
                answer = self._write("DBGetTree", {"Family": family, "ActionID": TREE}, as_list=None)
                before = -1
                while not answer.done() and before != count:
                    before = count
                    await asyncio.wait({answer}, timeout=self._settings.timeout)
                if not answer.done():
                    raise Unavailable("Asterisk stopped in the middle of a list", hint="see its log")
                result = await answer
            finally:
                self._connection.on_entries = None
                self._connection.responses.pop(TREE, None)
            if not isinstance(result, list):
                raise Refused(f"Asterisk refuses to list AstDB: {result.message}")
            return count

    async def put(self, family: str, batches: Iterable[Sequence[tuple[str, str]]]) -> int:
        """Write AstDB entries, many in flight; return how many.

        Args:
            family: without slashes.
            batches: keys and values; the event loop turns between batches, empty ones too, so that making them may take its time.

        Raises:
            Invalid: a key or value holds a line end.
            Refused: Asterisk did not take all of them.
            Unavailable: as `action`.
        """
        head = f"Action: DBPut\r\nActionID: {BULK}\r\nFamily: {family}\r\nKey: "
        count, refused = await self._pipeline([f"{head}{_value(key)}\r\nVal: {_value(value)}\r\n\r\n" for key, value in batch] for batch in batches)
        if refused:
            raise Refused(f"Asterisk refused {refused} of {count} entries for AstDB", hint="see its log")
        return count

    async def delete(self, family: str, keys: Iterable[str]) -> int:
        """Delete AstDB entries, many in flight; return how many there were. One that is gone already is no error."""
        head = f"Action: DBDel\r\nActionID: {BULK}\r\nFamily: {family}\r\nKey: "
        count, refused = await self._pipeline([f"{head}{_value(key)}\r\n\r\n" for key in batch] for batch in batched(keys, BATCH))
        return count - refused

    async def _pipeline(self, batches: Iterable[list[str]]) -> tuple[int, int]:
        """Send actions with a bounded number unanswered; return how many, and how many were refused."""
        async with self._bulk:
            connection, sent = self._connection, 0
            done, refused = connection.taken + connection.refused, connection.refused
            for batch in batches:
                if connection.ended:
                    break
                connection.transport.write("".join(batch).encode("utf-8", "surrogateescape"))
                sent += len(batch)
                while sent - (connection.taken + connection.refused - done) > _UNANSWERED:
                    await connection.progress(self._settings.timeout)
                await asyncio.sleep(0)
            while connection.taken + connection.refused - done < sent or connection.ended:
                await connection.progress(self._settings.timeout)
            return sent, connection.refused - refused

    async def _send(self, name: str, fields: dict[str, str], *, as_list: bool | None) -> Any:
        answer = self._write(name, fields, as_list=as_list)
        try:
            return await asyncio.wait_for(answer, self._settings.timeout)
        except TimeoutError as error:
            for key in [key for key, action in self._connection.responses.items() if action.future is answer]:
                del self._connection.responses[key]
            raise Unavailable(
                f"Asterisk did not answer {name} within {self._settings.timeout:g} s", hint="it may have been done all the same: look first"
            ) from error

    def _write(self, name: str, fields: dict[str, str], *, as_list: bool | None) -> asyncio.Future[Any]:
        if self._connection.ended:
            raise Unavailable("the connection to Asterisk ended", hint="is it running?")
        for key in fields:
            if not _KEY.match(key):
                raise Invalid("not the name of a manager field")
        action = Action({"Action": name, **{key: _value(value) for key, value in fields.items()}})
        return self._connection.send(action, as_list=as_list)  # type: ignore[no-any-return]

    async def _ping(self) -> None:
        """Notice a peer that is gone without a word: a ping that is not answered ends the connection."""
        while True:
            await asyncio.sleep(self._settings.timeout)
            if self._bulk.locked():
                continue  # its own time-outs watch over it, and a ping would queue behind thousands of actions
            try:
                await self.action("Ping")
            except RingfenceError:
                log.warning("ami_ping_unanswered", seconds=self._settings.timeout)
                self._connection.transport.abort()
                return

    def _on_event(self, event: Message) -> None:
        if event.event == "FullyBooted":
            self._booted.set()
        self.on_event(event)


async def stay_connected(settings: Ami, secret: Callable[[], str], session: Callable[[AmiClient], Awaitable[None]]) -> None:
    """Connect, run `session` until it or the connection ends, and begin again after a jittered wait; until cancelled.

    Args:
        settings: where the manager is.
        secret: read at each connect, so that a new one is taken without a restart.
        session: one connection's work; it ends with an error of `RingfenceError` when the connection does.
    """
    wait = _FIRST_WAIT
    while True:
        try:
            client = await AmiClient.connect(settings, secret())
            wait = _FIRST_WAIT
            try:
                await _until_lost(client, session)
            finally:
                await client.close()
        except RingfenceError as error:
            log.warning("ami_away", reason=error.message)
        await asyncio.sleep(wait * _random.uniform(0.5, 1.5))
        wait = min(wait * 2, _LAST_WAIT)


async def _until_lost(client: AmiClient, session: Callable[[AmiClient], Awaitable[None]]) -> None:
    work, lost = asyncio.ensure_future(session(client)), asyncio.ensure_future(client.lost())
    try:
        await asyncio.wait({work, lost}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        else:
            raise Unavailable("the connection to Asterisk ended", hint="is it running?")
    finally:
        for task in (work, lost):
            task.cancel()
        await asyncio.gather(work, lost, return_exceptions=True)


def _value(text: str) -> str:
    """Refuse what would end a line: the rest would be read as another field, or another action."""
    if not text.isprintable() and ("\r" in text or "\n" in text or "\0" in text):  # the first test is the quick one, for a million values
        raise Invalid("a manager field holds a line end", hint="this is refused because the rest would be read as another action")
    return text
