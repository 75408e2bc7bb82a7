"""Magrathea in this process, speaking its line protocol as its client does, that can misbehave; Simwood is in `ari_app.private.address_carrier`."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ari_app.private.address_carrier import LOGIN, serving


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

        with serving(Handler, tls) as self.port:
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


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
