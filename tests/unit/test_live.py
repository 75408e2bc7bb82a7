from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ari_app.live import LiveState, Watcher, hang_up, make_call, parse_channel
from dialplan.call import Leg
from ringfence.errors import NotFound
from ringfence.values import RoutedBy, TargetKind

FACTS = "in:+442079460123:+441174960999:prohib:trunk-a:0:"
BY = "ari:7:1:+442079460123:"
LEGS = "m:+447700900123:trunk-a"


def channel(number: int = 0, *, state: str = "Ring", app: str = "Dial", at: str = "2026-11-21T10:00:00.000+0000") -> dict[str, Any]:
    dialplan = {"context": "forward", "exten": "dial", "priority": 1, "app_name": app, "app_data": ""}
    return {"id": f"node1-1795302588.{number}", "name": f"PJSIP/carrier-{number:08x}", "state": state, "dialplan": dialplan, "creationtime": at}


class Asterisk:
    def __init__(self, channels: list[dict[str, Any]], variables: dict[str, str]) -> None:
        self.channels = channels
        self.variables = variables
        self.asked: list[str] = []

    def ask(self, method: str, path: str) -> Any:
        self.asked.append(f"{method} {path}")
        if path == "channels":
            return self.channels
        name = path.partition("variable=")[2]
        if name not in self.variables:
            raise NotFound("Asterisk does not know it (any more)")
        return {"value": self.variables[name]}


def test_a_call_is_made_of_its_callers_channel_and_variables() -> None:
    asterisk = Asterisk(
        [channel(1, state="Up"), channel(2, app="AppDial")], {"RF_IN": FACTS, "RF_BY": BY, "RF_LEGS": LEGS, "DIALEDPEERNAME": "PJSIP/trunk-a-00000002"}
    )
    (call,), count = Watcher(asterisk.ask).read()
    assert count == 1
    assert (call.call_id, call.state, call.answered_by) == ("node1-1795302588.1", LiveState.ANSWERED, "trunk-a")
    assert call.since == datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert call.facts is not None
    assert (call.facts.caller, call.facts.withheld) == ("+441174960999", True)
    assert call.routed is not None
    assert call.routed.by is RoutedBy.ARI
    assert call.legs == (Leg(TargetKind.MOBILE, "+447700900123", "trunk-a"),)


@pytest.mark.parametrize(
    ("app", "state", "expected"),
    [
        ("Stasis", "Ring", LiveState.DECIDING),
        ("AGI", "Ring", LiveState.DECIDING),
        ("Dial", "Ring", LiveState.DIALLING),
        ("Dial", "Up", LiveState.ANSWERED),
        ("Hangup", "Ring", LiveState.ENDING),
    ],
)
def test_how_far_a_call_is(app: str, state: str, expected: LiveState) -> None:
    assert make_call(parse_channel(channel(app=app, state=state)), ("", "", ""), "").state is expected


def test_what_cannot_be_read_is_left_empty_and_harms_nothing() -> None:
    call = make_call(parse_channel(channel(state="Up")), ("in:evil\n", "x:y", "§"), "Local/x@y;1")
    assert (call.facts, call.routed, call.legs, call.answered_by) == (None, None, (), None)


def test_calls_come_oldest_first_and_details_are_read_of_those_shown_only() -> None:
    channels = [channel(3, at="2026-11-21T10:00:03.000+0000"), channel(1), channel(2, at="2026-11-21T10:00:02.000+0000")]
    asterisk = Asterisk(channels, {"RF_IN": FACTS})
    calls, count = Watcher(asterisk.ask).read(limit=2)
    assert ([call.call_id[-1] for call in calls], count) == (["1", "2"], 3)
    assert len(asterisk.asked) == 1 + 2 * 3


def test_a_callers_facts_are_asked_for_once() -> None:
    asterisk = Asterisk([channel()], {"RF_IN": FACTS})
    watcher = Watcher(asterisk.ask)
    watcher.read()
    watcher.read()
    assert sum("RF_IN" in asked for asked in asterisk.asked) == 1


def test_an_id_is_never_a_path() -> None:
    asterisk = Asterisk([], {})
    with pytest.raises(NotFound):
        hang_up(asterisk.ask, "../asterisk/modules?x=1")
    assert asterisk.asked == ["DELETE channels/..%2Fasterisk%2Fmodules%3Fx%3D1?reason=normal"]
