"""Answers Asterisk's one question, where does this call go next, and hands the channel back.

Nothing is remembered of a call: all that was tried comes with the question. The decision is journalled before it is handed over, and a
call that cannot be decided here goes on to the fall-back in the dialplan.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import datetime
from typing import Any, Protocol

import structlog

from ari_app.ari import http
from ari_app.ari.frames import Frame
from ari_app.pace import Brake, Repeats
from dialplan.call import format_facts, format_legs, format_routed, parse_facts, parse_tried
from dialplan.handover import hand_over
from dialplan.routing import Attempt, Decision, Plan, Question, Rules, decide
from ringfence.clock import Clock
from ringfence.errors import RingfenceError
from ringfence.settings import Settings

log = structlog.get_logger(__name__)

_REMEMBERED = 20_000  # questions answered lately, so that the look for missed calls asks none of them again
_FALL_BACK = ("unanswered", "s")
_LOOK_EVERY = 10.0  # seconds between looks for calls that still wait, whatever went wrong
_PATIENCE = 2.0  # seconds after an answer in which a call may still be seen waiting

_Asked = tuple[str, int]  # channel, and length of what was tried: tells one question from the next


class Requests(Protocol):
    """The socket, as the decider uses it."""

    def send(self, method: str, uri: str, body: Any) -> None:
        """Send a REST request."""
        ...


class Journal(Protocol):
    """Where decisions are written before they take effect."""

    def decided(self, call_id: str, by: str, attempt: int, *, facts: str, routed: str, legs: str) -> None:
        """Write one decision."""
        ...

    def asterisk_started(self, started: datetime, seen: datetime | None) -> None:
        """Write that an Asterisk was met that started at `started`; the one before was last known alive at `seen`."""
        ...


class Metrics(Protocol):
    """What is counted."""

    def decided(self, decision: Decision, seconds: float) -> None:
        """Count a decision and the time it took."""
        ...

    def failed(self, reason: str) -> None:
        """Count a call that went to the fall-back, or a hand-over that Asterisk refused."""
        ...


class Decider:
    """The application behind the socket (`ari_app.ari.socket.Listener`)."""

    def __init__(self, settings: Settings, clock: Clock, plan: Plan, *, journal: Journal, metrics: Metrics) -> None:
        self._settings = settings
        self._clock = clock
        self._plan = plan
        self._journal = journal
        self._metrics = metrics
        routing = settings.routing
        self._rules = Rules(max_diversions=routing.max_diversions, max_repeats=routing.max_repeats, international=routing.international)
        self._brake = Brake(settings.ari.max_rate, settings.ari.burst)
        self._repeats = Repeats(routing.repeat_seconds)
        self._answered: OrderedDict[_Asked, float] = OrderedDict()  # monotonic time of each answer
        self._socket: Requests | None = None
        self._asterisk_seen: datetime | None = None
        self.asterisk_started: datetime | None = None  # the Asterisk that was connected last

    def attach(self, socket: Requests) -> None:
        """Take the socket that answers go to."""
        self._socket = socket

    def on_event(self, frame: Frame) -> None:
        """Answer a `StasisStart`."""
        if frame.type == "StasisStart" and frame.channel is not None:
            self.answer(frame.channel.id, frame.args)

    def on_lost(self) -> None:
        """Note when Asterisk was last there: if it died, its calls ended about now."""
        self._asterisk_seen = self._clock.now()

    async def on_connected(self) -> None:
        """Note which Asterisk this is, and decide the calls that waited in `Stasis()` while nobody listened."""
        connected = self._clock.monotonic()
        info = await asyncio.to_thread(http.request, self._settings, "GET", "asterisk/info")
        started = datetime.fromisoformat(info["status"]["startup_time"])
        if started != self.asterisk_started:
            self._journal.asterisk_started(started, self._asterisk_seen)
            self.asterisk_started = started
        missed = await self._answer_waiting(answered_before=connected)
        log.info("ari_connected", missed=missed)

    async def look(self) -> None:
        """Look for calls that wait although they were answered, until cancelled: the net below everything else."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                missed = await self._answer_waiting(answered_before=self._clock.monotonic() - _PATIENCE)
            except RingfenceError:
                continue  # Asterisk is away; the next connection looks anyway
            if missed:
                log.warning("calls_waited", count=missed)
                self._metrics.failed("waited")

    async def _answer_waiting(self, *, answered_before: float) -> int:
        """Answer the calls that wait in `Stasis()` and have had no answer since `answered_before`; return how many."""
        channels = await asyncio.to_thread(http.request, self._settings, "GET", "channels", timeout=10.0)
        missed = 0
        for channel in channels:
            dialplan = channel["dialplan"]
            app, *args = dialplan["app_data"].split(",") if dialplan.get("app_name") == "Stasis" else ("",)
            if app == self._settings.ari.app and self._answered.get(_asked(channel["id"], args), -1.0) < answered_before:
                missed += 1
                self.answer(channel["id"], tuple(args))
        return missed

    def answer(self, channel_id: str, args: tuple[str, ...]) -> None:
        """Decide one call and hand it over; whatever goes wrong, the call goes on to the fall-back."""
        began = self._clock.monotonic()
        self._remember(_asked(channel_id, args), began)
        try:
            decision, asked = self._decide(channel_id, args, began)
            handed = hand_over(decision, asked)
        except Exception as error:  # a fault of ours must not cost the call
            log.exception("decision_failed", linkedid=channel_id, error=type(error).__name__)
            self._metrics.failed("decision")
            self._continue(channel_id, *_FALL_BACK)
            return
        if handed.variables and self._socket is not None:
            self._socket.send("POST", f"channels/{channel_id}/variables", {"variables": handed.variables})
        self._continue(channel_id, handed.context, handed.extension)
        self._metrics.decided(decision, self._clock.monotonic() - began)

    def _decide(self, channel_id: str, args: tuple[str, ...], now: float) -> tuple[Decision, Any]:
        facts = parse_facts(args[1])
        tried = parse_tried(args[2]) if len(args) > 2 else ()
        first = not tried
        question = Question(
            facts=facts,
            seed=channel_id,
            tried=tried,
            repeats=self._repeats.count(facts.caller, facts.called, now) if first else 0,
            overloaded=first and not self._brake.allow(now),
        )
        decision = decide(question, self._plan, self._rules)
        self._note(channel_id, len(tried) + 1, decision)
        return decision, facts

    def _note(self, channel_id: str, attempt: int, decision: Decision) -> None:
        """Journal a decision; a full disk must not cost the call."""
        legs = format_legs(tuple(leg.leg for leg in decision.legs)) if isinstance(decision, Attempt) else ""
        try:
            self._journal.decided(channel_id, decision.routed.by, attempt, facts=format_facts(decision.facts), routed=format_routed(decision.routed), legs=legs)
        except OSError as error:
            log.error("journal_not_written", error=error.strerror)  # noqa: TRY400  the trace says nothing more
            self._metrics.failed("journal")

    def _continue(self, channel_id: str, context: str, extension: str) -> None:
        if self._socket is not None:
            self._socket.send("POST", f"channels/{channel_id}/continue", {"context": context, "extension": extension, "priority": 1})

    def _remember(self, asked: _Asked, at: float) -> None:
        self._answered[asked] = at
        if len(self._answered) > _REMEMBERED:
            self._answered.popitem(last=False)


def _asked(channel_id: str, args: list[str] | tuple[str, ...]) -> _Asked:
    return channel_id, len(args[2]) if len(args) > 2 else 0
