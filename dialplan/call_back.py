"""The call back from the emergency services: which phone a number rings first within an hour of that phone's call to 999. Pure.

The rule is in `extensions.conf.j2`, context `call-back`, because it must work without anything of ours. Here it is only told, and what Asterisk remembers
is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from dialplan.emergency_call import CALL_BACK_RING, CALL_BACK_SECONDS
from ringfence.clock import from_epoch
from ringfence.errors import Invalid

_REMEMBERED = re.compile(r"([0-9]{9,11})\|([a-z0-9][a-z0-9-]{0,39})\|[a-z0-9_:+]{1,80}\Z", re.ASCII)
_FOR = timedelta(seconds=CALL_BACK_SECONDS)


class Remembered(msgspec.Struct, frozen=True):
    """A call to 999 that Asterisk remembers."""

    phone: str
    called_at: datetime
    until: datetime  # from then on the number is routed as any other


class CallBack(msgspec.Struct, frozen=True):
    """What is known of a call back to one number."""

    phones: tuple[str, ...]  # that present the number to 999, as the store has it
    minutes: int  # from the call to 999
    ring_seconds: int  # of the phone, before anything else
    asked: bool  # was Asterisk asked? if not, whether one is due is not known
    remembered: Remembered | None
    why: str


def variable_of(number: str) -> str:
    """Return the global variable in which Asterisk remembers a call to 999 that presented an E.164 number."""
    return f"RF_CALLBACK_{number.removeprefix('+')}"


def read_remembered(text: str, now: datetime) -> Remembered | None:
    """Read such a variable; None when it is empty, or its hour is over.

    Raises:
        Invalid: it is not what the dialplan writes.
    """
    if not text:
        return None
    found = _REMEMBERED.match(text)
    if not found:
        raise Invalid("what Asterisk remembers of a call to 999 cannot be read", hint="'ringfence config verify' tells whether its dialplan is ours")
    called_at = from_epoch(int(found[1]))
    return Remembered(found[2], called_at, called_at + _FOR) if now - called_at <= _FOR else None


def tell(phones: Sequence[str], *, asked: bool, remembered: Remembered | None = None) -> CallBack:
    """Return what an explanation says of the call back to a number.

    Args:
        phones: those that present it to 999 at present.
        asked: whether this node's Asterisk was asked.
        remembered: what it answered.
    """
    minutes = CALL_BACK_SECONDS // 60
    rule = f"rings first, for {CALL_BACK_RING} s, whatever the number is set to; that holds on the node that carried the call, until Asterisk restarts"
    if remembered:
        why = f"phone {remembered.phone} called 999 at {remembered.called_at:%H:%M:%S} UTC: until {remembered.until:%H:%M:%S} UTC it {rule}"
    elif asked:
        why = f"this node's Asterisk remembers no call to 999 of the last {minutes} minutes that presented this number"
    elif phones:
        why = f"for {minutes} minutes from a call to 999 by {' or '.join(phones)} that phone {rule}. Whether one is due was not asked: add --ask-asterisk"
    else:
        why = f"no phone presents this number to 999 now; whether one did in the last {minutes} minutes was not asked: add --ask-asterisk"
    return CallBack(tuple(phones), minutes, CALL_BACK_RING, asked, remembered, why)
