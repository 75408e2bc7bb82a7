"""The webhook's server: on loopback, off unless the settings say otherwise, with a fixed time for each client and few at once.

Simwood sends an event again until it is answered with 200 and a body. So what can never become better by that is answered with 200 (a number that
is not ours, one without an address, a repetition), and what can is not: a store that is away, a body that this release cannot read.
"""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from threading import Lock

import structlog

from retention.webhook.http import LONGEST_HEAD, Answer, admit, read_head
from retention.webhook.report import Report, read_report
from ringfence.clock import Clock
from ringfence.errors import Conflict, Invalid, Misconfigured, Unavailable
from ringfence.few_clients import FewClients, Running
from ringfence.settings import Settings, read_secret

AT_ONCE = 8  # clients
PATIENCE = 5.0  # seconds for a request in all, and again for taking the answer
SAID_EVERY = 60.0  # seconds between two lines about wrong secrets
_LINGER = 65_536  # bytes that are read and thrown away, so that a client which still sends sees the answer
_SECRET = re.compile(r"[A-Za-z0-9._~+/=-]{20,200}", re.ASCII)  # what a Bearer may be (RFC 6750)

log = structlog.get_logger()


Takes = Callable[[Report | None], str]  # takes in a report, or what could not be read (None); says what became of it; raises Unavailable


def serve(settings: Settings, clock: Clock, take: Takes, count: Callable[[str], None]) -> Running:
    """Answer until closed; not started while no port is set.

    Args:
        settings: port and file of the secret.
        clock: for clients' time.
        take: what is done with a report.
        count: told how each request went, in a word.

    Raises:
        Misconfigured: the secret cannot be read, others can read it, or it is too short or has characters that no header carries.
        Conflict: the port is taken.
    """
    chosen = settings.emergency
    if not chosen.webhook_port:
        return Running(None)
    intake = Intake(read_webhook_secret(Path(chosen.webhook_secret_file)), clock, take, count)
    try:
        return Running(_Server((chosen.webhook_host, chosen.webhook_port), intake), "webhook")
    except OSError as error:
        where = f"{chosen.webhook_host}:{chosen.webhook_port}"
        raise Conflict(f"cannot listen on {where} for the webhook: {error.strerror}", hint="set another emergency.webhook_port, or 0") from error


def read_webhook_secret(path: Path) -> bytes:
    """Return the secret that a carrier must show.

    Raises:
        Misconfigured: it cannot be read, others can read it, or it cannot be one.
    """
    secret = read_secret(path)
    if not _SECRET.fullmatch(secret):
        hint = "one line of 20 to 200 letters, digits and ._~+/=-; remove the file and run 'ringfence config secrets' to have one made"
        raise Misconfigured(f"the secret in {path} cannot be one of a webhook", hint=hint)
    return secret.encode("ascii")


class Intake:
    """What is answered to a request, and counted."""

    def __init__(self, secret: bytes, clock: Clock, take: Takes, count: Callable[[str], None]) -> None:
        self._secret = secret
        self.clock = clock
        self._take = take
        self.count = count
        self._lock = Lock()
        self._wrong, self._said_at = 0, -SAID_EVERY

    def begin(self, raw: bytes) -> int | Answer:
        """Return how many bytes of body follow a head, or the answer that ends it here."""
        head = read_head(raw) if len(raw) <= LONGEST_HEAD else Answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head is too long")
        found = head if isinstance(head, Answer) else admit(head, self._secret)
        if isinstance(found, Answer):
            wrong = found.status is HTTPStatus.UNAUTHORIZED
            self.count("wrong_secret" if wrong else "refused")
            if wrong:
                self._tell_wrong()
        return found

    def finish(self, body: bytes) -> Answer:
        """Take a body in; whatever happens, return an answer."""
        try:
            try:
                report = read_report(body)
            except Invalid as error:
                self.count("unreadable")
                log.warning("webhook_unreadable", error=error.message, bytes=len(body))
                self._take(None)
                return Answer(HTTPStatus.BAD_REQUEST, error.message)
            outcome = self._take(report) if report is not None else "other_event"
        except Unavailable:
            self.count("store_away")
            log.warning("webhook_store_away")
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "not taken in: try again", "Retry-After: 60")
        except Exception as error:
            self.count("failed")
            log.exception("webhook_failed", error=type(error).__name__)
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, "not taken in: try again")
        self.count(outcome)
        log.info("webhook_taken", number=report.number if report else None, outcome=outcome)
        return Answer(HTTPStatus.OK, outcome)

    def _tell_wrong(self) -> None:
        """Log wrong secrets, not once for each: who tries them out must not fill a disk."""
        with self._lock:
            self._wrong += 1
            now = self.clock.monotonic()
            if now - self._said_at < SAID_EVERY:
                return
            count, self._wrong, self._said_at = self._wrong, 0, now
        log.warning("webhook_wrong_secret", count=count)


class _Server(FewClients):
    """Listens for the proxy."""

    def __init__(self, address: tuple[str, int], intake: Intake) -> None:
        self.intake = intake
        super().__init__(address, _Client, at_once=AT_ONCE)


class _Client(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        intake = self.server.intake
        deadline = intake.clock.monotonic() + PATIENCE
        raw = self._receive(b"", deadline, lambda seen: b"\r\n\r\n" in seen or len(seen) > LONGEST_HEAD)
        if raw is None:
            intake.count("broken_off")
            return
        head, _, body = raw.partition(b"\r\n\r\n")
        found = intake.begin(head)
        if isinstance(found, int):
            length = found
            whole = self._receive(body, deadline, lambda seen: len(seen) >= length)
            if whole is None:
                intake.count("broken_off")
                return
            found = intake.finish(whole[:length])
        self._send(found)

    def _receive(self, have: bytes, deadline: float, enough: Callable[[bytes], bool]) -> bytes | None:
        """Return what came until it was enough; None when the client was too slow or went away."""
        while not enough(have):
            left = deadline - self.server.intake.clock.monotonic()
            if left <= 0:
                return None
            self.request.settimeout(left)
            try:
                chunk = self.request.recv(4_096)
            except OSError:
                return None
            if not chunk:
                return None
            have += chunk
        return have

    def _send(self, answer: Answer) -> None:
        deadline = self.server.intake.clock.monotonic() + PATIENCE
        with contextlib.suppress(OSError):
            self.request.settimeout(PATIENCE)
            self.request.sendall(answer.encode())
            self.request.shutdown(socket.SHUT_WR)
            self._receive(b"", deadline, lambda seen: len(seen) > _LINGER)
