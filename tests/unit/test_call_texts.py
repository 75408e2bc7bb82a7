from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialplan.call import (
    CallFacts,
    Leg,
    LegResult,
    Routed,
    TriedAttempt,
    channel_endpoint,
    format_facts,
    format_legs,
    format_routed,
    match_channels,
    parse_facts,
    parse_legs,
    parse_routed,
    parse_tried,
)
from ringfence.errors import Invalid
from ringfence.values import Direction, RoutedBy, TargetKind

PLAIN = re.compile(r"[0-9A-Za-z+\-_.#:=&^~/]*\Z")  # what Asterisk's ledger can hold without escaping

numbers = st.from_regex(r"\+?[0-9]{0,20}", fullmatch=True)
e164 = st.from_regex(r"\+[0-9]{7,15}", fullmatch=True)
names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True)
slugs = st.from_regex(r"[a-z0-9_]{0,40}", fullmatch=True)
facts = st.builds(CallFacts, st.sampled_from(Direction), numbers, numbers, slugs, names | st.just(""), st.integers(0, 99), numbers)
routed = st.builds(Routed, st.sampled_from(RoutedBy), st.none() | st.integers(0, 10**15), st.none() | st.integers(0, 10**9), st.none() | e164, slugs)
legs = st.lists(
    st.builds(Leg, st.sampled_from((TargetKind.MOBILE, TargetKind.LANDLINE)), e164, names) | st.builds(Leg, st.just(TargetKind.ENDPOINT), names, st.just("")),
    max_size=5,
).map(tuple)


@settings(max_examples=200)
@given(facts=facts)
def test_facts_come_back_as_they_were(facts: CallFacts) -> None:
    text = format_facts(facts)
    assert PLAIN.match(text)
    assert parse_facts(text) == facts


@settings(max_examples=200)
@given(routed=routed)
def test_decisions_come_back_as_they_were(routed: Routed) -> None:
    text = format_routed(routed)
    assert PLAIN.match(text)
    assert parse_routed(text) == routed


def test_nobody_was_asked() -> None:
    assert parse_routed("") == Routed(RoutedBy.DIALPLAN, None, None, None, "")


@settings(max_examples=200)
@given(legs=legs)
def test_legs_come_back_as_they_were(legs: tuple[Leg, ...]) -> None:
    text = format_legs(legs)
    assert PLAIN.match(text)
    assert parse_legs(text) == legs


def tried_text(attempt: TriedAttempt, channels: list[str]) -> str:
    """Write an attempt as the dialplan's subroutine does."""
    results = "".join(f"&{channel}~{result.sip_status or ''}~{result.cause or ''}" for channel, result in zip(channels, attempt.results, strict=True))
    return f"^{format_legs(attempt.legs)}={attempt.dialstatus}{'_RANG' if attempt.rang else ''}={results}"


results = st.tuples(st.none() | st.integers(300, 699), st.none() | st.integers(1, 127))


@settings(max_examples=200)
@given(data=st.data(), attempts=st.lists(st.tuples(legs, st.sampled_from(("", "BUSY", "NOANSWER", "CONGESTION", "CHANUNAVAIL")), st.booleans()), max_size=4))
def test_tried_attempts_come_back_leg_by_leg(data: st.DataObject, attempts: list[tuple[tuple[Leg, ...], str, bool]]) -> None:
    text, expected, number = "", [], 1
    for one, dialstatus, rang in attempts:
        outcome = tuple(LegResult(leg, dialstatus, rang, *data.draw(results)) for leg in one)
        attempt = TriedAttempt(one, dialstatus, rang, outcome)
        channels = [f"{leg.endpoint}-{number + index:08x}" for index, leg in enumerate(one)]
        number += len(one)
        shuffled = data.draw(st.permutations(range(len(one))))
        text += tried_text(TriedAttempt(one, dialstatus, rang, tuple(outcome[i] for i in shuffled)), [channels[i] for i in shuffled])
        expected.append(attempt)
    assert parse_tried(text) == tuple(expected)


def test_a_leg_without_a_result_is_known_by_its_attempt_only() -> None:
    (attempt,) = parse_tried("^m:+447700900123:trunk-a=CONGESTION=")
    assert (attempt.results[0].sip_status, attempt.results[0].cause, attempt.results[0].dialstatus) == (None, None, "CONGESTION")


def test_a_cancelled_leg_that_rang_has_no_final_status() -> None:
    (attempt,) = parse_tried("^m:+447700900123:trunk-a=NOANSWER_RANG=&trunk-a-00000002~180~0")
    assert (attempt.rang, attempt.dialstatus, attempt.results[0].sip_status) == (True, "NOANSWER", None)


def test_two_legs_by_one_trunk_are_told_apart_by_their_channels() -> None:
    first, second = Leg(TargetKind.MOBILE, "+447700900123", "trunk-a"), Leg(TargetKind.MOBILE, "+447700900456", "trunk-a")
    assert match_channels((first, second), ["PJSIP/trunk-a-0000000b", "PJSIP/trunk-a-0000000a"]) == {"PJSIP/trunk-a-0000000a": 0, "PJSIP/trunk-a-0000000b": 1}
    assert match_channels((first,), ["PJSIP/other-0000000a"]) == {}


@pytest.mark.parametrize("name", ["trunk-a-0000002f", "PJSIP/trunk-a-0000002f"])
def test_channel_names(name: str) -> None:
    assert channel_endpoint(name) == ("trunk-a", 0x2F)


PARSERS: tuple[Callable[[str], Any], ...] = (parse_facts, parse_routed, parse_legs, parse_tried, channel_endpoint)
pieces = st.lists(
    st.sampled_from((*":&^=~/+-_.0123456789", "in", "out", "m", "e", "ari", "allowed", "_RANG", "BUSY", "+447700900123", "trunk-a", "\n", "é", "٣")),
    max_size=25,
)


@settings(max_examples=500)
@given(text=st.text(max_size=60) | pieces.map("".join))
def test_any_other_text_is_refused_and_nothing_else_happens(text: str) -> None:
    for parse in PARSERS:
        try:
            parse(text)
        except Invalid as error:
            told = error.message
        else:
            told = ""
        assert not re.search(r"[0-9]{7}", told)  # an error never carries a number into a log


@settings(max_examples=200)
@given(facts=facts, at=st.integers(0, 200), junk=st.sampled_from(('"', "\\", "\n", "\r", "\0", "|", ",", "$", "{", "}", "<", ";", " ", "é")))
def test_a_character_that_no_field_has_is_always_refused(facts: CallFacts, at: int, junk: str) -> None:
    text = format_facts(facts)
    at %= len(text) + 1
    with pytest.raises(Invalid):
        parse_facts(text[:at] + junk + text[at:])
