"""Starts a node's processes, restarts those that end, and ends those that stop turning, as systemd's watchdog does in production.

It speaks systemd's notify protocol (`ringfence.watchdog`): each process tells READY once and WATCHDOG regularly; one that is silent for
longer than its limit is killed with SIGKILL, which also ends a stopped process, and started again. Time in which the supervisor itself stood
still (a machine that is suspended, or too busy) says nothing of the others and does not count.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import structlog

from ringfence.clock import Clock
from ringfence.errors import Unavailable

log = structlog.get_logger(__name__)

_LOOK_EVERY = 0.1  # seconds
_LONGEST_LOOK = 0.3  # what one look adds to a silence at most: whoever looks later stood still itself
_FIRST_WAIT = 0.1  # seconds before a restart; doubles up to _LAST_WAIT while the process keeps ending
_LAST_WAIT = 2.0
_STEADY = 5.0  # a process that ran this long starts again without waiting
_START_WITHIN = 30.0  # to the first heartbeat
_STOP_WITHIN = 10.0
_FINAL_EXITS = frozenset({2, 5, 78})  # usage, conflict, bad configuration: starting again would not help


class Service(msgspec.Struct, frozen=True):
    """A process to keep running."""

    name: str
    command: Sequence[str]
    watchdog: float | None = None  # seconds of silence after which it is killed; None = it sends no heartbeat
    notifies: bool = True  # does it tell when it is ready? Asterisk is ready when ARI is
    before: Callable[[], None] = lambda: None  # called before each start


class Supervisor:
    """Keeps services running.

    Args:
        services: in the order they are started; they are stopped in the same order.
        folder: for logs (`<name>.log`), pid files (`<name>.pid`) and notify sockets.
        clock: for the heartbeats.
        environment: what the processes get.
    """

    def __init__(self, services: Sequence[Service], folder: Path, clock: Clock, environment: Mapping[str, str] | None = None) -> None:
        self._clock = clock
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        base = dict(os.environ if environment is None else environment)
        self._keepers = [_Keeper(service, folder, clock, base) for service in services]
        self.failed = asyncio.Event()  # a service ended before it was ready, in a way that starting again would not mend

    @property
    def restarts(self) -> dict[str, int]:
        """How often each service was started again."""
        return {keeper.service.name: keeper.restarts for keeper in self._keepers}

    async def start(self, *, ready_within: float = 30.0) -> None:
        """Start every service and wait until each has told that it is ready.

        Raises:
            Unavailable: one was not ready in time, or ended for good.
        """
        for keeper in self._keepers:
            keeper.begin(self.failed.set)
        for keeper in self._keepers:
            await keeper.wait_ready(ready_within)

    async def stop(self) -> None:
        """Stop the services one after the other, each within a batch of its work."""
        for keeper in self._keepers:
            await keeper.stop()


class _Keeper:
    def __init__(self, service: Service, folder: Path, clock: Clock, environment: dict[str, str]) -> None:
        self.service = service
        self.restarts = 0
        self._folder = folder
        self._clock = clock
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._heard = False  # from this process
        self._silent = 0.0  # seconds since, as far as somebody listened
        self._ready = asyncio.Event()
        self._ended = asyncio.Event()
        self._log = folder / f"{service.name}.log"
        self._notify = folder / f"{service.name}.notify"

    def begin(self, on_failed: Callable[[], None]) -> None:
        self._task = asyncio.create_task(self._keep(on_failed), name=self.service.name)

    async def wait_ready(self, seconds: float) -> None:
        waits = [asyncio.create_task(self._ready.wait()), asyncio.create_task(self._ended.wait())]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if not self._ready.is_set():
            raise Unavailable(f"{self.service.name} did not get ready:\n{self._last_words()}", hint=f"see {self._log}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
        try:
            await asyncio.wait_for(process.wait(), _STOP_WITHIN)
        except TimeoutError:
            log.warning("service_killed", service=self.service.name, why="it did not stop")
            process.kill()
            await process.wait()
        self._pid_file.unlink(missing_ok=True)

    @property
    def _pid_file(self) -> Path:
        return self._folder / f"{self.service.name}.pid"

    async def _keep(self, on_failed: Callable[[], None]) -> None:
        wait = _FIRST_WAIT
        with contextlib.closing(self._listen()) as receiver:
            while True:
                began = self._clock.monotonic()
                code = await self._run_once(receiver)
                log.warning("service_ended", service=self.service.name, code=code)
                if code in _FINAL_EXITS:
                    log.error("service_given_up", service=self.service.name, code=code, see=str(self._log))
                    self._ended.set()
                    if not self._ready.is_set():
                        on_failed()  # later, the others go on: a booker that ends must not end calls
                    return
                wait = _FIRST_WAIT if self._clock.monotonic() - began > _STEADY else min(wait * 2, _LAST_WAIT)
                self.restarts += 1
                await asyncio.sleep(wait)

    async def _run_once(self, receiver: socket.socket) -> int:
        self.service.before()
        self._hear(receiver)  # what the one before has left must not count for this one
        limit = self.service.watchdog
        environment = {**self._environment, "NOTIFY_SOCKET": str(self._notify)}
        if limit:
            environment["WATCHDOG_USEC"] = str(int(limit * 1_000_000))
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self.service.command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
            )
        if not self.service.notifies:
            self._ready.set()
        self._pid_file.write_text(f"{self._process.pid}\n", encoding="ascii")
        self._heard, self._silent, looked = False, 0.0, self._clock.monotonic()
        exited = asyncio.create_task(self._process.wait())
        try:
            while not exited.done():
                before, looked = looked, self._clock.monotonic()
                self._silent += min(looked - before, _LONGEST_LOOK)
                self._hear(receiver)
                if limit and self._silent > (limit if self._heard else _START_WITHIN):
                    log.warning("service_killed", service=self.service.name, why="no heartbeat")
                    self._process.kill()
                await asyncio.wait([exited], timeout=_LOOK_EVERY)
            return exited.result()
        finally:
            exited.cancel()

    def _hear(self, receiver: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                message = receiver.recv(4096)
                self._heard, self._silent = True, 0.0
                if b"READY=1" in message.split(b"\n"):
                    self._ready.set()

    def _listen(self) -> socket.socket:
        self._notify.unlink(missing_ok=True)
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        receiver.bind(str(self._notify))
        return receiver

    def _last_words(self) -> str:
        if not self._log.exists():
            return "it wrote nothing"
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
