"""What Simwood's event `eha_missing_data` says: a 999 operator had no address, or a wrong one, for a number that called. Pure.

Source: developers.simwood.com, API v3, "999 Emergency Services". The event has `app`, `id`, `timestamp` and `data` with `number`, `calldate` and `charge`;
only what is needed is looked at, so that a field more does no harm.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

from dialplan.numbers import parse_number
from ringfence.errors import Invalid
from ringfence.values import E164

APP = "eha_missing_data"
_T = TypeVar("_T")
_HINT = "compare it with the carrier's documentation"


class Report(msgspec.Struct, frozen=True):
    """A number of which 999 lacks the address."""

    number: E164
    key: str  # the same when the carrier sends the report again: 32 hexadecimal digits


class _Event(msgspec.Struct, frozen=True):
    app: str
    id: str | int | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Data(msgspec.Struct, frozen=True):
    number: str | int


def read_report(body: bytes) -> Report | None:
    """Return what a body reports; None when it is an event of another kind.

    Raises:
        Invalid: it is no event, or has no number of the UK. The body is not repeated.
    """
    event = _decoded(body, _Event, "the body is no event")
    if event.app != APP:
        return None
    data = _decoded(bytes(event.data), _Data, "the event's data has no number")
    number = parse_number(str(data.number))
    if not number.startswith("+44"):
        raise Invalid("the event's number is not of the UK", hint=_HINT)
    said = body if event.id is None else f"{event.id}".encode("utf-8", "surrogatepass")
    return Report(number, hashlib.sha256(said).hexdigest()[:32])


def _decoded(body: bytes, kind: type[_T], wrong: str) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Invalid(wrong, hint=_HINT) from error
