"""What a process tells of itself on loopback: /metrics, /healthz (it turns) and /readyz (it does its job).

A thread of its own answers, so that a scrape never waits for the event loop nor holds it up. Each client gets a fixed time in all and
there are few at once, so slow or hostile ones cost nothing but their own answer.
"""

from __future__ import annotations

import contextlib
import socketserver
from collections.abc import Callable, Mapping

import msgspec
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from ringfence.clock import SystemClock
from ringfence.errors import Conflict
from ringfence.few_clients import FewClients, Running

Check = Callable[[], str]  # '' when fine, else what is wrong; must return at once

_AT_ONCE = 8  # clients; one more is turned away
_PATIENCE = 2.0  # seconds for a client's request in all, and again for taking the answer
_LONGEST = 8192  # bytes of a request

log = structlog.get_logger(__name__)
_clock = SystemClock()


def serve(host: str, port: int, registry: CollectorRegistry, live: Mapping[str, Check], ready: Mapping[str, Check]) -> Running:
    """Answer on `host`:`port` until closed; port 0 = not started.

    Args:
        host: a loopback address.
        port: 0 to stay off.
        registry: what /metrics shows.
        live: checks of /healthz, by name.
        ready: checks of /readyz, by name; /readyz runs those of /healthz too.

    Raises:
        Conflict: the port is taken.
    """
    if port == 0:
        return Running(None)
    try:
        return Running(_TcpServer((host, port), _Pages(registry, live, ready)), "health")
    except OSError as error:
        raise Conflict(
            f"cannot listen on {host}:{port} for metrics: {error.strerror}", hint="is it running already? else set another port in [health], or 0"
        ) from error


class _Pages:
    """What each path answers: status, content type, body."""

    def __init__(self, registry: CollectorRegistry, live: Mapping[str, Check], ready: Mapping[str, Check]) -> None:
        self._registry = registry
        self._live = live
        self._ready = {**live, **ready}

    def answer(self, method: str, path: str) -> tuple[str, str, bytes]:
        try:
            return self._answer(method, path)
        except Exception as error:
            log.exception("health_page_failed", path=path)
            return ("500 Internal Server Error", "text/plain", f"{type(error).__name__}\n".encode())

    def _answer(self, method: str, path: str) -> tuple[str, str, bytes]:
        if method not in {"GET", "HEAD"}:
            return ("405 Method Not Allowed", "text/plain", b"only GET\n")
        if path == "/metrics":
            return ("200 OK", CONTENT_TYPE_LATEST, generate_latest(self._registry))
        if path in {"/healthz", "/readyz"}:
            problems = {name: problem for name, check in (self._live if path == "/healthz" else self._ready).items() if (problem := _problem(check))}
            checks = {name: problems.get(name, "ok") for name in (self._live if path == "/healthz" else self._ready)}
            body = msgspec.json.encode({"ok": not problems, "checks": checks}) + b"\n"
            return ("503 Service Unavailable" if problems else "200 OK", "application/json", body)
        return ("404 Not Found", "text/plain", b"/metrics, /healthz, /readyz\n")


def _problem(check: Check) -> str:
    try:
        return check()
    except Exception as error:  # noqa: BLE001  a check that fails is the answer, not an accident
        return type(error).__name__


class _TcpServer(FewClients):
    """Shows the pages."""

    def __init__(self, address: tuple[str, int], pages: _Pages) -> None:
        self.pages = pages
        super().__init__(address, _Client, at_once=_AT_ONCE)


class _Client(socketserver.BaseRequestHandler):
    server: _TcpServer

    def handle(self) -> None:
        head = self._head()
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        path, _, version = rest.partition(" ")
        if not version.startswith("HTTP/"):
            return
        status, kind, body = self.server.pages.answer(method, path.partition("?")[0])
        answer = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        self.request.settimeout(_PATIENCE)
        self.request.sendall(answer + (b"" if method == "HEAD" else body))

    def _head(self) -> bytes:
        """Return the request's head, or what is there of it when the client is too slow or says too much."""
        head = b""
        deadline = _clock.monotonic() + _PATIENCE
        with contextlib.suppress(TimeoutError):
            while b"\r\n\r\n" not in head and len(head) < _LONGEST:
                left = deadline - _clock.monotonic()
                if left <= 0:
                    return b""
                self.request.settimeout(left)
                chunk = self.request.recv(4096)
                if not chunk:
                    return b""
                head += chunk
            return head
        return b""
