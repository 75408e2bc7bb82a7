"""The routing plan in memory, and its following of the store within a second of a change.

The snapshot is read by the event loop and changed by it alone; a thread of its own waits for changes and reads them, so that neither
a slow query nor a database that is away delays a call. While the store is away the last plan holds.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from ringfence.clock import Clock
from ringfence.queries import plan as plan_queries
from ringfence.queries.plan import Change, ChangeKind
from ringfence.queries.watch import ticks
from ringfence.values import PlanAccount, PlanDid, PlanEndpoint, PlanTrunk, TrunkDirection

log = structlog.get_logger(__name__)

_BACKOFF = (0.2, 0.5, 1.0, 2.0)  # seconds between tries while the store is away


class Snapshot:
    """The plan as decisions read it (`dialplan.routing.Plan`)."""

    def __init__(self) -> None:
        self.version = 0
        self.dids: dict[str, PlanDid] = {}
        self.accounts: dict[int, PlanAccount] = {}
        self.trunks: dict[str, PlanTrunk] = {}
        self.endpoints: dict[str, PlanEndpoint] = {}
        self._outbound: tuple[PlanTrunk, ...] = ()

    def did(self, e164: str) -> PlanDid | None:
        """Return the DID, or None when it is not ours."""
        return self.dids.get(e164)

    def account(self, account_id: int) -> PlanAccount | None:
        """Return the account, or None."""
        return self.accounts.get(account_id)

    def endpoint(self, name: str) -> PlanEndpoint | None:
        """Return the phone, or None."""
        return self.endpoints.get(name)

    def trunk(self, name: str) -> PlanTrunk | None:
        """Return the trunk, or None."""
        return self.trunks.get(name)

    def outbound_trunks(self) -> Sequence[PlanTrunk]:
        """Return the enabled trunks that take outbound calls, by priority."""
        return self._outbound

    def replace(self, loaded: LoadedPlan) -> None:
        """Take a whole plan."""
        self.dids, self.accounts, self.trunks, self.endpoints = loaded.dids, loaded.accounts, loaded.trunks, loaded.endpoints
        self._finish(loaded.version)

    def apply(self, version: int, parts: Iterable[Part]) -> None:
        """Take changed parts: each value replaces the one under its key, None removes it."""
        tables: dict[ChangeKind, dict[Any, Any]] = {
            ChangeKind.DID: self.dids,
            ChangeKind.ACCOUNT: self.accounts,
            ChangeKind.TRUNK: self.trunks,
            ChangeKind.ENDPOINT: self.endpoints,
        }
        for kind, key, value in parts:
            if value is None:
                tables[kind].pop(key, None)
            else:
                tables[kind][key] = value
        self._finish(version)

    def _finish(self, version: int) -> None:
        usable = (trunk for trunk in self.trunks.values() if trunk.enabled and trunk.direction is not TrunkDirection.INBOUND)
        self._outbound = tuple(sorted(usable, key=lambda trunk: (trunk.priority, trunk.name)))
        self.version = version


class LoadedPlan:
    """A whole plan, read but not yet in use."""

    def __init__(self, session: Session) -> None:
        loaded = plan_queries.load_all(session)
        self.version = loaded.version
        self.accounts = {account.account_id: account for account in loaded.accounts}
        self.trunks = {trunk.name: trunk for trunk in loaded.trunks}
        self.endpoints = {endpoint.name: endpoint for endpoint in loaded.endpoints}
        self.dids: dict[str, PlanDid] = {did.e164: did for did in loaded.dids}


Part = tuple[ChangeKind, Any, Any]  # kind, key in the snapshot, value or None


def read_parts(session: Session, changes: Sequence[Change]) -> list[Part]:
    """Read again what changed; a key that is gone comes with None."""
    keys: dict[ChangeKind, list[str]] = {kind: [] for kind in ChangeKind}
    for kind, key in changes:
        keys[kind].append(key)
    dids = {did.e164: did for did in plan_queries.load_dids(session, keys[ChangeKind.DID])}
    accounts = {str(account.account_id): account for account in plan_queries.load_accounts(session, keys[ChangeKind.ACCOUNT])}
    trunks = {trunk.name: trunk for trunk in plan_queries.load_trunks(session, keys[ChangeKind.TRUNK])}
    endpoints = {endpoint.name: endpoint for endpoint in plan_queries.load_endpoints(session, keys[ChangeKind.ENDPOINT])}
    parts: list[Part] = [(ChangeKind.DID, key, dids.get(key)) for key in keys[ChangeKind.DID]]  # type: ignore[call-overload]
    parts += [(ChangeKind.ACCOUNT, int(key), accounts.get(key)) for key in keys[ChangeKind.ACCOUNT]]
    parts += [(ChangeKind.TRUNK, key, trunks.get(key)) for key in keys[ChangeKind.TRUNK]]
    parts += [(ChangeKind.ENDPOINT, key, endpoints.get(key)) for key in keys[ChangeKind.ENDPOINT]]
    return parts


Changed = Callable[[Sequence[Change] | None], None]  # None: everything may have changed


class Follower:
    """Keeps a snapshot equal to the store.

    Args:
        engine: the store.
        snapshot: what to keep; changed only in the event loop that `run` was called in.
        clock: for the age of the plan.
        on_change: called in the event loop after each change, with what changed.
    """

    def __init__(self, engine: Engine, snapshot: Snapshot, clock: Clock, on_change: Changed | None = None) -> None:
        self._engine = engine
        self._snapshot = snapshot
        self._clock = clock
        self._on_change = on_change or (lambda _changes: None)
        self._stopped = threading.Event()
        self.loaded = asyncio.Event()  # set once the first plan is in
        self.confirmed: datetime | None = None  # when the store last confirmed that the plan is the newest
        self._confirmed_at: float | None = None  # the same, monotonic

    @property
    def age(self) -> float | None:
        """Seconds since the store last confirmed that the plan is the newest; None before the first."""
        return None if self._confirmed_at is None else self._clock.monotonic() - self._confirmed_at

    async def run(self) -> None:
        """Follow until cancelled."""
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._follow, args=(loop,), name="plan", daemon=True)
        thread.start()
        try:
            await asyncio.Event().wait()
        finally:
            self._stopped.set()

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        tries = 0
        while not self._stopped.is_set():
            try:
                for changed in ticks(self._engine):
                    if self._stopped.is_set():
                        return
                    self._take(loop, look=changed)
                    tries = 0
            except RuntimeError:
                if loop.is_closed():
                    return
                raise
            except Exception as error:  # noqa: BLE001  whatever the driver raises while the store is away: the last plan holds
                log.warning("plan_store_away", error=type(error).__name__)
                self._stopped.wait(_BACKOFF[min(tries, len(_BACKOFF) - 1)])
                tries += 1

    def _take(self, loop: asyncio.AbstractEventLoop, *, look: bool) -> None:
        """Read what changed and hand it to the event loop; waits until it is in use, so that versions follow each other."""
        known = self._snapshot.version if self.loaded.is_set() else None
        with Session(self._engine) as session:
            if known is None:
                self._run_in(loop, self._install, LoadedPlan(session))
                return
            newest = plan_queries.current_version(session)
            if newest != known:
                changes = plan_queries.changes_since(session, known)
                if changes is None:
                    self._run_in(loop, self._install, LoadedPlan(session))
                else:
                    self._run_in(loop, self._apply, newest, changes, read_parts(session, changes))
                return
        if look or known is not None:
            self._run_in(loop, self._confirm)

    def _run_in(self, loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
        done = threading.Event()

        def call() -> None:
            function(*arguments)
            done.set()

        loop.call_soon_threadsafe(call)
        while not done.wait(1.0):
            if self._stopped.is_set():
                return

    def _install(self, loaded: LoadedPlan) -> None:
        self._snapshot.replace(loaded)
        gc.freeze()  # a million numbers are no garbage: the collector need not walk them, which would stop calls for 0.1 s and more
        self._confirm()
        self.loaded.set()
        log.info("plan_loaded", version=loaded.version, dids=len(loaded.dids), trunks=len(loaded.trunks))
        self._on_change(None)

    def _apply(self, version: int, changes: Sequence[Change], parts: Sequence[Part]) -> None:
        self._snapshot.apply(version, parts)
        self._confirm()
        log.info("plan_changed", version=version, changes=len(changes))
        self._on_change(changes)

    def _confirm(self) -> None:
        self._confirmed_at = self._clock.monotonic()
        self.confirmed = self._clock.now()
