"""The ARI app's process: builds the parts, connects them, and runs them until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable

import uvloop

from ari_app.ari.socket import AriSocket
from ari_app.cdr.journal import JournalWriter
from ari_app.decider import Decider
from ari_app.metrics import DeciderMetrics
from ari_app.plan import Follower, Snapshot
from ringfence import health
from ringfence.clock import SystemClock
from ringfence.queries import nodes
from ringfence.session import make_engine, make_sessions
from ringfence.settings import Settings
from ringfence.watchdog import Notifier

_TELL_EVERY = 5.0  # seconds between the node's words about itself in the store


def run(settings: Settings) -> None:
    """Serve the ARI application until SIGTERM or SIGINT.

    Raises:
        Conflict: another process has taken the application over.
        Misconfigured: a secret or the store's URL is wrong.
    """
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    clock = SystemClock()
    engine = make_engine(settings)
    snapshot = Snapshot()
    metrics = DeciderMetrics()
    follower = Follower(engine, snapshot, clock)
    decider = Decider(settings, clock, snapshot, journal=JournalWriter(settings.journal_dir, "ari", clock), metrics=metrics)
    socket = AriSocket(settings, clock, decider)
    decider.attach(socket)
    metrics.watch(snapshot=snapshot, follower=follower, socket=socket)
    ready: dict[str, Callable[[], str]] = {
        "plan": lambda: "" if follower.loaded.is_set() else "no plan is loaded yet",
        "ari": lambda: "" if socket.connected else "Asterisk is not connected",
    }
    server = health.serve(settings.health.host, settings.health.ari, metrics.registry, live={}, ready=ready)
    notifier = Notifier()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    async def connect() -> None:
        await follower.loaded.wait()
        await socket.run()

    async def tell_ready() -> None:
        while any(check() for check in ready.values()):  # noqa: ASYNC110  asked twenty times a second, once in a process's life
            await asyncio.sleep(0.05)
        notifier.ready()

    async def tell_store() -> None:
        sessions = make_sessions(engine)

        def write(version: int) -> None:
            with contextlib.suppress(Exception), sessions.begin() as session:  # the store may be away; the next one tells
                up_since = decider.asterisk_started if socket.connected else None
                plan_at, now = follower.confirmed, clock.now()
                nodes.report_node(session, settings.node, plan_version=version, plan_at=plan_at, app_seen_at=now, asterisk_started_at=up_since)

        while True:
            if follower.loaded.is_set():
                await asyncio.to_thread(write, snapshot.version)
            await asyncio.sleep(_TELL_EVERY)

    tasks = [asyncio.create_task(part) for part in (notifier.beat(), follower.run(), connect(), decider.look(), tell_ready(), tell_store())]
    stopped = asyncio.create_task(stop.wait())
    try:
        essential = [*tasks[:4], stopped]
        done, _ = await asyncio.wait(essential, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopped}:
            task.result()
    finally:
        notifier.stopping()
        for task in (*tasks, stopped):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        server.close()
        engine.dispose()
