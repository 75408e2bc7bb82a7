from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.output import Column, emit, emit_one, note, plain, printable, say, warn
from ringfence.values import AccountState, PlanTarget, TargetKind

COLUMNS = (Column("name", "name"), Column("count", "count", right=True), Column("at", "at"))
HOSTILE = "\x1b[31mred\x1b[0m [bold]x[/bold] \x9b31m \u202ertl\u2069 \x00 :smile:"


def test_a_table_shows_control_characters_as_codes(capsys: pytest.CaptureFixture[str]) -> None:
    emit([{"name": HOSTILE, "count": 1, "at": datetime(2026, 3, 29, 1, 30, tzinfo=UTC)}], COLUMNS, as_json=False)
    out = capsys.readouterr().out
    assert "\\x1b[31mred\\x1b[0m [bold]x[/bold] \\x9b31m \\u202ertl\\u2069 \\x00 :smile:" in out
    assert "2026-03-29T01:30:00Z" in out
    assert not set(out) & set("\x1b\x9b\u202e\u2069\x00")


def test_json_is_ascii_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    at = datetime(2026, 3, 29, 2, 30, 0, 5, tzinfo=timezone(timedelta(hours=1)))
    rows: list[dict[str, Any]] = [{"name": HOSTILE, "at": at, "more": [AccountState.ACTIVE]}, {"name": None}]
    emit(iter(rows), COLUMNS, as_json=True)
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    assert json.loads(out) == [{"name": HOSTILE, "at": "2026-03-29T01:30:00.000005Z", "more": ["active"]}, {"name": None}]


def test_no_row_is_an_empty_array_or_a_remark(capsys: pytest.CaptureFixture[str]) -> None:
    emit([], COLUMNS, as_json=True)
    assert capsys.readouterr().out == "[]\n"
    emit([], COLUMNS, as_json=False, empty="none yet")
    assert capsys.readouterr() == ("", "none yet\n")


def test_one_thing_is_an_object_or_lines(capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "is_on": True,
        "off": False,
        "list": ["a", "b\x1b"],
        "map": {"404": "final"},
        "none": None,
        "target": PlanTarget(1, TargetKind.MOBILE, "+447700900123", 25),
    }
    emit_one(row, as_json=True)
    assert json.loads(capsys.readouterr().out)["target"] == {"position": 1, "kind": "mobile", "address": "+447700900123", "ring_seconds": 25}
    emit_one(row, as_json=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[:6] == [["is", "on", "yes"], ["off", "no"], ["list", "a"], ["b\\x1b"], ["map", "404=final"], ["none", "-"]]


def test_results_go_to_stdout_and_remarks_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("done\x1b")
    note("by the way\x07")
    warn("careful\n")
    assert capsys.readouterr() == ("done\\x1b\n", "by the way\\x07\nwarning: careful\\x0a\n")


@given(st.text(max_size=60))
@settings(max_examples=150)
def test_printable_text_never_moves_the_terminal(text: str) -> None:
    shown = printable(text)
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 or character in "\u202a\u202b\u202d\u202e\u2066\u2067" for character in shown)


def test_sets_and_dates_are_plain() -> None:
    assert plain({"x": (1, frozenset({2}))}) == {"x": [1, [2]]}
    assert plain(datetime(2026, 1, 2, tzinfo=UTC).date()) == "2026-01-02"
