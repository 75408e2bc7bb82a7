from __future__ import annotations

import asyncio
import errno
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st
from structlog.testing import capture_logs

from ari_app import decider as module
from ari_app.ari.frames import Channel, Frame
from ari_app.decider import Decider
from ari_app.plan import Snapshot
from dialplan.routing import Attempt, Decision
from ringfence.clock import FixedClock
from ringfence.errors import Unavailable
from ringfence.settings import Ari, Settings
from ringfence.values import E164
from tests.unit import plans

DID, LIMITED = "+442079460001", "+442079460002"
NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
STARTED = "2026-11-01T11:00:00.000+0000"


def facts(called: str = DID, caller: str = "+441174960100") -> str:
    return f"in:{called}:{caller}:allowed_not_screened:trunk-a:0:"


class World:
    """Everything around the decider, noting in one list what happens in which order."""

    def __init__(self) -> None:
        self.happened: list[tuple[Any, ...]] = []
        self.journal_error: OSError | None = None
        self.refused = 0

    def send(self, method: str, uri: str, body: Any) -> None:
        self.happened.append(("sent", method, uri, body))

    def decided(self, call_id: str, by: str, attempt: int, *, facts: str, routed: str, legs: str) -> None:
        assert facts
        if self.journal_error:
            raise self.journal_error
        self.happened.append(("journal", call_id, by, attempt, routed, legs))

    def asterisk_started(self, started: datetime, seen: datetime | None) -> None:
        self.happened.append(("asterisk", started, seen))

    def sent(self) -> list[tuple[str, str]]:
        return [(line[2], line[3].get("context", "")) for line in self.happened if line[0] == "sent"]


class Counted:
    """The metrics of a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def decided(self, decision: Decision, seconds: float) -> None:
        assert seconds >= 0
        self._world.refused += not isinstance(decision, Attempt)

    def failed(self, reason: str) -> None:
        self._world.happened.append(("failed", reason))


def make(world: World, clock: FixedClock | None = None, **ari: Any) -> Decider:
    snapshot = Snapshot()
    snapshot.accounts = {1: plans.account(1), 2: plans.account(2, limit=3)}
    snapshot.dids = {E164(DID): plans.did(DID, plans.mobile()), E164(LIMITED): plans.did(LIMITED, plans.mobile(), account_id=2)}
    snapshot.trunks = {"trunk-b": plans.trunk("trunk-b")}
    snapshot.apply(7, [])
    decider = Decider(Settings(ari=Ari(**ari)), clock or FixedClock(NOW), snapshot, journal=world, metrics=Counted(world))
    decider.attach(world)
    return decider


def start(channel: str, *args: str) -> Frame:
    return Frame(type="StasisStart", channel=Channel(channel), args=args)


def test_a_call_is_journalled_then_handed_over_with_one_request() -> None:
    world = World()
    make(world).on_event(start("n-1.1", "new", facts()))
    journal, sent = world.happened
    assert journal[:4] == ("journal", "n-1.1", "ari", 1)
    assert sent[:3] == ("sent", "POST", "channels/n-1.1/continue")
    assert journal[4] in sent[3]["extension"]
    assert plans.MOBILE in sent[3]["extension"]


def test_with_a_limit_the_variables_go_first() -> None:
    world = World()
    make(world).on_event(start("n-1.1", "new", facts(LIMITED)))
    assert world.sent() == [("channels/n-1.1/variables", ""), ("channels/n-1.1/continue", "forward")]


def test_other_events_are_passed_over() -> None:
    world = World()
    decider = make(world)
    decider.on_event(Frame(type="StasisEnd", channel=Channel("n-1.1"), args=("new", facts())))
    decider.on_event(Frame(type="StasisStart", args=("new", facts())))
    assert world.happened == []


def test_the_next_attempt_is_another_question() -> None:
    world = World()
    decider = make(world)
    decider.on_event(start("n-1.1", "new", facts()))
    decider.on_event(start("n-1.1", "next", facts(), f"^m:{plans.MOBILE}:trunk-b=BUSY=&trunk-b-00000002~486~17"))
    assert [line[3] for line in world.happened if line[0] == "journal"] == [1, 2]
    assert world.refused == 1


def test_too_many_at_once_are_refused_but_never_the_next_attempt_of_one_that_was_taken() -> None:
    world = World()
    decider = make(world, max_rate=1.0, burst=2)
    for number in range(4):
        decider.on_event(start(f"n-1.{number}", "new", facts(caller=f"+44117496010{number}")))
    assert [line[4].rpartition(":")[2] for line in world.happened if line[0] == "journal"] == ["", "", "overload", "overload"]
    decider.on_event(start("n-1.0", "next", facts(), f"^m:{plans.MOBILE}:trunk-b=CONGESTION=&trunk-b-00000002~503~34"))
    assert "overload" not in str(world.happened[-2:])


def test_one_caller_again_and_again_is_a_loop() -> None:
    world = World()
    decider = make(world)
    for number in range(10):
        decider.on_event(start(f"n-1.{number}", "new", facts()))
    assert world.refused == 2


@pytest.mark.parametrize(
    "args", [(), ("new",), ("new", ""), ("new", "in:x"), ("next", facts(), "nonsense"), ("new", facts() + "${SHELL(x)}"), ("new", "in:" * 5000)]
)
def test_what_cannot_be_read_goes_to_the_fall_back(args: tuple[str, ...]) -> None:
    world = World()
    make(world).on_event(start("n-1.1", *args))
    assert world.sent() == [("channels/n-1.1/continue", "unanswered")]
    assert ("failed", "decision") in world.happened


@options(max_examples=60)
@given(st.lists(st.text(max_size=80), max_size=4))
def test_no_question_breaks_it_or_leaves_a_call_waiting(args: list[str]) -> None:
    world = World()
    with capture_logs():  # a coloured traceback takes longer than all the rest
        make(world).on_event(start("n-1.1", *args))
    assert world.sent()[-1][0] == "channels/n-1.1/continue"


def test_a_journal_on_a_full_disk_costs_no_call() -> None:
    world = World()
    world.journal_error = OSError(errno.ENOSPC, "No space left on device")
    make(world).on_event(start("n-1.1", "new", facts()))
    assert world.happened[0] == ("failed", "journal")
    assert world.sent()[0][0] == "channels/n-1.1/continue"


class Http:
    """What Asterisk says over HTTP."""

    def __init__(self) -> None:
        self.started = STARTED
        self.channels: list[dict[str, Any]] = []

    def request(self, _settings: Settings, method: str, path: str, **_more: Any) -> Any:
        assert method == "GET"
        return {"asterisk/info": {"status": {"startup_time": self.started}}, "channels": self.channels}[path]

    def waits(self, channel: str, app_data: str, app: str = "Stasis") -> None:
        self.channels.append({"id": channel, "dialplan": {"app_name": app, "app_data": app_data}})


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch) -> Http:
    fake = Http()
    monkeypatch.setattr("ari_app.ari.http.request", fake.request)
    return fake


def test_after_a_connect_the_calls_that_waited_are_decided_and_no_others(http: Http) -> None:
    world = World()
    http.waits("n-1.1", f"ringfence,new,{facts()}")
    http.waits("n-1.2", f"another,new,{facts()}")
    http.waits("n-1.3", "PJSIP/+447700900123@trunk-b,25", "Dial")
    http.waits("n-1.4", f"ringfence,next,{facts()},^m:{plans.MOBILE}:trunk-b=BUSY=&trunk-b-00000002~486~17")
    http.channels.append({"id": "n-1.5", "dialplan": {"app_data": ""}})
    asyncio.run(make(world).on_connected())
    assert [uri for uri, _ in world.sent()] == ["channels/n-1.1/continue", "channels/n-1.4/continue"]


def test_a_call_answered_on_the_socket_before_this_one_is_answered_again(http: Http) -> None:
    """The answer may have gone down with that socket; a second one for a call that has gone on is refused by Asterisk and changes nothing."""
    world, clock = World(), FixedClock(NOW)
    decider = make(world, clock)
    decider.on_event(start("n-1.1", "new", facts()))
    http.waits("n-1.1", f"ringfence,new,{facts()}")
    clock.set(datetime(2026, 11, 1, 12, 0, 3, tzinfo=UTC))
    asyncio.run(decider.on_connected())
    assert [uri for uri, _ in world.sent()] == ["channels/n-1.1/continue"] * 2


def test_a_call_answered_since_the_connect_is_not_answered_again(http: Http) -> None:
    world = World()
    decider = make(world)
    http.waits("n-1.1", f"ringfence,new,{facts()}")

    async def story() -> None:
        decider.on_event(start("n-1.1", "new", facts()))
        await decider.on_connected()

    asyncio.run(story())
    assert len(world.sent()) == 1


def test_each_asterisk_is_journalled_once_with_when_the_one_before_was_last_seen(http: Http) -> None:
    world, clock = World(), FixedClock(NOW)
    decider = make(world, clock)
    asyncio.run(decider.on_connected())
    decider.on_lost()
    asyncio.run(decider.on_connected())
    http.started = "2026-11-01T12:00:05.250+0000"
    decider.on_lost()
    asyncio.run(decider.on_connected())
    noted = [line[1:] for line in world.happened if line[0] == "asterisk"]
    assert noted == [(datetime(2026, 11, 1, 11, tzinfo=UTC), None), (datetime(2026, 11, 1, 12, 0, 5, 250_000, tzinfo=UTC), NOW)]


def test_when_asterisk_does_not_answer_the_connect_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_args: object, **_more: object) -> None:
        raise Unavailable("Asterisk does not answer")

    monkeypatch.setattr("ari_app.ari.http.request", away)
    with pytest.raises(Unavailable):
        asyncio.run(make(World()).on_connected())


def test_a_call_that_waits_although_it_was_answered_is_found_later(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_EVERY", 0.01)
    world, clock = World(), FixedClock(NOW)
    decider = make(world, clock)
    decider.on_event(start("n-1.1", "new", facts()))
    http.waits("n-1.1", f"ringfence,new,{facts()}")

    async def story() -> None:
        look = asyncio.create_task(decider.look())
        await asyncio.sleep(0.1)
        assert len(world.sent()) == 1  # it may be on its way
        clock.set(datetime(2026, 11, 1, 12, 0, 5, tzinfo=UTC))
        async with asyncio.timeout(20):
            while len(world.sent()) < 2:  # noqa: ASYNC110  what it waits for has no event
                await asyncio.sleep(0.01)
        look.cancel()
        await asyncio.gather(look, return_exceptions=True)

    asyncio.run(story())
    assert ("failed", "waited") in world.happened
