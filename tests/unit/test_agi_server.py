from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ari_app.agi.router import Answer, Router
from ari_app.agi.server import RouteServer
from ari_app.plan import Snapshot
from dialplan.routing import Decision
from ringfence.clock import SystemClock
from ringfence.settings import Agi, Routing
from ringfence.values import (
    E164,
    AccountState,
    CallerIdMode,
    DidState,
    NumberFormat,
    PlanAccount,
    PlanDid,
    PlanTarget,
    PlanTrunk,
    TargetKind,
    TrunkDirection,
)

DID, MOBILE, CALLER = "+442079460001", "+447700900123", "+442079460123"
FACTS = f"in:{DID}:{CALLER}:allowed_not_screened:trunk-a:0:"


def plan() -> Snapshot:
    snapshot = Snapshot()
    trunk = PlanTrunk(
        name="trunk-b",
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
    snapshot.dids[DID] = PlanDid(E164(DID), 7, DidState.ACTIVE, (PlanTarget(1, TargetKind.MOBILE, MOBILE, 25),))
    snapshot.accounts[7] = PlanAccount(7, AccountState.ACTIVE, None)
    snapshot.apply(3, [])
    snapshot.trunks["trunk-b"] = trunk
    snapshot.apply(3, [])
    return snapshot


class Journal:
    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def decided(self, call_id: str, by: str, attempt: int, *, facts: str, routed: str, legs: str) -> None:
        self.lines.append((call_id, by, attempt, facts, routed, legs))


class Counted:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def asked(self) -> None:
        self.counts["asked"] += 1

    def decided(self, _decision: Decision, seconds: float) -> None:
        assert seconds >= 0
        self.counts["decided"] += 1

    def failed(self, reason: str) -> None:
        self.counts[reason] += 1


class Bench:
    def __init__(self, server: RouteServer, journal: Journal, metrics: Counted) -> None:
        self.server, self.journal, self.metrics = server, journal, metrics

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.server.port)

    async def ask(self, *arguments: str, answers: bytes = b"200 result=1\n") -> list[str]:
        """Ask as Asterisk does; return the commands that came back."""
        reader, writer = await self.connect()
        lines = ["agi_network: yes", "agi_network_script: route", *(f"agi_arg_{n}: {text}" for n, text in enumerate(arguments, 1))]
        writer.write(("\n".join(lines) + "\n\n").encode())
        commands = []
        try:
            while line := await reader.readline():
                commands.append(line.decode().rstrip("\n"))
                writer.write(answers)
        except ConnectionResetError:
            pass
        writer.close()
        return commands


@asynccontextmanager
async def serving(deadline: float = 5.0, answer: Callable[..., Answer] | None = None, max_connections: int = 20) -> AsyncIterator[Bench]:
    journal, metrics, clock = Journal(), Counted(), SystemClock()
    router = Router(plan(), Routing(), journal, clock)
    server = RouteServer(Agi(port=0, deadline=deadline), answer or router.answer, metrics, clock, max_connections=max_connections)
    await server.start()
    try:
        yield Bench(server, journal, metrics)
    finally:
        await server.close()


async def is_cut_off(reader: asyncio.StreamReader) -> bool:
    """Wait for the end of the connection; nothing more may come before it."""
    try:
        return await asyncio.wait_for(reader.read(1), 20) == b""
    except ConnectionError:
        return True


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  what it waits for has no event
            await asyncio.sleep(0.01)


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def test_a_route_is_answered_with_variables_and_a_place() -> None:
    async def story() -> None:
        async with serving() as bench:
            commands = await bench.ask(FACTS, "", "node1-1790000000.1")
            assert 'SET VARIABLE RF_DIAL "PJSIP/+447700900123@trunk-b"' in commands
            assert commands[-2:] == ['SET VARIABLE RF_BY "agi:3:7:+442079460001:"', 'SET VARIABLE RF_PLACE "forward,dial,1"']
        assert bench.metrics.counts == {"asked": 1, "decided": 1}
        assert bench.journal.lines == [("node1-1790000000.1", "agi", 1, FACTS, "agi:3:7:+442079460001:", "m:+447700900123:trunk-b")]

    run(story)


def test_a_refusal_is_an_answer_too() -> None:
    async def story() -> None:
        async with serving() as bench:
            commands = await bench.ask(FACTS.replace(DID, "+442079460999"), "", "node1-1790000000.1")
        assert commands == ['SET VARIABLE RF_BY "agi:3:::unknown_number"', 'SET VARIABLE RF_PLACE "finish,1,1"']

    run(story)


def test_after_a_failed_attempt_the_caller_hears_why() -> None:
    tried = "^m:+447700900123:trunk-b=BUSY=&trunk-b-00000002~486~17"

    async def story() -> None:
        async with serving() as bench:
            commands = await bench.ask(FACTS, tried, "node1-1790000000.1")
            assert commands[-1] == 'SET VARIABLE RF_PLACE "finish,17,1"'
        assert bench.journal.lines[0][2] == 2

    run(story)


@pytest.mark.parametrize(
    "arguments", [(), (FACTS, ""), ("nonsense", "", "node1-1.1"), (FACTS, "", "../etc"), (FACTS, "no^attempt", "node1-1.1"), (FACTS + "$", "", "node1-1.1")]
)
def test_what_the_dialplan_never_asks_gets_no_answer(arguments: tuple[str, ...]) -> None:
    async def story() -> None:
        async with serving() as bench:
            assert await bench.ask(*arguments) == []
        assert bench.metrics.counts == {"asked": 1, "invalid": 1}
        assert bench.journal.lines == []

    run(story)


@pytest.mark.parametrize("answer", [b"HANGUP\n", b"511 Command Not Permitted on a dead channel or intercept routine\n", b"200 result=0\n"])
def test_when_asterisk_refuses_a_variable_no_place_is_set(answer: bytes) -> None:
    async def story() -> None:
        async with serving() as bench:
            commands = await bench.ask(FACTS, "", "node1-1790000000.1", answers=answer)
            assert len(commands) == 1
            assert not any("RF_BY" in command or "RF_PLACE" in command for command in commands)
        assert bench.metrics.counts == {"asked": 1, "refused": 1}

    run(story)


def test_clients_that_send_nothing_half_a_header_or_ten_megabytes_cost_nobody_else() -> None:
    async def story() -> None:
        async with serving(deadline=1.5) as bench:
            silent = [await bench.connect() for _ in range(5)]
            half = [await bench.connect() for _ in range(5)]
            for _, writer in half:
                writer.write(b"agi_network: yes\nagi_network_scr")
            _, gone = await bench.connect()
            gone.write(b"agi_network: yes\n")
            gone.close()  # this is what makes panoramisk's handler spin
            flood_reader, flood = await bench.connect()
            flood.write(b"agi_x: " + b"y" * 10_000_000)
            assert (await bench.ask(FACTS, "", "node1-1790000000.1"))[-1].startswith("SET VARIABLE RF_PLACE")
            assert bench.metrics.counts["deadline"] == 0  # it did not wait for those
            assert await is_cut_off(flood_reader)
            for reader, writer in (*silent, *half):
                assert await is_cut_off(reader)
                writer.close()
            flood.close()
        assert bench.metrics.counts == {"asked": 13, "decided": 1, "deadline": 10, "lost": 1, "invalid": 1}

    run(story)


def test_an_asterisk_that_answers_too_slowly_meets_the_deadline() -> None:
    async def story() -> None:
        async with serving(deadline=0.3) as bench:
            reader, writer = await bench.connect()
            writer.write(f"agi_network_script: route\nagi_arg_1: {FACTS}\nagi_arg_2: \nagi_arg_3: node1-1790000000.1\n\n".encode())
            assert (await reader.readline()).startswith(b"SET VARIABLE")
            assert await is_cut_off(reader)
            writer.close()
        assert bench.metrics.counts == {"asked": 1, "deadline": 1}

    run(story)


def test_more_connections_than_allowed_are_closed_at_once() -> None:
    async def story() -> None:
        async with serving(max_connections=3) as bench:
            held = [await bench.connect() for _ in range(3)]
            await until(lambda: bench.metrics.counts["asked"] == 3)
            assert await bench.ask(FACTS, "", "node1-1790000000.1") == []
            assert bench.metrics.counts["busy"] == 1
            for _, writer in held:
                writer.close()
            await until(lambda: bench.metrics.counts["lost"] + bench.metrics.counts["invalid"] == 3)
            assert (await bench.ask(FACTS, "", "node1-1790000000.1"))[-1].startswith("SET VARIABLE RF_PLACE")

    run(story)


def test_a_fault_of_ours_does_not_end_the_server() -> None:
    calls = []

    def broken(_request: object) -> Answer:
        calls.append(1)
        raise RuntimeError("a fault")

    async def story() -> None:
        async with serving(answer=broken) as bench:
            assert await bench.ask(FACTS, "", "node1-1790000000.1") == []
            assert await bench.ask(FACTS, "", "node1-1790000000.1") == []
        assert bench.metrics.counts == {"asked": 2, "error": 2}

    run(story)
    assert len(calls) == 2


def test_closing_lets_a_conversation_end() -> None:
    async def story() -> None:
        async with serving() as bench:
            reader, writer = await bench.connect()
            writer.write(f"agi_network_script: route\nagi_arg_1: {FACTS}\nagi_arg_2: \nagi_arg_3: node1-1790000000.1\n\n".encode())
            assert (await reader.readline()).startswith(b"SET VARIABLE")
            closing = asyncio.create_task(bench.server.close())
            await asyncio.sleep(0.05)
            writer.write(b"200 result=1\n")
            while await reader.readline():
                writer.write(b"200 result=1\n")
            await closing
            writer.close()
        assert bench.metrics.counts == {"asked": 1, "decided": 1}

    run(story)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=5))
def test_no_client_breaks_the_server(pieces: list[bytes]) -> None:
    async def story() -> None:
        async with serving(deadline=2.0) as bench:
            _, writer = await bench.connect()
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            writer.close()
            assert (await bench.ask(FACTS, "", "node1-1790000000.1"))[-1].startswith("SET VARIABLE RF_PLACE")
        assert bench.metrics.counts["decided"] == 1
        assert bench.metrics.counts["error"] == 0

    run(story)
