"""How people write where a DID forwards to, and what of it is allowed.

mobile:+447700900123:25        a kind, a number or a phone's name, and how many seconds it rings
07700 900123                   the kind comes from the number, the seconds from routing.ring_seconds
endpoint:desk-12               a registered phone of the same account
endpoint:desk-12/07700900123   a slash: these ring together
A; B                           in files, a semicolon: B is rung after A
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

import msgspec

from dialplan.number_use import check_target, target_kind
from dialplan.numbers import parse_number
from ringfence.errors import Invalid
from ringfence.provisioning import check_name
from ringfence.values import E164, PlanTarget, TargetKind

MAX_TARGETS = 10
MIN_SECONDS, MAX_SECONDS = 5, 120
_SECONDS = re.compile(r"[0-9]{1,3}\Z", re.ASCII)
_HOW_TO_WRITE = "write it like mobile:07700900123:25, landline:02079460123 or endpoint:desk-12"


class ForwardingRules(msgspec.Struct, frozen=True):
    """What the operator allows."""

    ring_seconds: int  # for a target that names none
    allow_drama: bool
    allow_international: bool


class Forwarding(msgspec.Struct, frozen=True):
    """Where a DID forwards to."""

    targets: tuple[PlanTarget, ...]  # ordered by position, from 1
    warnings: tuple[str, ...] = ()


def split_turns(text: str) -> list[str]:
    """Return the turns in a file's cell; an empty cell has none."""
    return [turn for turn in text.split(";") if turn.strip()]


def parse_forwarding(turns: Sequence[str], rules: ForwardingRules) -> Forwarding:
    """Read the turns, each one target or several that ring together.

    Raises:
        Invalid: a target cannot be read, comes twice, or there are too many.
        Refused: calls must not be forwarded to one of them.
    """
    targets: list[PlanTarget] = []
    warnings: list[str] = []
    for position, turn in enumerate(turns, 1):
        for text in turn.split("/"):
            target, found = _parse_target(text.strip(" "), position, rules)
            targets.append(target)
            warnings.extend(found)
    if len(targets) > MAX_TARGETS:
        raise Invalid(f"there are more than {MAX_TARGETS} targets")
    if len({target.address for target in targets}) != len(targets):
        raise Invalid("a target is named twice", hint="name each number or phone once")
    return Forwarding(tuple(targets), tuple(dict.fromkeys(warnings)))


def format_forwarding(targets: Sequence[PlanTarget]) -> list[str]:
    """Return the turns, as `parse_forwarding` reads them."""
    turns = groupby(targets, key=lambda target: target.position)
    return ["/".join(f"{target.kind}:{target.address}:{target.ring_seconds}" for target in turn) for _, turn in turns]


def _parse_target(text: str, position: int, rules: ForwardingRules) -> tuple[PlanTarget, tuple[str, ...]]:
    parts = [part.strip(" ") for part in text.split(":")]
    kind = TargetKind(parts.pop(0)) if parts[0] in set(TargetKind) else None
    if not 1 <= len(parts) <= 2 or not parts[0]:
        raise Invalid("a target has a kind, a number or a phone's name, and seconds", hint=_HOW_TO_WRITE)
    seconds = parse_seconds(parts[1]) if len(parts) == 2 else rules.ring_seconds
    if kind is TargetKind.ENDPOINT:
        return PlanTarget(position, kind, check_name(parts[0]), seconds), ()
    if kind is None and re.match(r"[a-z]", parts[0]):
        raise Invalid("a target is neither a number nor of a known kind", hint=_HOW_TO_WRITE)
    number = parse_number(parts[0])
    found = kind or target_kind(number)
    return PlanTarget(position, found, number, seconds), _warned(number, found, rules)


def _warned(number: E164, kind: TargetKind, rules: ForwardingRules) -> tuple[str, ...]:
    return check_target(number, kind, allow_drama=rules.allow_drama, allow_international=rules.allow_international)


def parse_seconds(text: str) -> int:
    """Return how long a target rings.

    Raises:
        Invalid: it is not a count of seconds that a target may ring.
    """
    if not _SECONDS.match(text) or not MIN_SECONDS <= int(text) <= MAX_SECONDS:
        raise Invalid(f"a target rings {MIN_SECONDS} to {MAX_SECONDS} seconds", hint=_HOW_TO_WRITE)
    return int(text)
