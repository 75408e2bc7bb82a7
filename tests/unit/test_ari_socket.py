from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ari_app.ari.frames import FILTER, Frame
from ari_app.ari.socket import AriSocket
from ringfence.clock import SystemClock
from ringfence.errors import Conflict, Unavailable
from ringfence.settings import Ari, Settings
from tests.unit.fake_ari import BINARY, CONTINUATION, PING, TEXT, FakeAri

EVENT_FILTER = "PUT /ari/applications/ringfence/eventFilter"


class Heard:
    """A listener that notes what it hears."""

    def __init__(self) -> None:
        self.events: list[Frame] = []
        self.connected = 0
        self.lost = 0
        self.fails = 0

    def on_event(self, frame: Frame) -> None:
        self.events.append(frame)

    def on_lost(self) -> None:
        self.lost += 1

    async def on_connected(self) -> None:
        if self.fails:
            self.fails -= 1
            raise Unavailable("Asterisk does not answer")
        self.connected += 1


class Bench:
    def __init__(self, ari: FakeAri, socket: AriSocket, heard: Heard, running: asyncio.Task[None]) -> None:
        self.ari, self.socket, self.heard, self.running = ari, socket, heard, running

    def reached(self, **counts: int) -> bool:
        return all(getattr(self.heard, name) == count for name, count in counts.items())

    def filters(self) -> int:
        return sum(1 for what, body, _ in self.ari.requests if what == EVENT_FILTER and body == FILTER)


@asynccontextmanager
async def bench(home: Path, **options: Any) -> AsyncIterator[Bench]:
    ari, heard = FakeAri(), Heard()
    for name, value in options.items():
        setattr(heard if name == "fails" else ari, name, value)
    await ari.start()
    secret = home / "secret"
    secret.touch(mode=0o600)
    secret.write_text("word\n")
    socket = AriSocket(Settings(home=str(home), ari=Ari(port=ari.port, secret_file=str(secret))), SystemClock(), heard)
    running = asyncio.create_task(socket.run())
    try:
        yield Bench(ari, socket, heard, running)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await ari.stop()


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  what it waits for has no event
            await asyncio.sleep(0.01)


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def start(call: str, **more: Any) -> dict[str, Any]:
    return {"type": "StasisStart", "application": "ringfence", "args": ["new", "in"], "channel": {"id": call, "name": "PJSIP/x", "state": "Ring"}, **more}


def test_the_filter_is_set_and_missed_calls_are_looked_for_at_each_connect(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as b:
            for count in (1, 2, 3):
                await until(partial(b.reached, connected=count))
                assert b.socket.connected
                assert b.filters() == count
                b.ari.sockets[-1].drop()
                await until(partial(b.reached, lost=count))
            assert b.socket.reconnects == 3
            assert {socket.path for socket in b.ari.sockets} == {"/ari/events?app=ringfence"}
            word = "Basic " + base64.b64encode(b"ringfence:word").decode()
            assert {socket.authorization for socket in b.ari.sockets} == {word} == {by for _, _, by in b.ari.requests}

    run(story)


def test_events_come_in_order_whole_or_in_pieces(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as b:
            await until(lambda: b.heard.connected)
            socket = b.ari.sockets[0]
            socket.event(**start("one", asterisk_id="unknown fields are passed over"))
            text = json.dumps(start("two")).encode()
            socket.frame(text[:10], TEXT, last=False)
            socket.frame(b"between", PING)
            socket.frame(text[10:40], CONTINUATION, last=False)
            socket.frame(text[40:], CONTINUATION)
            for piece in (json.dumps(start("three")) + "").encode(), json.dumps({"type": "Other"}).encode():
                socket.frame(piece)
            await until(lambda: len(b.heard.events) == 4)
            assert [frame.channel.id if frame.channel else frame.type for frame in b.heard.events] == ["one", "two", "three", "Other"]
            assert b.heard.events[0].args == ("new", "in")

    run(story)


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"type":7}', b'{"type":"StasisStart","args":"x"}', b'{"channel":{}}', b"{" * 5000]
)
def test_garbage_costs_nothing_but_itself(tmp_path: Path, garbage: bytes) -> None:
    async def story() -> None:
        async with bench(tmp_path) as b:
            await until(lambda: b.heard.connected)
            b.ari.sockets[0].frame(garbage)
            b.ari.sockets[0].frame(garbage, BINARY)
            b.ari.sockets[0].event(**start("after"))
            await until(lambda: b.heard.events)
            assert [frame.channel.id for frame in b.heard.events if frame.channel] == ["after"]
            assert b.heard.lost == 0

    run(story)


def test_another_that_takes_over_ends_it_for_good(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as b:
            await until(lambda: b.heard.connected)
            b.ari.sockets[0].event(type="ApplicationReplaced", application="ringfence")
            with pytest.raises(Conflict):
                await asyncio.wait_for(asyncio.shield(b.running), 20)
            await asyncio.sleep(0.5)
            assert len(b.ari.sockets) == 1
            assert not b.socket.connected

    run(story)


def test_a_server_that_answers_no_ping_is_left_within_seconds(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as b:
            await until(lambda: b.heard.connected == 1)
            b.ari.pongs = False
            await until(lambda: b.heard.lost == 1, 8)
            b.ari.pongs = True
            await until(lambda: b.heard.connected == 2)

    run(story)


def test_requests_go_out_in_order_and_nowhere_while_it_is_down(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path, refuse_upgrade=503) as b:
            b.socket.send("POST", "channels/lost/continue", {})
            await asyncio.sleep(0.3)
            assert not b.socket.connected
            b.ari.refuse_upgrade = 0
            await until(lambda: b.heard.connected)
            for number in range(50):
                b.socket.send("POST", f"channels/{number}/continue", {"context": "forward"})
            await until(lambda: len(b.ari.sockets[-1].received) == 50)
            assert [frame["uri"] for frame in b.ari.sockets[-1].received] == [f"channels/{number}/continue" for number in range(50)]
            first = b.ari.sockets[-1].received[0]
            assert (first["type"], first["method"], json.loads(first["message_body"])) == ("RESTRequest", "POST", {"context": "forward"})

    run(story)


@pytest.mark.parametrize("status", [401, 404, 503])
def test_refused_connections_are_tried_again(tmp_path: Path, status: int) -> None:
    async def story() -> None:
        async with bench(tmp_path, refuse_upgrade=status) as b:
            await asyncio.sleep(0.4)
            assert not b.running.done()
            b.ari.refuse_upgrade = 0
            await until(lambda: b.heard.connected)

    run(story)


def test_nobody_there_is_tried_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as b:
            await until(lambda: b.heard.connected)
            await b.ari.stop()
            await until(lambda: b.heard.lost)
            await asyncio.sleep(0.5)
            await b.ari.start()
            await until(lambda: b.heard.connected == 2)

    run(story)


def test_when_the_filter_or_the_look_fails_it_connects_anew(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path, answers={EVENT_FILTER: (500, None)}, fails=1) as b:
            await until(lambda: b.heard.lost >= 1)
            assert b.heard.connected == 0
            b.ari.answers.clear()
            await until(lambda: b.heard.fails == 0 and b.heard.lost >= 2)
            await until(lambda: b.heard.connected == 1)

    run(story)
