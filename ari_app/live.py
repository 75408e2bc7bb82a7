"""The calls of this node at this moment, as Asterisk's ARI tells them.

A channel does not name its call, so a call is made of what can be known: the caller's channel is the one that the dialplan runs
on (a dialled one runs AppDial), its id is the call's id, its variables say who calls whom, and the channel that it shares a
bridge with is the one that answered. Of legs that still ring, only what was dialled is known, not which of them rings.
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

CONTEXTS = frozenset({"from-trunk", "from-phone", "emergency", "forward", "unanswered", "finish"})  # where a caller's channel can be
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
    answered_by: str | None  # the trunk or phone at the other end of the bridge


class Channel(msgspec.Struct, frozen=True):
    """A channel, as far as it is used (ARI 22 `Channel`)."""

    id: str
    name: str
    state: str
    app: str
    context: str
    since: datetime

    @property
    def of_caller(self) -> bool:
        """Whether a caller's channel, not a dialled one."""
        return self.app not in _DIALLED and self.context in CONTEXTS


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
        peers = _peers(channels, self._ask("GET", "bridges"))
        callers = sorted((channel for channel in channels if channel.of_caller), key=lambda channel: (channel.since, channel.id))
        shown = callers[:limit] if limit else callers
        self._facts = {channel.id: self._facts[channel.id] for channel in shown if channel.id in self._facts}
        return [make_call(channel, self._texts(channel.id), peers.get(channel.id)) for channel in shown], len(callers)

    def _texts(self, channel_id: str) -> Texts:
        facts = self._facts.get(channel_id) or self._variable(channel_id, "RF_IN")
        if facts.startswith("in:"):
            self._facts[channel_id] = facts  # a phone's facts are written again once they are decided
        return (facts, self._variable(channel_id, "RF_BY"), self._variable(channel_id, "RF_LEGS"))

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
    return Channel(item["id"], item["name"], item["state"], dialplan.get("app_name", ""), dialplan.get("context", ""), since)


def make_call(channel: Channel, texts: Texts, peer: str | None) -> LiveCall:
    """Return the call of a caller's channel; a text that cannot be read leaves its field empty."""
    facts, routed, legs = _read(parse_facts, texts[0]), _read(parse_routed, texts[1]), _read(parse_legs, texts[2])
    if peer is not None:
        state = LiveState.ANSWERED
    elif channel.app == "Dial":
        state = LiveState.ANSWERED if channel.state == "Up" else LiveState.DIALLING
    elif channel.app in {"Hangup", ""}:
        state = LiveState.ENDING
    else:
        state = LiveState.DECIDING
    return LiveCall(channel.id, state, channel.since, facts, routed if texts[1] else None, legs or (), peer)


def _read(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except Invalid:
        return None


def _peers(channels: list[Channel], bridges: list[Mapping[str, Any]]) -> dict[str, str]:
    """Return for each caller's channel in a bridge the endpoint of the other one."""
    by_id = {channel.id: channel for channel in channels}
    found: dict[str, str] = {}
    for bridge in bridges:
        members = [by_id[member] for member in bridge["channels"] if member in by_id]
        others = [member for member in members if not member.of_caller]
        for member in members:
            if member.of_caller and others:
                found[member.id] = _endpoint(others[0].name)
    return found


def _endpoint(name: str) -> str:
    try:
        return channel_endpoint(name)[0]
    except Invalid:
        return "?"
