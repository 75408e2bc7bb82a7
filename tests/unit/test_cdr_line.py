"""Ledger lines are hostile: whatever the bytes, a line is a record of this node or it is refused, and nothing else happens."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ari_app.cdr.ending import parse_ending
from ari_app.cdr.line import LONGEST_LINE, call_epoch, parse_line
from ringfence.errors import Invalid

GOOD: dict[str, Any] = {
    "linkedid": "n1-1795302588.12",
    "sequence": 17,
    "dstchannel": "PJSIP/trunk-a-0000000e",
    "start": 1795302588.276599,
    "answer": 1795302588.279265,
    "end": 1795302588.985702,
    "disposition": "ANSWERED",
    "rf_leg": "2",
    "rf_end": "",
}


def raw(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def test_a_line_as_asterisk_writes_it() -> None:
    line = (
        b'{"linkedid":"n1-1795302588.12","sequence":17,"dstchannel":"PJSIP/trunk-a-0000000e","start":1795302588.276599,'
        b'"answer":0.000000,"end":1795302588.985702,"disposition":"NO ANSWER","rf_leg":"","rf_end":""}'
    )
    record = parse_line(line, "n1")
    assert (record.linkedid, record.sequence, record.answer, record.attempt) == ("n1-1795302588.12", 17, 0.0, 1)
    assert parse_line(raw(), "n1").attempt == 2
    assert call_epoch(record.linkedid) == 1795302588
    assert call_epoch("nonsense") == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"linkedid": "n2-1795302588.12"},
        {"linkedid": "n1-x-1795302588.12"},
        {"linkedid": "n1-1795302588.12\n"},
        {"linkedid": "1795302588.12"},
        {"linkedid": "n1-" + "1" * 60},
        {"linkedid": "n1-\uff11\uff17\uff19\uff15\uff13\uff10\uff12\uff15\uff18\uff18.12"},
        {"sequence": -1},
        {"sequence": 2**40},
        {"sequence": "17"},
        {"dstchannel": "PJSIP/trunk-a\x1b[0m"},
        {"dstchannel": "PJSIP/" + "a" * 200},
        {"start": 0},
        {"start": 1e300},
        {"start": "1795302588.2"},
        {"answer": 12.0},
        {"end": 1795302588.0 + 40 * 86400},
        {"disposition": "answered"},
        {"rf_leg": "999"},
        {"rf_leg": "-1"},
        {"rf_end": None},
        {"rf_end": "x" * LONGEST_LINE},
        {"rf_end": 'a","linkedid":"n1-1795302588.13'},
        {"extra": 1},
    ],
)
def test_another_shape_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        parse_line(raw(**changes), "n1")


def test_a_second_key_of_the_same_name_does_not_win() -> None:
    forged = raw().replace(b'"sequence":17', b'"sequence":17,"linkedid":"n1-1795302588.99"')
    with pytest.raises(Invalid):
        parse_line(forged, "n1")
    without = forged.replace(b',"rf_leg":"2"', b"")
    with pytest.raises(Invalid):
        parse_line(without, "n1")


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_no_bytes_are_taken_for_a_record(data: bytes) -> None:
    with pytest.raises(Invalid):
        parse_line(data, "n1")


@settings(max_examples=400)
@given(st.data())
def test_a_spoilt_line_is_refused_or_is_a_record_of_this_node(data: st.DataObject) -> None:
    line = bytearray(raw(rf_end="in:+442079460001::allowed:carrier:0:|ari:7:1:+442079460001:|||1||||||"))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(line) - 1))
        line[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=6))
    try:
        record = parse_line(bytes(line), "n1")
    except Invalid:
        return
    assert record.linkedid.startswith("n1-1")
    assert abs(record.start - call_epoch(record.linkedid)) < 32 * 86400


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=200), st.lists(st.text(alphabet="inoutarim0123456789+-_.:=&^~|/ABC", max_size=40), min_size=11, max_size=11).map("|".join)))
def test_no_text_breaks_the_reading_of_an_ending(text: str) -> None:
    try:
        ending = parse_ending(text)
    except Invalid:
        return
    assert ending.cause is None or 0 < ending.cause <= 127
