"""Carriers in this process that speak the protocols as they are published, with TLS by an authority of their own, and that can misbehave."""

from __future__ import annotations

import base64
import ipaddress
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOGIN = ("ringfence", "swordfish")
ACCOUNT = "930999"


def authority(folder: Path, *, host: str = "127.0.0.1") -> tuple[Path, ssl.SSLContext]:
    """Return the certificate that a client must trust, and the server's TLS with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "carrier.example.com")])
    now = datetime.now(UTC)
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


class FakeSimwood:
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
    def running(self, tls: ssl.SSLContext) -> Iterator[FakeSimwood]:
        """Serve until the end of the block."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its name
                pass

            def do_GET(self) -> None:
                fake.answer(self)

            def do_PUT(self) -> None:
                fake.answer(self)

        with _serving(Handler, tls) as self.port:
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


class FakeMagrathea:
    """`INFO <number> 999 <WHAT> [value]` after a banner and AUTH, line by line."""

    def __init__(self) -> None:
        self.data: dict[str, dict[str, str]] = {}
        self.status: dict[str, str] = {}
        self.numbers = {"02079460123", "P2079460124"}
        self.validate = "0 Information Valid"
        self.refused: dict[str, str] = {}  # what -> answer
        self.instead: dict[str, bytes | None] = {}  # what -> raw bytes and then silence; None = hang up
        self.said: list[str] = []
        self.hold = threading.Event()
        self.port = 0

    @contextmanager
    def running(self, tls: ssl.SSLContext | None) -> Iterator[FakeMagrathea]:
        """Serve until the end of the block."""
        fake = self

        class Handler(socketserver.StreamRequestHandler):
            timeout = 5

            def handle(self) -> None:
                fake.talk(self)

        with _serving(Handler, tls) as self.port:
            yield self
            self.hold.set()

    def talk(self, handler: socketserver.StreamRequestHandler) -> None:
        """Hold one conversation."""
        known = False
        if not self._write(handler, "BANNER", ["0 Magrathea NTS API ready"]):
            return
        while raw := handler.rfile.readline():
            command = raw.decode("latin-1").rstrip("\r\n")
            self.said.append(command)
            words = command.split(" ", 4)
            if words[0] == "QUIT":
                return
            if words[0] == "AUTH":
                known = tuple(words[1:]) == LOGIN
                what, answer = "AUTH", ["0 Access granted" if known else "1 Access denied"]
            elif not known or words[0] != "INFO" or words[2] != "999":
                what, answer = "?", ["3 Unknown command"]
            else:
                what, answer = words[3], self.act(words[1], words[3], words[4] if len(words) > 4 else "")
            if not self._write(handler, what, answer):
                return

    def act(self, number: str, what: str, value: str) -> list[str]:
        """Do one thing, and return the lines of the answer."""
        if what in self.refused:
            return [self.refused[what]]
        if number not in self.numbers:
            return ["9 Number not allocated to you"]
        if what == "CREATE":
            self.data[number] = {}
            return ["0 Created"]
        if what == "DATA":
            return [*(f"0 {key} {text}" for key, text in self.data.get(number, {}).items()), "1 End of data"]
        if what == "STATUS":
            return [self.status.get(number, "9 No record found")]
        if number not in self.data:
            return ["9 No record found"]
        if what == "VALIDATE":
            if self.validate[0] in "01":
                self.status[number] = "1 Info received"
            return [self.validate]
        self.data[number][what] = value
        return ["0 Ok"]

    def _write(self, handler: socketserver.StreamRequestHandler, what: str, lines: list[str]) -> bool:
        if what in self.instead:
            raw = self.instead[what]
            if raw is not None:
                handler.wfile.write(raw)
                handler.wfile.flush()
                if not raw.endswith(b"-"):  # a half-written line, and then the end
                    self.hold.wait(5)
            return False
        handler.wfile.write("".join(f"{line}\r\n" for line in lines).encode("latin-1"))
        return True


@contextmanager
def _serving(handler: Any, tls: ssl.SSLContext | None) -> Iterator[int]:
    """Serve on a free port of loopback; each connection has its thread. What clients break off is not an error of the test's."""

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


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
