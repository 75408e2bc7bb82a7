"""Runs SIPp as carrier, mobile or phone: servers that take calls, and callers that place them. Loopback only.

Every process has a folder of its own for its scenario, its errors and its traces, which is left for reading afterwards. Secrets are
in the scenario's file (mode 600), never in a command line.
"""

from __future__ import annotations

import csv
import os
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from ari_app.private.ports import free_ports
from ari_app.private.root import Root
from ari_app.private.scenario import Call, Callee, Register, render
from ari_app.private.sip_trace import SipMessage, read_messages
from ringfence.errors import Invalid, Unavailable

_SHOWN = 4000  # characters of an error file that a message quotes


class SippResult(msgspec.Struct, frozen=True):
    """What one SIPp saw."""

    successful: int
    failed: int
    retransmissions: int
    errors: str  # the messages that were not expected; empty when all went well
    setup_ms: tuple[float, ...] = ()  # INVITE to final response, for each call of a caller that times them

    def check(self) -> Self:
        """Return itself when every call went as the scenario says.

        Raises:
            Unavailable: one did not; the message quotes what came instead.
        """
        if self.failed or not self.successful:
            raise Unavailable(f"SIPp: {self.successful} calls went as expected, {self.failed} did not\n{self.errors[:_SHOWN]}")
        return self


class _Sipp:
    """One SIPp process."""

    role = "sipp"

    def __init__(self, root: Root, folder: Path, *, host: str, port: int, scenario: Callee | Call | Register, transport: str) -> None:
        if not host.startswith("127."):
            raise Invalid(f"{host} is not a loopback address", hint="SIPp is for tests on this machine only")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.role}-", dir=folder))
        self.host = host
        self.port = port
        self.transport = transport
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None
        path = self.folder / "scenario.xml"
        path.touch(mode=0o600)
        path.write_text(render(scenario), encoding="utf-8")

    @property
    def pid(self) -> int | None:
        """The process id; None before the start."""
        return self._process.pid if self._process else None

    def messages(self, method: str = "", *, sent: bool | None = None) -> list[SipMessage]:
        """Return the messages of a SIPp that was started with `trace`, oldest first.

        Args:
            method: only requests with this method, such as `INVITE`.
            sent: True for those it sent, False for those it received.
        """
        found = read_messages(self.folder / "messages")
        return [message for message in found if (not method or message.method == method) and (sent is None or message.sent is sent)]

    def kill(self) -> None:
        """End it at once; calls that are up get no BYE."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _start(self, *arguments: str, trace: bool) -> None:
        command = self._root.sipp_command(
            *("-sf", "scenario.xml", "-i", self.host, "-bind_local", "-p", str(self.port), "-mi", self.host, "-t", self.transport),
            *("-ci", "127.0.0.1", "-nostdin", "-trace_err", "-error_file", "errors", "-trace_stat", "-stf", "statistics", "-fd", "1"),
            *(("-trace_msg", "-message_file", "messages") if trace else ()),
            *arguments,
        )
        environment = os.environ | {"TERM": "dumb"}
        with (self.folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.folder, env=environment, start_new_session=True
            )

    def _finish(self, timeout: float) -> SippResult:
        if self._process is not None and not _has_ended(self._process, timeout):
            self.kill()
            raise Unavailable(f"SIPp did not end within {timeout:g} s\n{self._result().errors[:_SHOWN]}", hint=f"see {self.folder}")
        return self._result()

    def _result(self) -> SippResult:
        counts = _last_row(self.folder / "statistics")
        errors = _read(self.folder / "errors") or ("" if counts else _read(self.folder / "output")[-_SHOWN:])
        return SippResult(
            successful=int(counts.get("SuccessfulCall(C)", 0)),
            failed=int(counts.get("FailedCall(C)", 0)),
            retransmissions=int(counts.get("Retransmissions(C)", 0)),
            errors=errors,
            setup_ms=_response_times(self.folder),
        )


class SippServer(_Sipp):
    """Takes calls until it is stopped. A context manager.

    Args:
        folder: its own folder is made below.
        host: loopback address; gives the role, as `type=identify` tells carriers apart by it.
        trace: keep every message, for `messages`.
        transport: SIPp's name of it: `u1` UDP, `t1` TCP.
    """

    role = "server"

    def __init__(self, root: Root, folder: Path, *, host: str, port: int, scenario: Callee, trace: bool = False, transport: str = "u1") -> None:
        super().__init__(root, folder, host=host, port=port, scenario=scenario, transport=transport)
        self._trace = trace

    def start(self, timeout: float = 10.0) -> Self:
        """Start it and wait until its port is open.

        Raises:
            Unavailable: it ended, or did not open the port.
        """
        self._start("-aa", trace=self._trace)
        deadline = time.monotonic() + timeout
        while not _is_open(self.host, self.port, self.transport):
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise Unavailable(f"SIPp did not open {self.host}:{self.port}\n{_read(self.folder / 'output')[-_SHOWN:]}", hint=f"see {self.folder}")
            time.sleep(0.01)
        return self

    def stop(self, timeout: float = 3.0) -> SippResult:
        """Let the calls that are up end, at most `timeout` seconds, then end it; return what it saw."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGUSR1)
            if not _has_ended(self._process, timeout):
                self.kill()
        return self._result()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


class SippCalls(_Sipp):
    """Places calls in the background, from its making on. As a context manager it ends what is still up on leaving.

    Args:
        to: host and port of the SIP server.
        numbers: dialled in turn.
        caller: user part of From for every call, or one for each number.
        count: calls in all.
        rate: calls started a second.
        at_once: so many may be up; None = all.
        timed: keep each call's set-up time.
    """

    role = "calls"

    def __init__(
        self,
        root: Root,
        folder: Path,
        *,
        host: str,
        to: tuple[str, int],
        numbers: Sequence[str],
        scenario: Call,
        caller: str | Sequence[str] = "anonymous",
        port: int | None = None,
        count: int = 1,
        rate: float = 10.0,
        at_once: int | None = None,
        trace: bool = False,
        timed: bool = False,
        transport: str = "u1",
    ) -> None:
        super().__init__(root, folder, host=host, port=port or free_ports(1, (host,))[0], scenario=scenario, transport=transport)
        callers = [caller] * len(numbers) if isinstance(caller, str) else list(caller)
        lines = [_line(number, by) for number, by in zip(numbers, callers, strict=True)]
        (self.folder / "numbers.csv").write_text("SEQUENTIAL\n" + "".join(lines), encoding="utf-8")
        self._time = 60.0 + count / rate + (count if at_once else 0) + ((scenario.hold_ms or 0) + (scenario.give_up_ms or 0)) / 1000
        self._start(
            *("-inf", "numbers.csv", "-m", str(count), "-l", str(at_once or count), *_rate(rate), "-aa"),
            *(("-trace_rtt", "-rtt_freq", "1") if timed else ()),
            f"{to[0]}:{to[1]}",
            trace=trace,
        )

    def running(self) -> bool:
        """Return whether calls are still being placed or up."""
        return self._process is not None and self._process.poll() is None

    def wait(self, timeout: float | None = None) -> SippResult:
        """Wait until every call has ended, and return what came of them.

        Raises:
            Unavailable: they had not within `timeout` seconds (None: what the scenario takes, and a minute); SIPp was ended.
        """
        return self._finish(self._time if timeout is None else timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()


def place_call(root: Root, folder: Path, *, host: str, to: tuple[str, int], number: str, scenario: Call, caller: str = "anonymous") -> SippResult:
    """Place one call and return what came of it."""
    return SippCalls(root, folder, host=host, to=to, numbers=[number], scenario=scenario, caller=caller).wait()


def register_phone(root: Root, folder: Path, *, host: str, port: int, to: tuple[str, int], scenario: Register, transport: str = "u1") -> SippResult:
    """Register a phone at `host:port`; a `SippServer` on the same port then takes its calls, and `SippCalls` places them."""
    return _Registration(root, folder, host=host, port=port, scenario=scenario, transport=transport).run(to)


def register_phones(
    root: Root, folder: Path, *, host: str, port: int, to: tuple[str, int], users: Sequence[str], secret: str, expires: int = 3600
) -> SippResult:
    """Register several phones, all at `host:port` and with the same secret, and return what came of it."""
    scenario = Register(user="", secret=secret, expires=expires)
    return _Registration(root, folder, host=host, port=port, scenario=scenario, transport="u1").run(to, users)


class _Registration(_Sipp):
    role = "register"

    def run(self, to: tuple[str, int], users: Sequence[str] = ()) -> SippResult:
        several: tuple[str, ...] = ()
        if users:
            (self.folder / "numbers.csv").write_text("SEQUENTIAL\n" + "".join(_line(user, "") for user in users), encoding="utf-8")
            several = ("-inf", "numbers.csv", "-l", "1", *_rate(100))
        self._start("-m", str(len(users) or 1), *several, f"{to[0]}:{to[1]}", trace=False)
        return self._finish(30.0 + len(users))


class SilentServer:
    """A carrier that is there and says nothing: datagrams arrive and are dropped. A context manager."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()


def _has_ended(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Wait for the end of a process, at most `timeout` seconds; told by the kernel at once (pidfd_open(2)), where `Popen.wait` looks every 50 ms."""
    if process.poll() is None:
        descriptor = os.pidfd_open(process.pid)
        try:
            select.select([descriptor], [], [], timeout)
        finally:
            os.close(descriptor)
    return process.poll() is not None


def _line(number: str, caller: str) -> str:
    for text in (number, caller or "-"):
        if not text or any(character in ";[\n\r" for character in text):
            raise Invalid("a number for SIPp is empty, or has ';', '[' or a line end")
    return f"{number};{caller}\n"


def _rate(rate: float) -> tuple[str, ...]:
    return ("-r", str(int(rate))) if rate >= 1 else ("-r", "1", "-rp", str(int(1000 / rate)))


def _is_open(host: str, port: int, transport: str) -> bool:
    """Return whether somebody has bound the port; read from the kernel, as trying to bind could get in the way of who is about to."""
    address = f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{port:04X}"
    lines = Path(f"/proc/net/{'udp' if transport.startswith('u') else 'tcp'}").read_text(encoding="ascii").splitlines()[1:]
    return any(line.split()[1] == address for line in lines)


def _last_row(path: Path) -> dict[str, str]:
    """Return the last complete row of SIPp's statistics, by column."""
    rows = list(csv.reader(_read(path).splitlines(), delimiter=";"))
    return dict(zip(rows[0], rows[-1], strict=False)) if len(rows) > 1 else {}


def _response_times(folder: Path) -> tuple[float, ...]:
    times: list[float] = []
    for path in folder.glob("*_rtt.csv"):
        times.extend(float(row[1]) for row in csv.reader(_read(path).splitlines()[1:], delimiter=";"))
    return tuple(times)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
