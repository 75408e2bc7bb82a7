"""A carrier of 999 addresses on this machine, for demonstrations and tests: Simwood's protocol as it is published, TLS by an authority of its own.

It can misbehave, too. Nothing of it is a real carrier's: login, account and numbers are made up.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ringfence.clock import SystemClock

LOGIN = ("ringfence", "swordfish")
ACCOUNT = "930999"


def authority(folder: Path, *, host: str = "127.0.0.1") -> tuple[Path, ssl.SSLContext]:
    """Return the certificate that a client must trust, and the server's TLS with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "carrier.example.com")])
    now = SystemClock().now()
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
    certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    folder.mkdir(exist_ok=True)
    public, private = folder / "ca.pem", folder / "key.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context


class SimwoodLike:
    """`GET|PUT /v3/numbers/ACCOUNT/allocated/NUMBER/999`, HTTP Basic, JSON."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, str]] = {"442079460123": {}, "442079460124": {}}  # numbers on the account
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.instead: Callable[[Any], bool] | None = None  # does something else; True = the answer is given
        self.after_put: Callable[[Any], bool] | None = None  # the same, once a PUT was done
        self.port = 0

    @property
    def puts(self) -> int:
        """How many PUTs came."""
        return sum(1 for each in self.asked if each.startswith("PUT"))

    @contextmanager
    def running(self, tls: ssl.SSLContext) -> Iterator[SimwoodLike]:
        """Serve until the end of the block."""
        own = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its name
                pass

            def do_GET(self) -> None:
                own.answer(self)

            def do_PUT(self) -> None:
                own.answer(self)

        with serving(Handler, tls) as self.port:
            yield self

    def answer(self, handler: Any) -> None:
        """Answer one request."""
        self.asked.append(f"{handler.command} {handler.path}")
        if self.instead is not None and self.instead(handler):
            return None
        if handler.headers["Authorization"] != "Basic " + base64.b64encode(":".join(LOGIN).encode()).decode():
            return tell(handler, 401, {"success": False, "errors": ["Unauthorised"]})
        _, version, kind, account, allocated, number, what = handler.path.split("/")
        if (version, kind, account, allocated, what) != ("v3", "numbers", ACCOUNT, "allocated", "999") or number not in self.records:
            return tell(handler, 404, {"success": False, "errors": ["Not found"]})
        if handler.command == "GET":
            return tell(handler, 200, {"success": True, "data": self.records[number] or []})
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        if self.errors:
            return tell(handler, 200, {"success": False, "errors": self.errors})
        self.records[number] = {key: text.upper() for key, text in body.items() if text}
        if self.after_put is None or not self.after_put(handler):
            tell(handler, 200, {"success": True})
        return None


def tell(handler: Any, status: int, body: object, **headers: str) -> None:
    """Send one answer of JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, text in {"Content-Type": "application/json", "Content-Length": str(len(raw)), **headers}.items():
        handler.send_header(name.replace("_", "-"), text)
    handler.end_headers()
    handler.wfile.write(raw)


@contextmanager
def serving(handler: Any, tls: ssl.SSLContext | None) -> Iterator[int]:
    """Serve on a free port of loopback; each connection has its thread. What clients break off is no error."""

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = True

        def finish_request(self, request: Any, client_address: Any) -> None:
            request.settimeout(5)
            if tls is None:
                super().finish_request(request, client_address)
                return
            with suppress(OSError), tls.wrap_socket(request, server_side=True) as secured:
                handler(secured, client_address, self)

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
