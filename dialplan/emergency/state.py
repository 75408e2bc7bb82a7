"""Which state of a record follows which: a table, and nothing else.

The states are those that the carriers' own can all be mapped to. A newer version of a record begins as a draft of its own; the older
one stays in the state it had.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from ringfence.emergency import AddressState
from ringfence.errors import Conflict

__all__ = ["AddressEvent", "AddressState", "Move", "move"]


class AddressEvent(StrEnum):
    """What can happen to a record."""

    DRAFTED = "drafted"  # somebody entered it
    SENT = "sent"  # the carrier took it in
    REVIEWED = "reviewed"  # the carrier looks at it by hand, or checks further
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    REPORTED_MISSING = "reported_missing"  # the carrier was told so by the 999 operator, or says itself that it has none
    LEFT = "left"  # its number left its owner, or makes no more calls
    WITHDRAWN = "withdrawn"  # the carrier took it out, or never had it


class Move(msgspec.Struct, frozen=True):
    """One change of a record's state, as the store applies it: only if the record still is in `before`."""

    before: AddressState
    event: AddressEvent
    after: AddressState

    @property
    def changes(self) -> bool:
        """Whether the state is another afterwards."""
        return self.before is not self.after


_S, _E = AddressState, AddressEvent
_ANSWERS = {_E.REVIEWED: _S.PENDING_REVIEW, _E.ACCEPTED: _S.ACCEPTED, _E.REJECTED: _S.REJECTED}
_KNOWN_THERE = {**_ANSWERS, _E.SENT: _S.SUBMITTED, _E.REPORTED_MISSING: _S.REPORTED_MISSING, _E.LEFT: _S.WITHDRAWING}
TRANSITIONS: Mapping[AddressState, Mapping[AddressEvent, AddressState]] = MappingProxyType(
    {
        _S.MISSING: {_E.DRAFTED: _S.DRAFT},
        _S.DRAFT: {**_ANSWERS, _E.SENT: _S.SUBMITTED, _E.LEFT: _S.WITHDRAWN},
        _S.SUBMITTED: _KNOWN_THERE,
        _S.PENDING_REVIEW: _KNOWN_THERE,
        _S.ACCEPTED: _KNOWN_THERE,
        _S.REJECTED: _KNOWN_THERE,
        _S.REPORTED_MISSING: _KNOWN_THERE,
        _S.WITHDRAWING: {_E.WITHDRAWN: _S.WITHDRAWN},
        _S.WITHDRAWN: {},
    }
)


def move(state: AddressState, event: AddressEvent, *, standing: bool = False) -> Move:
    """Return the change that an event makes.

    Args:
        state: the record's.
        event: what happened.
        standing: an earlier version is with the carrier, so that one who leaves has something to withdraw there.

    Raises:
        Conflict: the event cannot happen to a record in this state; the message names both.
    """
    if event is AddressEvent.LEFT and state is AddressState.DRAFT and standing:
        return Move(state, event, AddressState.WITHDRAWING)
    after = TRANSITIONS[state].get(event)
    if after is None:
        raise Conflict(f"an address record that is {state} cannot be {event}", hint="'ringfence emergency address history NUMBER' shows how it came there")
    return Move(state, event, after)
