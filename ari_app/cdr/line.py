"""One line of Asterisk's ledger, read as hostile bytes. Pure.

Asterisk 22 does not escape what it writes there, so a line is taken only when it has exactly the shape that our configuration asks
for and every value is made of the characters that our own texts use. Anything else raises `Invalid`, with a reason that quotes nothing.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ringfence.errors import Invalid
from ringfence.queries.ledger import LONGEST_CALL, Micros

LONGEST_LINE = 16384  # bytes; RF_TRIED of a dozen attempts with four legs each is below 4000
_FIELDS = 9
_EARLY = 86400.0  # seconds by which the clock may have been set back in a call
_LATE = LONGEST_CALL.total_seconds()
_LINKEDID = re.compile(r"-([0-9]{9,11})\.[0-9]{1,10}\Z", re.ASCII)
_CHANNEL = re.compile(r"[A-Za-z]{1,16}/[A-Za-z0-9@._/;-]{1,80}\Z", re.ASCII)


class LedgerRecord(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One party's part in one `Dial()`, or the end of a call; times are seconds since 1970 with microseconds."""

    linkedid: Annotated[str, Meta(max_length=48)]
    sequence: Annotated[int, Meta(ge=0, le=2**31 - 1)]  # orders the records of a call
    dstchannel: Annotated[str, Meta(max_length=100)]  # the called party's channel; empty when there was none
    start: float
    answer: float  # 0 = not answered
    end: float
    disposition: Literal["ANSWERED", "NO ANSWER", "BUSY", "FAILED", "CONGESTION"]
    rf_leg: Annotated[str, Meta(pattern="^[0-9]{0,2}$")]  # the attempt; empty before the first
    rf_end: Annotated[str, Meta(max_length=LONGEST_LINE)]  # what the end handler wrote; empty but for the last record

    @property
    def attempt(self) -> int:
        """Which attempt of the call it belongs to, from 1."""
        return int(self.rf_leg or 1)


_decode = msgspec.json.Decoder(LedgerRecord).decode


def parse_line(line: bytes, node: str) -> LedgerRecord:
    """Read one line, without its line end.

    Args:
        line: the bytes.
        node: the name of this node, with which every linkedid of its Asterisk begins.

    Raises:
        Invalid: it is not a record of this node's Asterisk in the shape asked for.
    """
    if len(line) > LONGEST_LINE:
        raise Invalid("longer than a ledger line can be")
    # A second key of the same name would win over the first, and no value of ours holds an escape.
    if line.count(b'":') != _FIELDS or b"\\" in line:
        raise Invalid("not the fields asked for")
    try:
        record = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Invalid("not a ledger record") from None
    found = _LINKEDID.search(record.linkedid)
    if found is None or record.linkedid[: found.start()] != node:
        raise Invalid("not a call of this node")
    if record.dstchannel and not _CHANNEL.match(record.dstchannel):
        raise Invalid("not a channel name")
    epoch = int(found[1])
    earliest, latest = epoch - _EARLY, epoch + _LATE
    if not (earliest <= record.start <= latest and earliest <= record.end <= latest and (record.answer == 0.0 or earliest <= record.answer <= latest)):
        raise Invalid("its times do not fit its call")
    return record


def to_micros(seconds: float) -> Micros:
    """Return a ledger's time, exactly: a double holds it to an eighth of a microsecond."""
    return int(seconds * 1e6 + 0.5)


def call_epoch(linkedid: str) -> int:
    """Return the second in which a call's channel was made, from its linkedid; 0 when it is not one."""
    found = _LINKEDID.search(linkedid)
    return int(found[1]) if found else 0
