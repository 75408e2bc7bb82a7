"""Magrathea, NTS API: a line protocol over TCP. `INFO <number> 999 <WHAT> [value]`, each answer a digit, a space and words; 0 is yes.

Source: Magrathea's "999 appendix" to its numbering API, as its published Perl client (Magrathea::API 1.6) has it. The known server speaks
plain text: with TLS off, the login goes to a private or loopback address only (a tunnel's end), never to the open internet. Lines are
Latin-1. It has no command to take a record out.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from types import MappingProxyType

import msgspec

from retention.emergency.carriers.carrier import HOUR, Outcome, Reply, Request, is_uk, later, rejected, same
from retention.emergency.carriers.exchange import Broken, Patience, exchange
from ringfence.errors import Invalid

FIELDS = ("title", "forename", "name", "honours", "bussuffix", "premises", "thoroughfare", "locality", "postcode")
STATES: Mapping[int, Outcome] = MappingProxyType(
    {
        0: Outcome.ACCEPTED,
        1: Outcome.SUBMITTED,  # info received
        2: Outcome.PENDING_REVIEW,  # awaiting further validation
        3: Outcome.SUBMITTED,
        6: Outcome.PENDING_REVIEW,  # submitted, awaiting manual processing
        8: Outcome.REJECTED,
        9: Outcome.MISSING,
    }
)
LONGEST = 1_024  # bytes of a line
_MOST = 64  # lines of a record
_LINE = re.compile(r"([0-9])(?:[ \t]+(.*))?\Z")
_OWNER = ("forename", "name", "bussuffix")  # another owner begins a new record
_CHECK_LATER = 1  # VALIDATE: "Parsed OK. Check later for status."


class Line(msgspec.Struct, frozen=True):
    """One line of an answer."""

    digit: int
    words: str = ""


class Magrathea:
    """Addresses at Magrathea."""

    name = "magrathea"

    def __init__(
        self,
        address: tuple[str, int],
        login: tuple[str, str],
        tls: ssl.SSLContext | None,
        ported: Collection[str] = frozenset(),
        patience: Patience = Patience(),  # noqa: B008  frozen
    ) -> None:
        self._address = address
        self._login = login
        self._tls = tls
        self._ported = ported  # numbers that were ported in, which are named with P for their 0
        self._patience = patience

    def submit(self, request: Request) -> Reply:
        """As `Carrier.submit`. All fields go each time: one that broke off before VALIDATE has left others behind."""
        return self._talk(request, _submit)

    def poll(self, request: Request) -> Reply:
        """As `Carrier.poll`."""
        return self._talk(request, _poll)

    def withdraw(self, request: Request) -> Reply:
        """As `Carrier.withdraw`: a person does it, and this sees that it is done."""
        return self._talk(request, _withdraw)

    def finish(self) -> None:
        """Do nothing: each request is sent by itself."""

    def named(self, number: str) -> str:
        """Return how Magrathea names a number: national, with P for the 0 of one that was ported in."""
        return ("P" if number in self._ported else "0") + number.removeprefix("+44")

    def _talk(self, request: Request, act: Callable[[_Session, Request], Awaitable[Reply]]) -> Reply:
        if not is_uk(request.number):
            return rejected("not_uk")

        async def talk() -> Reply:
            async with asyncio.timeout(self._patience.connect):
                reader, writer = await asyncio.open_connection(*self._address, ssl=self._tls, limit=LONGEST)
            try:
                if self._tls is None and not is_private(peer_of(writer)):
                    return later("no_private_path", HOUR)
                session = _Session(reader, writer, f"INFO {self.named(request.number)} 999", self._patience.answer)
                await session.open(self._login)
                return await act(session, request)
            finally:
                await _hang_up(writer)

        return exchange(talk, self._patience)


class _Session:
    """An open connection, on which one number is talked about."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, subject: str, seconds: float) -> None:
        self._reader = reader
        self._writer = writer
        self._subject = subject
        self._seconds = seconds

    async def open(self, login: tuple[str, str]) -> None:
        """Read the banner and log in."""
        if (await self.read()).digit != 0:
            raise Broken(later("busy"))
        await self._write(" ".join(("AUTH", *login)))
        if (await self.read()).digit != 0:
            raise Broken(later("credentials", HOUR))

    async def ask(self, what: str, value: str = "") -> Line:
        """Ask one thing of the number, and return the first line of the answer."""
        await self._write(" ".join(part for part in (self._subject, what, value) if part))
        return await self.read()

    async def held(self) -> dict[str, str]:
        """Return the fields of the record that is there: lines of 0 with a name and a value, until one that is not 0."""
        found: dict[str, str] = {}
        line = await self.ask("DATA")
        for _ in range(_MOST):
            if line.digit != 0:
                return found
            name, _, value = line.words.partition(" ")
            if name.lower() in FIELDS and value.strip():
                found[name.lower()] = value.strip()
            line = await self.read()
        raise Broken(later("garbled"))

    async def read(self) -> Line:
        """Return the next line."""
        async with asyncio.timeout(self._seconds):
            try:
                raw = await self._reader.readuntil(b"\n")
            except asyncio.IncompleteReadError as error:
                raise Broken(later("half_written" if error.partial else "hung_up")) from error
            except asyncio.LimitOverrunError as error:
                raise Broken(later("garbled")) from error
        line = read_line(raw)
        if line is None:
            raise Broken(later("garbled"))
        return line

    async def _write(self, command: str) -> None:
        self._writer.write(encoded(command))
        async with asyncio.timeout(self._seconds):
            await self._writer.drain()


async def _submit(session: _Session, request: Request) -> Reply:
    wanted = {field: getattr(request.address, field) for field in FIELDS}
    held = await session.held()
    emptied = any(held.get(field) and not text for field, text in wanted.items())  # no command empties a field
    if not held or emptied or not same(request.address, held, _OWNER):
        line = await session.ask("CREATE")
        if line.digit != 0:
            return rejected(f"create_{line.digit}", line.words)
    for field, text in wanted.items():
        if text:
            line = await session.ask(field.upper(), text)
            if line.digit != 0:
                return rejected(f"{field}_{line.digit}", line.words)
    line = await session.ask("VALIDATE")
    return Reply(Outcome.SUBMITTED) if line.digit <= _CHECK_LATER else rejected(f"validate_{line.digit}", line.words)


async def _poll(session: _Session, request: Request) -> Reply:
    state = read_state(await session.ask("STATUS"))
    if state.outcome is Outcome.ACCEPTED and not same(request.address, await session.held(), FIELDS):
        return Reply(Outcome.MISSING, "differs")
    return state


async def _withdraw(session: _Session, _: Request) -> Reply:
    state = read_state(await session.ask("STATUS"))
    if state.outcome is Outcome.MISSING:
        return Reply(Outcome.WITHDRAWN)
    return state if state.outcome is Outcome.LATER else rejected("by_hand", "Magrathea's API takes no record out: have it done, or give the number back")


def read_state(line: Line) -> Reply:
    """Return what an answer to STATUS means."""
    outcome = STATES.get(line.digit)
    if outcome is None:
        return later("garbled")
    if outcome is Outcome.REJECTED:
        return rejected(f"status_{line.digit}", line.words)
    return Reply(outcome, "no_record" if outcome is Outcome.MISSING else "")


def read_line(raw: bytes) -> Line | None:
    """Return a line as digit and words, or None for what is no answer."""
    found = _LINE.match(raw.decode("latin-1").rstrip("\r\n"))
    return Line(int(found[1]), (found[2] or "").strip()) if found else None


def encoded(command: str) -> bytes:
    """Return a command as one line.

    Raises:
        Invalid: it has a character that would end the line, or that Latin-1 has not.
    """
    try:
        raw = command.encode("latin-1")
    except UnicodeEncodeError as error:
        raise Invalid("an address for Magrathea has a character that Latin-1 has not") from error
    if not command.isprintable() or len(raw) > LONGEST:
        raise Invalid("an address for Magrathea has a control character, or is too long")
    return raw + b"\r\n"


def peer_of(writer: asyncio.StreamWriter) -> object:
    """Return the address that a connection really goes to."""
    return writer.get_extra_info("peername")


def is_private(peer: object) -> bool:
    """Tell whether the other end of a connection is on this machine or in a private network."""
    return isinstance(peer, tuple) and not ipaddress.ip_address(peer[0]).is_global


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    """Say good-bye and close; what the carrier did is done, whether it hears this or not."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            writer.write(b"QUIT\r\n")
            await writer.drain()
    writer.close()
    try:
        async with asyncio.timeout(0.5):
            await writer.wait_closed()
    except (OSError, TimeoutError):  # one that does not close its side of TLS
        writer.transport.abort()
        await asyncio.sleep(0)  # the loop closes the socket in its next turn
