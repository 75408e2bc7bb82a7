"""AstDB kept equal to the plan: where calls go when nobody can be asked.

Read and written over AMI only. AstDB is an SQLite file, but to read it beside a running Asterisk loses its writes: Asterisk takes no
lock time-out, so its next COMMIT fails and is rolled back (tried on 22.10.1; see docs/design/astdb.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import structlog

from ari_app.ami.client import BATCH, AmiClient
from ari_app.ami.protocol import Entries
from ari_app.plan import Snapshot
from dialplan.handover import astdb_value
from dialplan.routing import Rules
from ringfence.batches import batched
from ringfence.clock import Clock
from ringfence.queries.plan import Change, ChangeKind

log = structlog.get_logger(__name__)

FAMILY = "ringfence"
_SLICE = 20_000  # numbers looked at between two turns of the event loop


class Metrics(Protocol):
    """What is counted."""

    def wrote(self, *, put: int, removed: int) -> None:
        """Count routes written to AstDB, and taken out of it."""
        ...

    def checked(self, differences: int) -> None:
        """Count a full comparison, and what it found wrong."""
        ...


class AstdbKeeper:
    """Knows what AstDB holds, as a fingerprint for each number, and writes only what differs.

    Args:
        snapshot: the routing plan.
        rules: the operator's rules.
        clock: for the rate in the log.
        metrics: told what was written.
    """

    def __init__(self, snapshot: Snapshot, rules: Rules, clock: Clock, metrics: Metrics) -> None:
        self._snapshot = snapshot
        self._rules = rules
        self._clock = clock
        self._metrics = metrics
        self._held: dict[str, int] = {}

    @property
    def entries(self) -> int:
        """How many numbers AstDB holds."""
        return len(self._held)

    async def check(self, client: AmiClient) -> int:
        """Compare all that AstDB holds with the plan and write the differences; return how many there were.

        Raises:
            Unavailable, Refused: as `AmiClient.put`; check again on the next connection.
        """
        began = self._clock.monotonic()
        held: dict[str, int] = {}
        prefix = len(FAMILY) + 1

        def take(entries: Entries) -> None:
            for key, value in entries:
                held[key[prefix:].decode("utf-8", "surrogateescape")] = _fingerprint(value)

        await client.tree(FAMILY, take)
        self._held = held
        read = self._clock.monotonic()
        changed = await self._write(client, [*self._snapshot.dids, *(key for key in held if key not in self._snapshot.dids)])
        seconds = self._clock.monotonic() - read
        self._metrics.checked(changed)
        log.info("astdb_checked", entries=len(self._held), differences=changed, read_seconds=round(read - began, 3), write_seconds=round(seconds, 3))
        return changed

    async def follow(self, client: AmiClient, changes: Sequence[Change] | None) -> int:
        """Write what a change of the plan makes different; return how many entries.

        The numbers that were changed go first; then those that a change of their account, phone, trunk or target touches.

        Args:
            client: the connection.
            changes: what changed; None = everything may have.

        Raises:
            Unavailable, Refused: as `AmiClient.put`; check again on the next connection.
        """
        if changes is None or any(kind in {ChangeKind.TRUNK, ChangeKind.ALL} for kind, _ in changes):
            return await self._write(client, [*self._snapshot.dids, *(key for key in self._held if key not in self._snapshot.dids)])
        numbers = {key for kind, key in changes if kind is ChangeKind.DID}
        changed = await self._write(client, numbers)
        return changed + await self._write(client, await self._touched(changes, numbers))

    async def _touched(self, changes: Sequence[Change], numbers: set[str]) -> list[str]:
        """Return the numbers of changed accounts, and those that forward to a changed phone or number.

        A number that becomes one of ours is a target no longer (it would be a loop), so its own change touches who forwards to it.
        """
        accounts = {int(key) for kind, key in changes if kind is ChangeKind.ACCOUNT}
        addresses = numbers | {key for kind, key in changes if kind is ChangeKind.ENDPOINT}
        touched: list[str] = []
        for dids in batched(list(self._snapshot.dids.values()), _SLICE):
            touched += [did.e164 for did in dids if did.account_id in accounts or any(target.address in addresses for target in did.targets)]
            await asyncio.sleep(0)
        return touched

    async def _write(self, client: AmiClient, numbers: Iterable[str]) -> int:
        """Bring these numbers to what the plan wants. What is held is noted once Asterisk has taken it: a failure is mended by the next check."""
        stale: list[str] = []
        fresh: dict[str, int] = {}
        written = await client.put(FAMILY, self._fresh(numbers, fresh, stale))
        self._held.update(fresh)
        for key in stale:
            self._held.pop(key, None)
        await client.delete(FAMILY, stale)
        self._metrics.wrote(put=written, removed=len(stale))
        return written + len(stale)

    def _fresh(self, numbers: Iterable[str], fresh: dict[str, int], stale: list[str]) -> Iterator[list[tuple[str, str]]]:
        """Yield for each batch of numbers what is to be written, often nothing."""
        held, dids = self._held, self._snapshot.dids
        for batch in batched(numbers, BATCH):
            wanted: list[tuple[str, str]] = []
            for number in batch:
                did = dids.get(number)
                value = None if did is None else astdb_value(did, self._snapshot, self._rules)
                if value is None:
                    if number in held:
                        stale.append(number)
                    continue
                fingerprint = _fingerprint(value.encode())
                if held.get(number) != fingerprint:
                    fresh[number] = fingerprint
                    wanted.append((number, value))
            yield wanted


def _fingerprint(value: bytes) -> int:
    """Return a value's 64-bit hash without the plan version, which is the second field and may be older than the plan."""
    routed_by, _, rest = value.partition(b":")
    _, separator, route = rest.partition(b":")
    return hash((routed_by, separator, route))
