"""Reads the messages that SIPp traced (`-trace_msg`), so that a test can look at what Asterisk really sent."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

_HEAD = re.compile(r"^-{20,} \S.*\n(?P<kind>\w+) message (?P<way>sent|received)(?: \(\d+ bytes\)| \[\d+\] bytes ?):\n\n", re.MULTILINE)


class SipMessage(msgspec.Struct, frozen=True):
    """One SIP message as it was on the wire."""

    sent: bool  # by the SIPp that traced it
    start: str  # request line or status line
    headers: tuple[tuple[str, str], ...]  # in order, names as sent
    body: str

    @property
    def method(self) -> str:
        """The request's method; empty for a response."""
        return "" if self.start.startswith("SIP/") else self.start.split(" ")[0]

    @property
    def status(self) -> int | None:
        """The response's status; None for a request."""
        return int(self.start.split(" ")[1]) if self.start.startswith("SIP/") else None

    def all(self, name: str) -> list[str]:
        """Return every value of a header, in order; names are compared without case."""
        return [value for found, value in self.headers if found.lower() == name.lower()]

    def get(self, name: str) -> str:
        """Return the first value of a header; empty when there is none."""
        return next(iter(self.all(name)), "")


def read_messages(path: Path) -> list[SipMessage]:
    """Return the messages in SIPp's file, oldest first; none when there is no file."""
    if not path.is_file():
        return []
    text = path.read_bytes().decode("utf-8", errors="replace").replace("\r\n", "\n")
    heads = list(_HEAD.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)][: len(heads)]  # a callee that was never called has an empty file
    return [_message(text[head.end() : end], sent=head["way"] == "sent") for head, end in zip(heads, ends, strict=True)]


def _message(text: str, *, sent: bool) -> SipMessage:
    head, _, body = text.partition("\n\n")
    lines = head.split("\n")
    pairs = (line.partition(":") for line in lines[1:])
    return SipMessage(sent=sent, start=lines[0], headers=tuple((name.strip(), value.strip()) for name, _, value in pairs), body=body)
