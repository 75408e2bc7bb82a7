"""The manager process: keeps AstDB equal to the plan and notes from where phones register, apart from the ARI app, whose event loop it must never delay."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Sequence

import structlog
import uvloop
from panoramisk.message import Message
from sqlalchemy.exc import SQLAlchemyError

from ari_app.ami.astdb import AstdbKeeper
from ari_app.ami.client import AmiClient, stay_connected
from ari_app.ami.emergency import EmergencyJournal, caller_of
from ari_app.ami.last_seen import LastSeen
from ari_app.ami.lost import settle_marks
from ari_app.ami.registrations import registered_phones
from ari_app.cdr.journal import JournalWriter
from ari_app.metrics import AmiMetrics
from ari_app.plan import Follower, Snapshot
from dialplan.routing import Rules
from ringfence import health
from ringfence.clock import SystemClock
from ringfence.errors import RingfenceError
from ringfence.queries import registrations
from ringfence.queries.conservation import begin_alone
from ringfence.queries.nodes import report_node
from ringfence.queries.plan import Change
from ringfence.queries.registrations import Seen
from ringfence.session import make_engine, make_sessions
from ringfence.settings import Settings, read_secret
from ringfence.watchdog import Notifier

LIST_EVERY = 60.0  # seconds between two lists of the registered phones
_SET_UP = 0.125  # seconds: what tells of a call to 999 must not take the processor from its INVITE
LOOK_EVERY = 1.0  # seconds, for what events told

log = structlog.get_logger(__name__)


def run(settings: Settings) -> None:
    """Keep AstDB until SIGTERM or SIGINT.

    Raises:
        Misconfigured: the manager's secret cannot be read, or the store's URL is wrong.
    """
    uvloop.run(_serve(settings))


class Waiting:
    """Changes of the plan that AstDB has not got yet."""

    def __init__(self) -> None:
        self._come = asyncio.Event()
        self._everything = False
        self._changes: dict[Change, None] = {}

    def add(self, changes: Sequence[Change] | None) -> None:
        """Take changes; None = everything."""
        self._everything = self._everything or changes is None
        self._changes.update(dict.fromkeys(changes or ()))
        self._come.set()

    async def take(self) -> list[Change] | None:
        """Wait for changes and return all there are."""
        await self._come.wait()
        taken = None if self._everything else list(self._changes)
        self.forget()
        return taken

    def forget(self) -> None:
        """Drop what has come: AstDB is about to be compared as a whole."""
        self._come.clear()
        self._everything, self._changes = False, {}


class Manager:
    """One node's manager process, as its sessions see it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = SystemClock()
        self.metrics = AmiMetrics()
        self.engine = make_engine(settings)
        self.snapshot = Snapshot()
        self.waiting = Waiting()
        self.follower = Follower(self.engine, self.snapshot, self.clock, self.waiting.add)
        routing = settings.routing
        rules = Rules(max_diversions=routing.max_diversions, max_repeats=routing.max_repeats, international=routing.international)
        self.keeper = AstdbKeeper(self.snapshot, rules, self.clock, self.metrics)
        self.emergency = EmergencyJournal(lambda clock: JournalWriter(settings.journal_dir, "static", clock), self.clock.now)
        self.client: AmiClient | None = None
        self.last_seen = LastSeen(lambda name: name in self.snapshot.endpoints, self.clock)
        self.version: int | None = None  # of the plan that AstDB holds
        self.sessions = 0

    @property
    def connected(self) -> bool:
        """Whether Asterisk is connected."""
        return self.client is not None and self.client.connected

    async def session(self, client: AmiClient) -> None:
        """Do one connection's work: lost calls first, then the full check, then every change."""
        self.client, self.sessions = client, self.sessions + 1
        client.on_event = self._heard
        await client.booted()
        watching = asyncio.create_task(self._watch_phones(client))
        try:
            await self._keep(client)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _keep(self, client: AmiClient) -> None:
        await self.emergency.look(client)
        await settle_marks(client, lambda clock: JournalWriter(self.settings.journal_dir, "astdb", clock))
        self.waiting.forget()  # the check sees to all that has come so far
        version = self.snapshot.version
        await self.keeper.check(client)
        await self._checked(version)
        while True:
            changes = await self.waiting.take()
            version = self.snapshot.version
            await self.keeper.follow(client, changes)
            await self._checked(version)

    def _heard(self, event: Message) -> None:
        """Tell at once that a phone calls 999, and note it; the booker tells how it went. Note which phones registered."""
        self.last_seen.heard(event)
        if event.event == "UserEvent" and event.userevent == "EmergencyCall":
            asyncio.get_running_loop().call_later(_SET_UP, self._tell_emergency, event)

    def _tell_emergency(self, event: Message) -> None:
        self.metrics.emergency()
        log.error("emergency_call_begins", call_id=str(event.linkedid), endpoint=caller_of(event))
        self.emergency.heard(event)

    async def _watch_phones(self, client: AmiClient) -> None:
        """Write down from where phones register, until cancelled: nothing of it may end the session or delay AstDB."""
        remembered, listed_at = False, None
        while True:
            try:
                if not remembered:
                    self.last_seen.remember(await asyncio.to_thread(self._held))
                    remembered = True
                now = self.clock.monotonic()
                if listed_at is None or now - listed_at >= LIST_EVERY:
                    listed_at = now
                    self.last_seen.listed(await registered_phones(client))
                await self._write_down(self.last_seen.take())
            except RingfenceError as error:  # Asterisk is busy, or gone: then the session ends by itself
                log.info("phones_not_listed", reason=error.message)
            except SQLAlchemyError as error:  # the store is away: what was seen waits
                log.info("registrations_wait", error=type(error).__name__)
            except Exception as error:
                log.exception("registrations_failed", error=type(error).__name__)
            await asyncio.sleep(LOOK_EVERY)

    async def _write_down(self, seen: list[Seen]) -> None:
        try:
            if seen:
                await asyncio.to_thread(self._note, seen)
        except BaseException:
            self.last_seen.put_back(seen)
            raise

    def _held(self) -> list[Seen]:
        with make_sessions(self.engine)() as session:
            return registrations.known(session, self.settings.node)

    def _note(self, seen: list[Seen]) -> None:
        with make_sessions(self.engine).begin() as session:
            begin_alone(session)
            self.metrics.noted(registrations.note(session, self.settings.node, seen))

    async def _checked(self, version: int) -> None:
        self.version = version
        await asyncio.to_thread(self._tell, version)

    def _tell(self, version: int) -> None:
        with contextlib.suppress(Exception), make_sessions(self.engine).begin() as session:  # the store may be away; the next change tells
            report_node(session, self.settings.node, astdb_version=version, astdb_checked_at=self.clock.now())


async def _serve(settings: Settings) -> None:
    read_secret(settings.ami_secret_path)
    manager, notifier = Manager(settings), Notifier()
    manager.metrics.watch(connected=lambda: manager.connected, astdb_version=lambda: manager.version, reconnects=lambda: max(manager.sessions - 1, 0))
    ready = {
        "plan": lambda: "" if manager.follower.loaded.is_set() else "no plan is loaded yet",
        "ami": lambda: "" if manager.connected else "Asterisk is not connected",
        "astdb": lambda: "" if manager.version is not None else "AstDB is not compared with the plan yet",
    }
    pages = health.serve(settings.health.host, settings.health.ami, manager.metrics.registry, live={}, ready=ready)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def connect() -> None:
        await manager.follower.loaded.wait()
        gc.freeze()  # a million numbers that stay: the collector need not walk them again and again
        notifier.ready()
        await stay_connected(settings.ami, lambda: read_secret(settings.ami_secret_path), manager.session)

    tasks = [asyncio.ensure_future(part) for part in (notifier.beat(), manager.follower.run(), connect(), stop.wait())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        notifier.stopping()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        pages.close()
        manager.engine.dispose()
