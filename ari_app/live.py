"""The calls of this node at this moment, as Asterisk's ARI tells them.

A channel does not name its call, so a call is made of what can be known: the caller's channel is the one that the dialplan runs
on (a dialled one runs AppDial), its id is the call's id, and its variables say who calls whom, what was dialled, and once it is answered,
by which channel. Of legs that still ring, only what was dialled is known, not which of them rings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import msgspec

from ari_app.ari import http
from dialplan.call import CallFacts, Leg, Routed, channel_endpoint, parse_facts, parse_legs, parse_routed
from ringfence.errors import Invalid, NotFound
from ringfence.settings import Settings

_DIALLED = frozenset({"AppDial", "AppDial2"})


class LiveState(StrEnum):
    """How far a call is."""

    DECIDING = "deciding"  # waits for the app, the route server or AstDB
    DIALLING = "dialling"  # a target is being reached, or rings
    ANSWERED = "answered"
    ENDING = "ending"


class LiveCall(msgspec.Struct, frozen=True):
    """One call. What could not be read is None or empty."""

    call_id: str
    state: LiveState
    since: datetime
    facts: CallFacts | None
    routed: Routed | None
    legs: tuple[Leg, ...]  # the attempt in hand
    answered_by: str | None  # the trunk or phone that answered


class Channel(msgspec.Struct, frozen=True):
    """A channel, as far as it is used (ARI 22 `Channel`)."""

    id: str
    name: str
    state: str
    app: str
    since: datetime

    @property
    def answered(self) -> bool:
        """Whether its `Dial()` was answered; nothing else of ours answers a call."""
        return self.app == "Dial" and self.state == "Up"

    @property
    def of_caller(self) -> bool:
        """Whether a caller's channel, not a dialled one."""
        return self.app not in _DIALLED


Ask = Callable[[str, str], Any]  # method, path below /ari/ -> decoded answer
Texts = tuple[str, str, str]  # RF_IN, RF_BY, RF_LEGS


class Watcher:
    """Reads the live calls again and again, and asks for what does not change only once.

    Args:
        ask: sends one ARI request.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._facts: dict[str, str] = {}

    def read(self, *, limit: int = 0) -> tuple[list[LiveCall], int]:
        """Return the calls, oldest first, and how many there are.

        Args:
            limit: read the details of at most so many; 0 = all.

        Raises:
            Unavailable: Asterisk does not answer.
        """
        channels = [parse_channel(item) for item in self._ask("GET", "channels")]
        callers = sorted((channel for channel in channels if channel.of_caller), key=lambda channel: (channel.since, channel.id))
        shown = callers[:limit] if limit else callers
        self._facts = {channel.id: self._facts[channel.id] for channel in shown if channel.id in self._facts}
        return [make_call(channel, self._texts(channel.id), self._answered(channel)) for channel in shown], len(callers)

    def _texts(self, channel_id: str) -> Texts:
        facts = self._facts.get(channel_id) or self._variable(channel_id, "RF_IN")
        if facts.startswith("in:"):
            self._facts[channel_id] = facts  # a phone's facts are written again once they are decided
        return (facts, self._variable(channel_id, "RF_BY"), self._variable(channel_id, "RF_LEGS"))

    def _answered(self, channel: Channel) -> str:
        return self._variable(channel.id, "DIALEDPEERNAME") if channel.answered else ""

    def _variable(self, channel_id: str, name: str) -> str:
        try:
            return str(self._ask("GET", f"channels/{quote(channel_id, safe='')}/variable?variable={name}").get("value", ""))
        except NotFound:  # not set yet, or the call has ended
            return ""


def over_http(settings: Settings) -> Ask:
    """Return what sends ARI requests over HTTP."""
    return lambda method, path: http.request(settings, method, path)


def hang_up(ask: Ask, call_id: str) -> None:
    """End a call: the caller's channel goes, and Asterisk takes the others down with it.

    Raises:
        NotFound: there is no such call (any more).
    """
    ask("DELETE", f"channels/{quote(call_id, safe='')}?reason=normal")


def parse_channel(item: Mapping[str, Any]) -> Channel:
    """Read one channel of ARI's list."""
    dialplan = item["dialplan"]
    since = datetime.fromisoformat(item["creationtime"]).astimezone(UTC)
    return Channel(item["id"], item["name"], item["state"], dialplan.get("app_name", ""), since)


def make_call(channel: Channel, texts: Texts, peer: str) -> LiveCall:
    """Return the call of a caller's channel; a text that cannot be read leaves its field empty.

    Args:
        channel: the caller's.
        texts: its variables.
        peer: the name of the channel that answered; empty when none did.
    """
    facts, routed, legs = _read(parse_facts, texts[0]), _read(parse_routed, texts[1]), _read(parse_legs, texts[2])
    if channel.answered:
        state = LiveState.ANSWERED
    elif channel.app == "Dial":
        state = LiveState.DIALLING
    else:
        state = LiveState.ENDING if channel.app in {"Hangup", ""} else LiveState.DECIDING
    answered_by = _read(channel_endpoint, peer)
    return LiveCall(channel.id, state, channel.since, facts, routed if texts[1] else None, legs or (), answered_by[0] if answered_by else None)


def _read(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except Invalid:
        return None
