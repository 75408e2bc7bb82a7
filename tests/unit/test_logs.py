from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence import logs
from ringfence.clock import FixedClock
from ringfence.errors import Misconfigured

AT = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(error: Exception) -> None:
    raise error


def configured(*, as_json: bool = True, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    logs.configure(level, json=as_json, stream=stream, clock=FixedClock(AT))
    return stream


numbers = st.one_of(
    st.from_regex(r"\+44[127][0-9]{9}", fullmatch=True),
    st.from_regex(r"0[127][0-9]{9}", fullmatch=True),
    st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True),
    st.from_regex(r"00[1-9][0-9]{8,12}", fullmatch=True),
)
around = st.text(st.characters(exclude_categories=["Nd"]), max_size=12)
wrapped = st.sampled_from(
    (
        "{}",
        "in:{}:{}:allowed:trunk-a:0:",
        "sip:{}@192.0.2.1:5060",
        "m:{}:trunk-a&m:{}:trunk-b",
        "PJSIP/{}@trunk-a",
        "x{}y",
        "'{}'",
        "%2B{}",
        "{}\n{}",
        "node1-{}",
        "3.{}",
        "7-{}",
    )
)


@settings(max_examples=300, deadline=None)
@given(number=numbers, before=around, after=around, shape=wrapped, as_json=st.booleans())
def test_no_number_survives_in_any_place(number: str, before: str, after: str, shape: str, as_json: bool) -> None:
    stream = configured(as_json=as_json)
    text = before + shape.format(number, number) + after
    log = structlog.get_logger("t").bind(bound=text)
    log.info(text, nested={"a": [text, (text.encode("utf-8", "surrogatepass"), {text})], text: 1}, other=ValueError(text))
    logging.getLogger("picows").warning("frame %s", text)
    try:
        fail(LookupError(text))
    except LookupError:
        log.exception("failed")
    written = stream.getvalue()
    digits = re.sub(r"\D", "", number)
    for start in range(len(digits) - 6):
        assert digits[start : start + 7] not in written


@settings(max_examples=200, deadline=None)
@given(
    number=st.from_regex(r"\+44[127][0-9]{9}", fullmatch=True),
    separators=st.lists(st.sampled_from(("", "", " ", "-", ".", " (", ") ")), min_size=12, max_size=12),
)
def test_numbers_as_people_write_them_are_masked(number: str, separators: list[str]) -> None:
    text = "".join(character + separator for character, separator in zip(number, [*separators, ""], strict=True))
    shown = logs.clean_text(f"call {text} now")
    assert len(re.sub(r"\D", "", shown)) <= 5


@pytest.mark.parametrize(
    "text", ["020 7946 0123", "(020) 7946-0123", "020.7946.0123", "07700 900123", "0044 20 7946 0123", "1 202 555 0123", "+44 (0)20 7946 0123"]
)
def test_usual_writings_are_masked(text: str) -> None:
    assert len(re.sub(r"\D", "", logs.clean_text(f"from {text}, then"))) <= 5


@pytest.mark.parametrize(
    "text",
    [
        "node1-1795302588.12",
        "london-2-1795302588.4711",
        "1795302588.12",
        "2026-11-21T10:00:00.123456Z",
        "2026-11-21 10:00:00,123",
        "2026-11-21T10:00:00+00:00",
        "22.10.1",
        "192.168.100.200",
        "127.0.0.1:5060",
        "0.00012",
        "took 12.345678 s",
        "ledger.json-20261121",
        "PJSIP/trunk-a-0000002f",
        "PJSIP/trunk-a-00000023",
        "version 123456",
    ],
)
def test_what_is_no_number_stays_readable(text: str) -> None:
    assert logs.clean_text(text) == text
    assert logs.clean_text(f"a {text} b") == f"a {text} b"


def test_a_channel_named_after_a_number_is_masked() -> None:
    assert "7700900123" not in logs.clean_text("PJSIP/447700900123-0000002f")


def test_numeric_values_stay_as_they_are() -> None:
    stream = configured()
    structlog.get_logger().info("booked", bytes=12_345_678_901, seconds=1795302588.125, ok=True, nothing=None, when=AT)
    (line,) = lines(stream)
    assert (line["bytes"], line["seconds"], line["ok"], line["nothing"], line["when"]) == (12_345_678_901, 1795302588.125, True, None, AT.isoformat())
    assert line["timestamp"] == "2026-11-21T10:00:00.123456Z"
    assert line["level"] == "info"


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60))
def test_no_text_can_forge_a_line_or_speak_to_the_terminal(text: str) -> None:
    stream = configured(as_json=False)
    structlog.get_logger("t").info(text, field=text, nested=[text], **{"k" + text: 1})
    logging.getLogger("alembic").info("%s", text)
    written = stream.getvalue()
    assert written.count("\n") == 2
    assert written.replace("\n", "").isprintable()


def test_a_traceback_cannot_pose_as_a_log_line() -> None:
    stream = configured(as_json=False)
    try:
        fail(ValueError("bad\n2026-11-21T10:00:00Z [critical ] forged\x1b[2J"))
    except ValueError:
        structlog.get_logger("t").exception("failed")
    first, *rest = stream.getvalue().rstrip("\n").split("\n")
    assert "failed" in first
    assert rest
    assert all(line.startswith("  | ") and line.isprintable() for line in rest)


def test_json_lines_hold_the_traceback_in_one_line() -> None:
    stream = configured()
    try:
        fail(ValueError("of +447700900123"))
    except ValueError:
        logging.getLogger("sqlalchemy").exception("failed")
    (line,) = lines(stream)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: of +44•••••••123")


def test_json_unless_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    plain, terminal = io.StringIO(), Terminal()
    logs.configure(stream=plain)
    structlog.get_logger().info("one")
    logs.configure(stream=terminal)
    structlog.get_logger().info("two")
    assert lines(plain)[0]["event"] == "one"
    assert "two" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


def test_levels_hold_for_all_loggers() -> None:
    stream = configured(level="WARNING")
    structlog.get_logger("a").info("quiet")
    logging.getLogger("panoramisk").info("quiet")
    structlog.get_logger("a").warning("loud")
    logging.getLogger("apscheduler.scheduler").error("loud")
    assert [line["event"] for line in lines(stream)] == ["loud", "loud"]
    with pytest.raises(Misconfigured):
        logs.configure("chatty")


def test_statements_with_their_values_are_never_logged() -> None:
    stream = configured(level="debug")
    logging.getLogger("sqlalchemy.engine.Engine").info("INSERT … ('+447700900123')")
    assert stream.getvalue() == ""


def test_configuring_again_does_not_double_the_lines() -> None:
    configured()
    stream = configured()
    structlog.get_logger().info("once")
    assert len(lines(stream)) == 1


def test_a_broken_record_is_told_without_its_content() -> None:
    stream = configured()
    logging.getLogger("lib").info("%d calls", "+447700900123")
    assert stream.getvalue() == "a log record of lib could not be written\n"


def test_odd_values_are_shown_and_never_raise() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    loop: list[Any] = []
    loop.append(loop)
    stream = configured()
    structlog.get_logger().info("x", odd=Odd(), loop=loop, huge=1 << 200, nan=float("nan"), long="y" * 100_000, view=memoryview(b"07700900123"))
    (line,) = lines(stream)
    assert line["odd"] == "<Odd>"
    assert line["nan"] == "nan"
    assert len(line["long"]) < 5_000
    assert line["view"] == "••••••••123"
    assert len(line["huge"]) > 0


def test_what_nobody_caught_is_masked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    stream = configured()
    logs.catch_uncaught()
    error = ValueError("for +447700900123")
    sys.excepthook(ValueError, error, None)
    threading.excepthook(threading.ExceptHookArgs((ValueError, error, None, None)))
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert [line["event"] for line in lines(stream)] == ["uncaught", "uncaught"]
    assert "7700900123" not in stream.getvalue()
