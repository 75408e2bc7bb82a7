"""The FastAGI server: one deadline for each connection, bounded input, a bounded number of connections.

panoramisk's FastAGI handler is not used: a peer that disconnects before the empty line makes it spin without ever yielding, and
nothing in the event loop can stop it (see docs/design/agi.md).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

import structlog

from ari_app.agi.protocol import MAX_BYTES, AgiRequest, is_success, parse_request, set_variable
from ari_app.agi.router import Answer
from dialplan.routing import Decision
from ringfence.clock import Clock
from ringfence.errors import Invalid
from ringfence.settings import Agi

log = structlog.get_logger(__name__)

MAX_CONNECTIONS = 500  # at once; Asterisk holds one for each call that is being routed


class Metrics(Protocol):
    """What is counted."""

    def asked(self) -> None:
        """Count a connection."""
        ...

    def decided(self, decision: Decision, seconds: float) -> None:
        """Count an answer that Asterisk took, and the time from connect to its last variable."""
        ...

    def failed(self, reason: str) -> None:
        """Count a connection without an answer: busy, invalid, deadline, lost, refused (a variable), error (a fault of ours)."""
        ...


class RouteServer:
    """Answers route requests until closed.

    Args:
        settings: address and deadline.
        answer: decides; raises `Invalid` for what the dialplan does not send.
        metrics: told about each connection.
        clock: for the time an answer takes.
        max_connections: more at once are closed unanswered, and their calls go on to AstDB.
    """

    def __init__(
        self, settings: Agi, answer: Callable[[AgiRequest], Answer], metrics: Metrics, clock: Clock, *, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        self._settings = settings
        self._answer = answer
        self._metrics = metrics
        self._clock = clock
        self._max_connections = max_connections
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.sockets[0].getsockname()[1] if self._server is not None else self._settings.port

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: the address is taken.
        """
        self._server = await asyncio.start_server(self._accept, self._settings.host, self._settings.port, limit=MAX_BYTES, backlog=512)

    async def close(self) -> None:
        """Stop listening, let the conversations end within their deadline, then return."""
        if self._server is not None:
            self._server.close()
        if self._conversations:
            await asyncio.wait(self._conversations, timeout=self._settings.deadline + 0.5)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._metrics.asked()
        if len(self._conversations) >= self._max_connections:
            self._metrics.failed("busy")
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._conversations.add(task)
        task.add_done_callback(self._conversations.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began = self._clock.monotonic()
        failure = ""
        try:
            async with asyncio.timeout(self._settings.deadline):
                decision = await self._converse(reader, writer)
        except TimeoutError:
            failure = "deadline"
        except (Invalid, asyncio.LimitOverrunError, ValueError) as error:
            failure = "invalid"
            log.warning("agi_request_invalid", error=str(error) if isinstance(error, Invalid) else type(error).__name__)
        except (asyncio.IncompleteReadError, ConnectionError):
            failure = "lost"
        except Exception as error:  # a fault of ours must not end the server; the call goes on to AstDB
            failure = "error"
            log.exception("agi_decision_failed", error=type(error).__name__)
        finally:
            if failure:
                writer.transport.abort()
            else:
                with contextlib.suppress(ConnectionError):
                    writer.close()
        if failure:
            self._metrics.failed(failure)
        elif decision is None:
            self._metrics.failed("refused")
        else:
            self._metrics.decided(decision, self._clock.monotonic() - began)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Decision | None:
        """Return the decision when Asterisk took all of it, None when it took a part: without RF_PLACE the dialplan goes on to AstDB."""
        answer = self._answer(parse_request(await reader.readuntil(b"\n\n")))
        for name, value in answer.variables:
            writer.write(set_variable(name, value))
            await writer.drain()
            if not is_success(await reader.readuntil(b"\n")):
                return None
        return answer.decision
