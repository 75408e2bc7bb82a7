from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ari_app.agi.protocol import MAX_BYTES, MAX_LINES, is_success, parse_request, set_variable
from ringfence.errors import Invalid

ASTERISK = (
    b"agi_network: yes\nagi_network_script: route\nagi_request: agi://127.0.0.1:4573/route\nagi_channel: PJSIP/trunk-a-00000001\nagi_language: en\n"
    b"agi_type: PJSIP\nagi_uniqueid: node1-1790000000.1\nagi_version: 22.10.1\nagi_callerid: +442079460123\nagi_calleridname: Caf\xe9: au lait\n"
    b"agi_arg_1: in:+442079460001:+442079460123:allowed_not_screened:trunk-a:0:\nagi_arg_2: \nagi_arg_3: node1-1790000000.1\n\n"
)


def test_what_asterisk_sends_is_read() -> None:
    request = parse_request(ASTERISK)
    assert request.script == "route"
    assert request.arguments == ("in:+442079460001:+442079460123:allowed_not_screened:trunk-a:0:", "", "node1-1790000000.1")


@pytest.mark.parametrize(
    "block",
    [
        b"\n\n",
        b"GET / HTTP/1.1\nHost: here\n\n",
        b"agi_network: yes\n\n",
        b"agi_network_script: route\nno colon\n\n",
        b"agi_network_script: route\n" + b"agi_x: y\n" * MAX_LINES + b"\n",
        b"agi_network_script: " + b"x" * MAX_BYTES + b"\n\n",
    ],
)
def test_what_asterisk_never_sends_is_refused(block: bytes) -> None:
    with pytest.raises(Invalid):
        parse_request(block)


def test_the_first_of_two_headers_counts() -> None:
    """A later line cannot replace an argument: Asterisk writes its own lines before those that hold a caller's name."""
    assert parse_request(b"agi_network_script: route\nagi_arg_1: first\nagi_arg_1: second\n\n").arguments == ("first",)


@settings(max_examples=300)
@given(st.binary(max_size=600) | st.text(alphabet="agi_networkscript:arg123 \n\r\x00\x85é", max_size=300).map(lambda text: text.encode()))
def test_no_bytes_break_the_reader(block: bytes) -> None:
    try:
        request = parse_request(block)
    except Invalid:
        return
    assert all("\n" not in text for text in (request.script, *request.arguments))


def test_a_value_is_quoted_as_asterisk_reads_it() -> None:
    assert set_variable("CALLERID(all)", '"" <+442079460001>') == b'SET VARIABLE CALLERID(all) "\\"\\" <+442079460001>"\n'
    assert set_variable("RF_BY", "") == b'SET VARIABLE RF_BY ""\n'
    assert set_variable("RF_X", "a\\b") == b'SET VARIABLE RF_X "a\\\\b"\n'


@pytest.mark.parametrize("name", ["", "RF BY", "RF_BY\nHANGUP", "1X", "SHELL(ls ${x})", "A(b)(c)", "X;Y"])
def test_a_name_that_is_no_variable_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        set_variable(name, "x")


def asterisk_words(command: str) -> list[str]:
    """Split a command as `parse_args` of Asterisk's res_agi.c does: blanks part words, quotes keep them together, a backslash takes the next as it is."""
    words, word, quoted, escaped, inside = [], "", False, False, False
    for character in command:
        if escaped:
            word, escaped, inside = word + character, False, True
        elif character == "\\":
            escaped = True
        elif character == '"':
            quoted, inside = not quoted, True
        elif character in " \t" and not quoted:
            if inside:
                words.append(word)
            word, inside = "", False
        else:
            word, inside = word + character, True
    return [*words, word] if inside else words


@settings(max_examples=300)
@given(st.text(max_size=60))
def test_a_value_comes_out_as_it_went_in_or_is_refused(value: str) -> None:
    try:
        command = set_variable("RF_X", value)
    except Invalid:
        assert not re.fullmatch(r"[ -~]*", value)
        return
    assert command.endswith(b"\n")
    assert command.count(b"\n") == 1
    assert asterisk_words(command.decode().rstrip("\n")) == ["SET", "VARIABLE", "RF_X", value]


@pytest.mark.parametrize(
    ("line", "success"),
    [(b"200 result=1\n", True), (b"200 result=1\r\n", True), (b"200 result=0\n", False), (b"HANGUP\n", False), (b"511 x\n", False), (b"", False)],
)
def test_only_a_plain_success_is_one(line: bytes, success: bool) -> None:
    assert is_success(line) is success
