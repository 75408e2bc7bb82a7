"""Driving a node through outages: traffic of which every call is known, parts that are killed or hidden, and the count afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from ari_app.private.node import PrivateNode, wait_until
from ari_app.private.ports import free_ports
from ari_app.private.root import Root
from ari_app.private.scenario import Answers, Call, Callee
from ari_app.private.sipp import SippCalls, SippServer
from ringfence.models.calls import Call as CallRecord
from ringfence.queries.plan import current_version
from ringfence.session import make_engine
from ringfence.settings import Settings
from tests.asterisk.commands import read_command, run_command

CARRIER, MOBILE = "127.0.0.2", "127.0.0.3"
DIDS = tuple(f"+4420794601{number:02}" for number in range(10))
CALLERS = tuple(f"+441174960{number:03}" for number in range(1000))  # many: one caller again and again would be taken for a loop
TARGET = "+447700900123"
LIMITED, PLAIN = "limited", "plain"  # accounts: every other number has a concurrency limit, and so is handed over in another way
HOLD = Call(hold_ms=500)


class Traffic:
    """Calls that can be told apart: no two of the first ten thousand have both number and caller in common."""

    def __init__(self) -> None:
        self.placed: list[tuple[str, str]] = []

    def take(self, count: int) -> list[tuple[str, str]]:
        """Return the number and caller of the next calls."""
        begin = len(self.placed)
        fresh = [(DIDS[(index + index // len(CALLERS)) % len(DIDS)], CALLERS[index % len(CALLERS)]) for index in range(begin, begin + count)]
        self.placed += fresh
        return fresh


class Site:
    """A private node with a carrier that sends calls and a mobile that takes them.

    Args:
        root: its Asterisk.
        home: where everything of it is.
        traffic: what was placed; shared by sites with one store.
        options: of `PrivateNode`.
    """

    def __init__(self, root: Root, home: Path, traffic: Traffic | None = None, **options: Any) -> None:
        self.root = root
        self.home = home
        self.node = PrivateNode(root, home / "node", **options)
        self.traffic = traffic or Traffic()
        self.mobile_port = free_ports(1, (MOBILE,))[0]
        self._mobile: SippServer | None = None
        self._seen: set[str] = set()
        self._running: list[SippCalls] = []

    @property
    def settings(self) -> Settings:
        """The node's settings as they are now."""
        return self.node.settings

    def provision(self) -> None:
        """Make the store, with two accounts, ten numbers forwarded to one mobile, and two trunks."""
        self.node.cli("db", "upgrade")
        cli = partial(run_command, self.node)
        cli("trunk", "add", "mobile", "--host", MOBILE, "--port", str(self.mobile_port), "--direction", "outbound")
        cli("trunk", "add", "carrier", "--host", CARRIER, "--match", CARRIER, "--direction", "inbound")
        cli("account", "add", LIMITED, "--name", "Limited Ltd", "--concurrency", "1000")
        cli("account", "add", PLAIN, "--name", "Plain Ltd")
        numbers = self.home / "numbers.csv"
        numbers.write_text(
            "number,account,forward_to\n" + "".join(f"{did},{(LIMITED, PLAIN)[index % 2]},mobile:{TARGET}:25\n" for index, did in enumerate(DIDS)),
            encoding="utf-8",
        )
        cli("number", "import", str(numbers), "--commit")

    def start(self) -> Self:
        """Start the node and the mobile."""
        self.node.start()
        self.mobile(Answers())
        return self

    def stop(self) -> None:
        """Stop all of it."""
        for calls in self._running:
            calls.kill()
        if self._mobile is not None:
            self._mobile.kill()
        self.node.stop()

    def mobile(self, callee: Callee) -> None:
        """Let the mobile behave like this from now on."""
        if self._mobile is not None:
            self._mobile.kill()
        self._mobile = SippServer(self.root, self.home / "sipp", host=MOBILE, port=self.mobile_port, scenario=callee).start()

    def place(self, count: int, rate: float, call: Call = HOLD, *, timed: bool = False) -> SippCalls:
        """Begin to place calls; they go on in the background."""
        fresh = self.traffic.take(count)
        host, _, port = self.node.sip_address.partition(":")
        numbers, callers = [did for did, _ in fresh], [caller for _, caller in fresh]
        calls = SippCalls(
            self.root,
            self.home / "sipp",
            host=CARRIER,
            to=(host, int(port)),
            numbers=numbers,
            scenario=call,
            caller=callers,
            count=count,
            rate=rate,
            timed=timed,
        )
        self._running.append(calls)
        return calls

    def calls(self) -> list[CallRecord]:
        """Return every call in the store."""
        engine = make_engine(self.settings)
        try:
            with Session(engine) as session:
                return list(session.scalars(select(CallRecord)))
        finally:
            engine.dispose()

    def check(self, *, timeout: float = 60.0) -> list[CallRecord]:
        """Wait for the booking, and compare call by call what was placed with what is booked; return what is booked since the last check."""
        with contextlib.suppress(Exception):  # what is missing is shown below
            wait_until(lambda: len(self.calls()) >= len(self.traffic.placed), timeout, "the booking")
        calls = self.calls()
        placed, booked = Counter(self.traffic.placed), Counter((call.called, call.caller or "") for call in calls)
        missing, unplaced = placed - booked, booked - placed
        assert not missing, f"not booked, as they were placed: {[at for at, call in enumerate(self.traffic.placed) if call in missing]}"
        assert not unplaced, f"booked twice or never placed: {unplaced}"
        assert len({call.call_id for call in calls}) == len(calls)
        fresh = [call for call in calls if call.call_id not in self._seen]
        self._seen = {call.call_id for call in calls}
        return fresh

    def reconciled(self) -> dict[str, Any]:
        """Return what `cdr reconcile` finds, after it has found no difference."""
        found: dict[str, Any] = read_command(self.node, "cdr", "reconcile")
        assert found["differences"] == []
        return found

    def kill(self, service: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a process a signal that ends it, now or by the watchdog; return the id it had."""
        pid = self.node.pid(service)
        os.kill(pid, number)
        return pid

    def succeeded(self, service: str, pid: int) -> bool:
        """Tell whether a process has a successor that is ready."""
        try:
            return self.node.pid(service) != pid and self.is_ready(service)
        except (OSError, ValueError):
            return False

    def restart(self, service: str) -> None:
        """Kill a process, and wait for its successor to be ready."""
        pid = self.kill(service)
        wait_until(lambda: self.succeeded(service, pid), 60, f"the next {service}")

    def is_ready(self, service: str) -> bool:
        """Ask a daemon's /readyz."""
        try:
            self.page(service, "readyz")
        except (urllib.error.URLError, OSError):
            return False
        return True

    def page(self, service: str, name: str) -> str:
        """Return a page of a daemon."""
        port = getattr(self.settings.health, service)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=2) as answer:
            return str(answer.read().decode())

    def metric(self, service: str, name: str) -> float:
        """Return the sum of a metric's samples."""
        lines = self.page(service, "metrics").splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def reconfigure(self, section: str, **values: object) -> None:
        """Change settings in the file: daemons that start later read them, Asterisk's files stay as they were rendered."""
        before, header, after = self.node.config.read_text(encoding="utf-8").partition(f"[{section}]\n")
        head, gap, rest = after.partition("\n\n")
        kept = [line for line in head.splitlines() if line.partition(" = ")[0] not in values]
        lines = [*kept, *(f"{key} = {value}" for key, value in values.items())]
        self.node.config.write_text(before + header + "\n".join(lines) + gap + rest, encoding="utf-8")

    def await_plan(self) -> None:
        """Wait until the app routes by the store's plan of this moment."""
        engine = make_engine(self.settings)
        with Session(engine) as session:
            wanted = current_version(session)
        engine.dispose()
        wait_until(lambda: self.metric("ari", "ringfence_plan_version") >= wanted, 10, "the plan to be in use")

    @contextlib.contextmanager
    def without_agi(self) -> Iterator[None]:
        """Take the route server away: it listens where Asterisk does not ask."""
        port = self.settings.agi.port
        self.reconfigure("agi", port=free_ports(1)[0])
        self.restart("agi")
        try:
            yield
        finally:
            self.reconfigure("agi", port=port)
            self.restart("agi")

    def channels_up(self) -> int:
        """Return how many channels Asterisk has."""
        return int(self.node.rx("core show channels count").split()[0])


class Proxy:
    """Stands between the app and Asterisk's ARI, and can fail like a network: cut, go silent, refuse."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._links: list[_Link] = []
        self._server: asyncio.Server | None = None
        self.accepted = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.port = 0
        self.listen()

    def listen(self) -> None:
        """Take connections, on the same port as before."""

        async def begin() -> None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

        self._do(begin())

    def cut(self) -> None:
        """Reset every connection."""

        async def reset() -> None:
            for link in self._links:
                link.reset()
            self._links.clear()

        self._do(reset())

    def stall(self) -> None:
        """Forward nothing more on the connections that are open, and say nothing; new ones work."""

        async def hold() -> None:
            for link in self._links:
                link.flows.clear()

        self._do(hold())

    def refuse(self) -> None:
        """Reset every connection, and take no new one until `listen`."""

        async def end() -> None:
            if self._server is not None:
                self._server.close()

        self._do(end())
        self.cut()

    def close(self) -> None:
        """End."""
        self.refuse()

        async def settle() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._do(settle())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, story: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(story, self._loop).result(5)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self.accepted += 1
        link = _Link(writer, far_writer)
        self._links.append(link)
        with contextlib.suppress(asyncio.CancelledError):  # the streams' own callback cannot take it
            await asyncio.gather(link.pump(reader, far_writer), link.pump(far_reader, writer))


class _Link:
    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers
        self.flows = asyncio.Event()
        self.flows.set()

    def reset(self) -> None:
        self.flows.set()
        for writer in self._writers:
            sock = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # it may be gone already
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self.flows.wait()
                writer.write(data)
                await writer.drain()
        await self.flows.wait()
        writer.close()


def through_proxy(site: Site) -> Proxy:
    """Put a proxy between a node's app and its Asterisk."""
    proxy = Proxy(site.settings.ari.host, site.settings.ari.port)
    site.reconfigure("ari", port=proxy.port)
    site.restart("ari")
    return proxy


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def seconds_until(condition: Callable[[], object], timeout: float, what: str) -> float:
    """Wait, and return how long it took."""
    began = time.monotonic()
    wait_until(condition, timeout, what)
    return time.monotonic() - began


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an SQLite store's write lock."""
    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
            yield
            connection.rollback()
    finally:
        engine.dispose()
