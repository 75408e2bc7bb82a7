"""A small server for loopback: a thread for each client, few at once; one more is turned away at once. Slow or hostile ones cost nobody else anything."""

from __future__ import annotations

import socket
import socketserver
import threading
from typing import Any


class FewClients(socketserver.ThreadingTCPServer):
    """Listens as soon as it is made.

    Args:
        address: host and port.
        handler: what a client gets; it must not wait for the client without end.
        at_once: clients; one more is turned away.

    Raises:
        OSError: the port is taken.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, address: tuple[str, int], handler: type[socketserver.BaseRequestHandler], *, at_once: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._free = threading.BoundedSemaphore(at_once)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a client in a thread, or turn it away."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a client, then make room for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: a client that went away is no event."""


class Running:
    """A server that answers in a thread of its own; `port` is 0 when it is off."""

    def __init__(self, server: FewClients | None, name: str = "") -> None:
        self._server = server
        self.port: int = server.server_address[1] if server else 0
        self._thread = threading.Thread(target=server.serve_forever, args=(0.2,), name=name, daemon=True) if server else None
        if self._thread:
            self._thread.start()

    def close(self) -> None:
        """Stop it; may be called twice."""
        if self._server and self._thread:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None
