"""The route server's process: builds the parts, connects them, and runs them until it is told to stop."""

from __future__ import annotations

import asyncio
import signal

import uvloop

from ari_app.agi.router import Router
from ari_app.agi.server import RouteServer
from ari_app.cdr.journal import JournalWriter
from ari_app.metrics import AgiMetrics
from ari_app.plan import Follower, Snapshot
from ringfence import health
from ringfence.clock import SystemClock
from ringfence.errors import Conflict
from ringfence.session import make_engine
from ringfence.settings import Settings
from ringfence.watchdog import Notifier


def run(settings: Settings) -> None:
    """Answer route requests until SIGTERM or SIGINT; the conversations that are open then end within their deadline.

    Raises:
        Conflict: the port is taken.
        Misconfigured: the store's URL or its secret is wrong.
    """
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    clock, snapshot, metrics, notifier = SystemClock(), Snapshot(), AgiMetrics(), Notifier()
    engine = make_engine(settings)
    follower = Follower(engine, snapshot, clock)
    journal = JournalWriter(settings.journal_dir, "agi", clock)
    server = RouteServer(settings.agi, Router(snapshot, settings.routing, journal, clock).answer, metrics, clock)
    metrics.watch(snapshot=snapshot, follower=follower)
    ready = {"plan": lambda: "" if follower.loaded.is_set() else "no plan is loaded yet"}
    pages = health.serve(settings.health.host, settings.health.agi, metrics.registry, live={}, ready=ready)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def listen() -> None:
        """Listen once there is a plan: until then a call finds nobody here, at once, and goes on to AstDB."""
        await follower.loaded.wait()
        try:
            await server.start()
        except OSError as error:
            where = f"{settings.agi.host}:{settings.agi.port}"
            raise Conflict(f"cannot listen on {where} for route requests: {error.strerror}", hint="is it running already? else set agi.port") from error
        notifier.ready()
        await asyncio.Event().wait()

    tasks = [asyncio.ensure_future(part) for part in (notifier.beat(), follower.run(), listen(), stop.wait())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        notifier.stopping()
        await server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        pages.close()
        journal.close()
        engine.dispose()
