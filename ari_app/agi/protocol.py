"""FastAGI on the wire (Asterisk 22, `res_agi`): the request that Asterisk opens with, the commands sent back, and their answers.

Nothing here believes the peer: any process of this machine may connect.
"""

from __future__ import annotations

import re

import msgspec

from ringfence.errors import Invalid

MAX_BYTES = 16_384  # a request of Asterisk's is about 1 kB
MAX_LINES = 100  # and has about 25 lines
_MAX_ARGUMENTS = 8
_ARGUMENT = re.compile(r"agi_arg_([1-9])\Z")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\([A-Za-z0-9,_-]*\))?\Z")


class AgiRequest(msgspec.Struct, frozen=True):
    """What was asked for."""

    script: str  # path of the URL, without the leading slash
    arguments: tuple[str, ...]


def parse_request(block: bytes) -> AgiRequest:
    """Read the opening lines, `name: value` each, up to the empty line.

    The bytes are read as Latin-1, which cannot fail and loses nothing; what is made of the arguments is checked by who reads them.

    Raises:
        Invalid: too long, too many lines, or a line that is none of Asterisk's.
    """
    lines = block.decode("latin-1").rstrip("\n").split("\n")
    if len(block) > MAX_BYTES or len(lines) > MAX_LINES:
        raise Invalid("a FastAGI request is longer than any of Asterisk's")
    values: dict[str, str] = {}
    for line in lines:
        name, separator, value = line.partition(":")
        if not separator or not name.startswith("agi_"):
            raise Invalid("a FastAGI request has a line that is none of Asterisk's")
        values.setdefault(name, value.removeprefix(" ").removesuffix("\r"))
    if "agi_network_script" not in values:
        raise Invalid("a FastAGI request names no script")
    found = {int(match[1]): value for name, value in values.items() if (match := _ARGUMENT.match(name))}
    count = min(max(found, default=0), _MAX_ARGUMENTS)
    return AgiRequest(script=values["agi_network_script"], arguments=tuple(found.get(number, "") for number in range(1, count + 1)))


def set_variable(name: str, value: str) -> bytes:
    r"""Return the command that sets a channel variable or function.

    Asterisk splits a command at blanks, except within double quotes, and takes `\` as an escape everywhere.

    Raises:
        Invalid: the name is no variable's, or the value holds a character that would end the command.
    """
    if not _NAME.match(name):
        raise Invalid("not the name of a channel variable")
    if not (value.isascii() and (value == "" or value.isprintable())):
        raise Invalid("a channel variable's value holds a character that ends a command")
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'SET VARIABLE {name} "{quoted}"\n'.encode("ascii")


def is_success(line: bytes) -> bool:
    """Say whether an answer is `200 result=1`: anything else, `HANGUP` and 511 (dead channel) too, ends the conversation."""
    return line.rstrip(b"\r\n") == b"200 result=1"
