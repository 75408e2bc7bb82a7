from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ari_app.ami import client as client_module
from ari_app.ami.client import AmiClient, stay_connected
from ari_app.ami.protocol import Connection
from ringfence.errors import Invalid, Misconfigured, Refused, Unavailable
from tests.unit.fake_ami import FakeManager, error, fake_manager, ok


def run(story: Callable[[FakeManager], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(60), fake_manager() as manager:
            await story(manager)

    asyncio.run(whole())


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110  what it waits for has no event
        await asyncio.sleep(0.01)


def test_a_refused_login_raises_and_closes() -> None:
    async def story(manager: FakeManager) -> None:
        with pytest.raises(Misconfigured, match="refuses the login"):
            await AmiClient.connect(manager.settings, "wrong")
        await until(lambda: not manager.writers)

    run(story)


def test_nobody_there_raises() -> None:
    async def story(manager: FakeManager) -> None:
        await manager.stop()
        with pytest.raises(Unavailable, match="does not answer"):
            await AmiClient.connect(manager.settings, "right")

    run(story)


def test_actions_and_lists_are_answered() -> None:
    async def story(manager: FakeManager) -> None:
        client = await AmiClient.connect(manager.settings, "right")
        await client.booted()
        manager.answer = lambda action: ok(action, "Message: Größe")
        assert (await client.action("Reload", Module="cdr")).message == "Größe"
        manager.answer = lambda action: (
            ok(action, "EventList: start")
            + f"Event: ContactList\r\nActionID: {action['ActionID']}\r\nUri: sip:a\r\n\r\n".encode()
            + f"Event: ContactListComplete\r\nActionID: {action['ActionID']}\r\nEventList: Complete\r\n\r\n".encode()
        )
        assert [event.uri for event in await client.listing("PJSIPShowContacts")] == ["sip:a"]
        manager.answer = lambda action: error(action, "No Contacts found")
        assert await client.listing("PJSIPShowContacts") == []
        manager.answer = lambda action: error(action, "Permission denied")
        with pytest.raises(Refused, match="Permission denied"):
            await client.listing("ShowDialPlan")
        with pytest.raises(Refused, match="Permission denied"):
            await client.action("Originate")
        await client.close()
        await client.close()
        with pytest.raises(Unavailable):
            await client.action("Ping")

    run(story)


def test_an_unanswered_action_times_out_and_is_never_sent_again() -> None:
    async def story(manager: FakeManager) -> None:
        manager.answer = lambda action: ok(action) if action["Action"] == "Ping" else None
        stopped = asyncio.Event()

        async def session(client: AmiClient) -> None:
            if manager.connections == 1:
                waiting = asyncio.create_task(client.action("Originate", Channel="Local/1@nowhere"))
                await until(lambda: "Originate" in manager.names())
                await manager.drop()
                with pytest.raises(Unavailable, match="ended before it answered"):
                    await waiting
                raise Unavailable("gone")
            with pytest.raises(Unavailable, match="did not answer Hangup"):
                await client.action("Hangup")
            stopped.set()
            await asyncio.Event().wait()

        keeping = asyncio.create_task(stay_connected(manager.settings, lambda: "right", session))
        await stopped.wait()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        assert manager.connections == 2
        assert manager.names() == ["Originate", "Hangup"]

    run(story)


def test_it_reconnects_through_outages_and_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_FIRST_WAIT", 0.02)

    async def story(manager: FakeManager) -> None:
        sessions = 0
        begun = [asyncio.Event() for _ in range(3)]

        async def session(client: AmiClient) -> None:
            nonlocal sessions
            begun[sessions].set()
            sessions += 1
            await client.lost()

        keeping = asyncio.create_task(stay_connected(manager.settings, lambda: "right", session))
        await begun[0].wait()
        manager.secret = "another"
        await manager.drop()
        await asyncio.sleep(0.2)
        assert sessions == 1
        manager.secret = "right"
        await begun[1].wait()
        await manager.stop()
        await asyncio.sleep(0.1)
        await manager.start()
        await begun[2].wait()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    run(story)


def test_a_peer_that_goes_silent_is_noticed() -> None:
    async def story(manager: FakeManager) -> None:
        client = await AmiClient.connect(manager.settings, "right")
        manager.answer = lambda _action: None
        assert client.connected
        await asyncio.wait_for(client.lost(), 3 * manager.settings.timeout + 1)
        assert not client.connected
        await client.close()

    run(story)


@pytest.mark.parametrize("value", ["x\r\nAction: Originate", "x\ny", "x\ry", "x\0y"])
def test_a_line_end_in_a_value_is_refused(value: str) -> None:
    async def story(manager: FakeManager) -> None:
        client = await AmiClient.connect(manager.settings, "right")
        with pytest.raises(Invalid):
            await client.action("DBPut", Family="ringfence", Key="k", Val=value)
        with pytest.raises(Invalid):
            await client.action("DBPut", **{value: "x"})
        with pytest.raises(Invalid):
            await client.put("ringfence", [[("k", value)]])
        with pytest.raises(Invalid):
            await client.delete("ringfence", [value])
        await client.close()
        assert manager.names() == []

    run(story)


def test_bulk_writes_are_counted_and_refusals_are_said() -> None:
    async def story(manager: FakeManager) -> None:
        client = await AmiClient.connect(manager.settings, "right")
        entries = [(f"+44{n}", f"v{n}") for n in range(12_000)]
        batches = [entries[start : start + 500] for start in range(0, len(entries), 500)]
        assert await client.put("ringfence", batches) == 12_000
        assert [(action["Key"], action["Val"]) for action in manager.seen if action["Action"] == "DBPut"] == entries
        manager.answer = lambda action: error(action, "no") if action.get("Key") == "+447" else ok(action)
        with pytest.raises(Refused, match="1 of 10"):
            await client.put("ringfence", [entries[:10]])
        assert await client.delete("ringfence", [f"+44{n}" for n in range(5, 10)]) == 4
        await client.close()

    run(story)


def test_a_connection_that_ends_in_a_bulk_write_fails_it() -> None:
    async def story(manager: FakeManager) -> None:
        client = await AmiClient.connect(manager.settings, "right")
        manager.answer = lambda _action: None
        writing = asyncio.create_task(client.put("ringfence", [[(str(n), "v")] for n in range(10)]))
        await until(lambda: "DBPut" in manager.names())
        await manager.drop()
        with pytest.raises(Unavailable):
            await writing
        await client.close()

    run(story)


def test_an_asterisk_that_stops_in_a_bulk_write_or_a_list_is_noticed() -> None:
    async def story(manager: FakeManager) -> None:
        client = await AmiClient.connect(manager.settings, "right")
        manager.answer = lambda _action: None
        with pytest.raises(Unavailable, match="answered no manager action"):
            await client.put("ringfence", [[("k", "v")]])
        with pytest.raises(Unavailable, match="middle of a list"):
            await client.tree("ringfence", lambda _entries: None)
        await client.close()

    run(story)


WHOLE_LINES = [b"\r\n\r\n", b"Event: X\r\n", b"Response: Success\r\nActionID: bulk\r\nMessage: x\r\n\r\n", b"ActionID: 1\r\n", "é: ü\r\n".encode()]


class Sink:
    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=80) | st.sampled_from(WHOLE_LINES), max_size=20))
def test_no_bytes_break_the_protocol(pieces: list[bytes]) -> None:
    """However what Asterisk sends is cut into segments, the same events come out."""

    def events(segments: list[bytes]) -> tuple[list[dict[str, str]], int]:
        found: list[dict[str, str]] = []
        connection = Connection(lambda event: found.append(dict(event)), lambda: None)
        connection.connection_made(Sink())
        for segment in segments:
            connection.data_received(segment)
        return found, connection.taken

    async def story() -> None:
        whole = b"".join(pieces)
        assert events([whole]) == events(pieces) == events([whole[n : n + 1] for n in range(len(whole))])

    asyncio.run(story())
