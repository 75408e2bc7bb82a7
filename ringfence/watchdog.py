"""Telling the supervisor that this process is ready and alive: systemd's notify protocol (sd_notify(3)), which our own supervisor speaks too.

A process that is stopped or stuck keeps its socket, and Asterisk keeps its calls waiting for it. Nothing in Asterisk notices; a missed
heartbeat does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket


class Notifier:
    """Sends READY, WATCHDOG and STOPPING to NOTIFY_SOCKET; does nothing where there is none."""

    def __init__(self, address: str | None = None) -> None:
        address = os.environ.get("NOTIFY_SOCKET") if address is None else address
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.connect("\0" + address[1:] if address.startswith("@") else address)
            self._socket.setblocking(False)
        usec = os.environ.get("WATCHDOG_USEC", "")
        self.interval = int(usec) / 2_000_000 if usec.isdigit() and int(usec) else 0.5  # seconds between heartbeats

    def ready(self) -> None:
        """Tell that the process does its job now."""
        self._send(b"READY=1")

    def alive(self) -> None:
        """Tell that the process turns."""
        self._send(b"WATCHDOG=1")

    def stopping(self) -> None:
        """Tell that the process ends because it was asked to."""
        self._send(b"STOPPING=1")

    async def beat(self) -> None:
        """Tell that the event loop turns, until cancelled."""
        while True:
            self.alive()
            await asyncio.sleep(self.interval)

    def _send(self, message: bytes) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # a supervisor that is gone or busy must not cost a call
                self._socket.send(message)
