"""The manager process's parts on a real Asterisk: AstDB kept equal to the plan, lost calls journalled, registrations read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from panoramisk.message import Message
from sqlalchemy.orm import Session

from ari_app.ami.astdb import FAMILY, AstdbKeeper
from ari_app.ami.client import AmiClient
from ari_app.ami.last_seen import LastSeen
from ari_app.ami.lost import FAMILY as LIVE
from ari_app.ami.lost import settle_marks
from ari_app.ami.main import Manager
from ari_app.ami.registrations import registered_phones, trunk_addresses, trunk_registrations
from ari_app.cdr.journal import JournalWriter, read_decided, read_marks_settled
from ari_app.plan import Snapshot
from ari_app.private.ports import free_ports
from ari_app.private.root import Root
from ari_app.private.scenario import Register
from ari_app.private.sipp import register_phone
from dialplan.routing import Rules
from ringfence.clock import SystemClock
from ringfence.emergency import NOTHING_KNOWN
from ringfence.queries.nodes import list_nodes
from ringfence.queries.plan import ChangeKind, current_version
from ringfence.queries.trunks import set_trunk
from ringfence.settings import read_secret
from ringfence.values import (
    E164,
    AccountState,
    CallerIdMode,
    DidState,
    NumberFormat,
    PlanAccount,
    PlanDid,
    PlanEndpoint,
    PlanTarget,
    PlanTrunk,
    TargetKind,
    TrunkDirection,
)
from tests.asterisk.rendered import PHONE_SECRET, Rendered

pytestmark = pytest.mark.asterisk


@pytest.fixture(scope="module")
def node(asterisk_root: Root, asterisk_home: Path) -> Iterator[Rendered]:
    rendered = Rendered(asterisk_root, asterisk_home)
    rendered.start()
    yield rendered
    rendered.stop()


class Counted:
    def __init__(self) -> None:
        self.put = self.removed = self.differences = 0

    def wrote(self, *, put: int, removed: int) -> None:
        self.put += put
        self.removed += removed

    def checked(self, differences: int) -> None:
        self.differences += differences


def run(node: Rendered, story: Callable[[AmiClient], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(60):
            client = await AmiClient.connect(node.settings.ami, read_secret(node.settings.ami_secret_path))
            try:
                await client.booted()
                await story(client)
            finally:
                await client.close()

    asyncio.run(whole())


async def held(client: AmiClient, family: str = FAMILY) -> dict[str, str]:
    found: dict[str, str] = {}
    await client.tree(family, lambda entries: found.update({key.decode(): value.decode() for key, value in entries}))
    return {key.removeprefix(f"{family}/"): value for key, value in found.items()}


def number(index: int) -> E164:
    return E164(f"+44560{index:07d}")


def plan(count: int) -> Snapshot:
    """Return a plan: each number forwards to a mobile, the last to a phone."""
    snapshot = Snapshot()
    for name in ("trunk-a", "trunk-b"):
        snapshot.trunks[name] = PlanTrunk(
            name=name,
            direction=TrunkDirection.BOTH,
            enabled=True,
            priority=1,
            weight=1,
            caller_id_mode=CallerIdMode.DID,
            number_format=NumberFormat.E164_PLUS,
            network_number=None,
            capacity=None,
            causes={},
        )
    snapshot.accounts = {1: PlanAccount(1, AccountState.ACTIVE, None), 2: PlanAccount(2, AccountState.ACTIVE, None)}
    snapshot.endpoints = {"desk": PlanEndpoint("desk", 1, None, enabled=True, record=NOTHING_KNOWN, receive_only=False)}
    for index in range(count):
        target = PlanTarget(1, TargetKind.MOBILE, f"+447700900{index % 1000:03d}", 25)
        snapshot.dids[number(index)] = PlanDid(number(index), 1 + index % 2, DidState.ACTIVE, (target,))
    last = number(count - 1)
    snapshot.dids[last] = PlanDid(last, 1, DidState.ACTIVE, (PlanTarget(1, TargetKind.ENDPOINT, "desk", 25),))
    snapshot.apply(1, [])
    return snapshot


def test_a_check_writes_what_differs_and_nothing_else(node: Rendered) -> None:
    snapshot, counted = plan(1000), Counted()
    keeper = AstdbKeeper(snapshot, Rules(), SystemClock(), counted)

    async def story(client: AmiClient) -> None:
        await client.put(FAMILY, [[(number(3), "astdb:1:2:x:|stale"), (number(5000), "astdb:1:1:x:|gone"), ("junk|key", "x")]])
        assert await keeper.check(client) == 1002
        first = await held(client)
        assert set(first) == set(snapshot.dids)
        assert first[number(2)].startswith(f"astdb:1:1:{number(2)}:|m:+447700900002:trunk-")
        assert first[number(999)] == f"astdb:1:1:{number(999)}:|e:desk:|PJSIP/desk|25|"
        snapshot.version = 7  # another version of the plan alone is no reason to write a million entries
        assert await keeper.check(client) == 0
        assert await AstdbKeeper(snapshot, Rules(), SystemClock(), counted).check(client) == 0
        assert await held(client) == first
        assert (counted.put, counted.removed) == (1000, 2)

    run(node, story)


def test_a_change_reaches_every_number_that_it_touches(node: Rendered) -> None:
    snapshot = plan(100)
    keeper = AstdbKeeper(snapshot, Rules(), SystemClock(), Counted())

    async def story(client: AmiClient) -> None:
        await keeper.check(client)
        snapshot.dids[number(0)] = msgspec.structs.replace(snapshot.dids[number(0)], state=DidState.QUARANTINED)
        assert await keeper.follow(client, [(ChangeKind.DID, number(0))]) == 1
        assert number(0) not in await held(client)

        snapshot.accounts[2] = PlanAccount(2, AccountState.SUSPENDED, None)
        assert await keeper.follow(client, [(ChangeKind.ACCOUNT, "2")]) == 49
        assert len(await held(client)) == 50

        snapshot.endpoints["desk"] = PlanEndpoint("desk", 1, None, enabled=False, record=NOTHING_KNOWN, receive_only=False)
        assert await keeper.follow(client, [(ChangeKind.ENDPOINT, "desk")]) == 1
        assert number(99) not in await held(client)

        target = E164("+447700900004")
        snapshot.dids[target] = PlanDid(target, None, DidState.INACTIVE, ())
        assert await keeper.follow(client, [(ChangeKind.DID, target)]) == 1
        assert number(4) not in await held(client)  # its target is one of ours now: that would be a loop

        snapshot.apply(2, [(ChangeKind.TRUNK, "trunk-a", None)])
        await keeper.follow(client, [(ChangeKind.TRUNK, "trunk-a")])
        assert {value.split("|")[1].split(":")[2] for value in (await held(client)).values()} == {"trunk-b"}

        snapshot.dids.clear()
        await keeper.follow(client, None)
        assert await held(client) == {}
        assert keeper.entries == 0

    run(node, story)


def test_calls_that_went_down_with_asterisk_are_journalled_once(node: Rendered) -> None:
    facts, routed = "in:+442079460001:+442079460123:allowed:carrier-a:0:", "astdb:4:1:+442079460001:"
    marks = [("node1-1790000000.7", f"{facts}|{routed}"), ("node1-1790000060.9", f"{facts}|{routed}|m:+447700900123:trunk-a"), ("nonsense", "x|y")]

    async def story(client: AmiClient) -> None:
        await client.put(LIVE, [marks])
        assert await settle_marks(client, lambda clock: JournalWriter(node.settings.journal_dir, "astdb", clock)) == 3
        assert await held(client, LIVE) == {}
        assert await settle_marks(client, lambda clock: JournalWriter(node.settings.journal_dir, "astdb", clock)) == 0

    run(node, story)
    assert [line.since for line in read_marks_settled(node.settings.journal_dir)] == [1790000000.0]
    lines = [line for line in read_decided(node.settings.journal_dir) if line.by == "astdb"]
    assert [(line.id, line.at, line.facts, line.rf, line.legs) for line in lines] == [
        ("node1-1790000000.7", 1790000000.0, facts, routed, ""),
        ("node1-1790000060.9", 1790000060.0, facts, routed, "m:+447700900123:trunk-a"),
    ]


def test_what_is_registered_is_read(node: Rendered, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    to = ("127.0.0.1", node.settings.asterisk.sip_port)
    register_phone(node.root, tmp_path, host="127.0.0.4", port=port, to=to, scenario=Register(user="desk", secret=PHONE_SECRET, expires=300)).check()

    async def story(client: AmiClient) -> None:
        (phone,) = await registered_phones(client)
        assert (phone.endpoint, phone.uri, phone.status) == ("desk", f"sip:desk@127.0.0.4:{port}", "NonQualified")
        assert phone.expires_at is not None
        assert 200 < (phone.expires_at - SystemClock().now()).total_seconds() <= 301
        addresses = {trunk.endpoint: trunk.uri for trunk in await trunk_addresses(client, ("carrier-a", "mobile-a", "nobody"))}
        assert re.fullmatch(r"sip:127\.0\.0\.2:\d+", addresses.pop("carrier-a"))
        assert set(addresses) == {"mobile-a"}
        assert await trunk_registrations(client) == []

    run(node, story)


def test_a_renewal_of_which_asterisk_tells_nothing_is_seen_in_the_list(node: Rendered, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    to = ("127.0.0.1", node.settings.asterisk.sip_port)
    seen = LastSeen(lambda name: name == "desk", SystemClock())

    async def register(expires: int) -> None:
        scenario = Register(user="desk", secret=PHONE_SECRET, expires=expires)
        registered = await asyncio.to_thread(register_phone, node.root, tmp_path, host="127.0.0.5", port=port, to=to, scenario=scenario)
        registered.check()

    async def story(client: AmiClient) -> None:
        told = asyncio.Event()

        def hear(event: Message) -> None:
            seen.heard(event)
            if event.event == "ContactStatus":
                told.set()

        client.on_event = hear
        await register(300)
        await asyncio.wait_for(told.wait(), 10)  # it may come after the phone has its answer
        (first,) = seen.take()
        assert (first.endpoint, first.address, first.expires_at) == ("desk", "127.0.0.5", None)
        seen.listed(await registered_phones(client))
        seen.put_back(seen.take())
        await register(600)
        seen.listed(await registered_phones(client))
        seen.put_back([first])  # as if a minute were over
        (renewed,) = seen.take()
        assert renewed.expires_at is not None
        assert (renewed.expires_at - first.at).total_seconds() > 500
        seen.listed(await registered_phones(client))
        seen.put_back([])
        assert seen.take() == []

    run(node, story)


def test_the_process_tells_which_plan_astdb_holds(node: Rendered) -> None:
    """A change in the store reaches AstDB and the node's row."""
    manager = Manager(node.settings)

    async def story(client: AmiClient) -> None:
        async def told() -> int | None:
            def read() -> int | None:
                with Session(node.engine) as session:
                    return next((known.astdb_version for known in list_nodes(session)), None)

            return await asyncio.to_thread(read)

        following = asyncio.create_task(manager.follower.run())
        await manager.follower.loaded.wait()
        working = asyncio.create_task(manager.session(client))
        async with asyncio.timeout(30):
            while await told() is None:  # noqa: ASYNC110  the store is asked, which has no event
                await asyncio.sleep(0.05)
        before = await told()

        def change() -> int:
            with Session(node.engine) as session:
                set_trunk(session, SystemClock(), "carrier-a", priority=5)
                session.commit()
                return current_version(session)

        version = await asyncio.to_thread(change)
        assert version != before
        async with asyncio.timeout(10):  # within a second, and more on a busy machine
            while await told() != version:  # noqa: ASYNC110  the store is asked, which has no event
                await asyncio.sleep(0.05)
        assert manager.version == version
        for task in (following, working):
            task.cancel()
        await asyncio.gather(following, working, return_exceptions=True)

    run(node, story)
    manager.engine.dispose()
