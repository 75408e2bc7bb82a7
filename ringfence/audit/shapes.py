"""What the fields of an audit entry may hold. The log is kept for ever, so nothing in it may say anything about a person.

Every field has one shape, none of which has room for a name or a telephone number: counts below a thousand million, random ids, digests,
moments, days, and short words of ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

Shape = Callable[[Any], bool]

_WORD = re.compile(r"[a-z][a-z0-9_.-]{0,59}")
_HEX = re.compile(r"[0-9a-f]+")
_DIGITS = re.compile(r"\d{6}")
_ACTOR = re.compile(r"(?:system|worker|operator|auditor)(?::(?P<id>[0-9a-f]{32}))?|node:(?P<node>[a-z0-9-]{1,40})")
_MOMENT = "%Y-%m-%dT%H:%M:%S.%fZ"


def count(value: Any) -> bool:
    """Tell whether it is a whole number with fewer digits than any telephone number."""
    return type(value) is int and 0 <= value < 10**9


def word(value: Any) -> bool:
    """Tell whether it is a name that this product gives: a data class, table, policy, outcome."""
    return isinstance(value, str) and _WORD.fullmatch(value) is not None and not _DIGITS.search(re.sub(r"[_.-]", "", value))


def random_id(value: Any) -> bool:
    """Tell whether it is 128 random bits in hexadecimal; never only decimal digits, which could be a number in disguise."""
    return isinstance(value, str) and len(value) == 32 and _HEX.fullmatch(value) is not None and not value.isdecimal()


def digest(value: Any) -> bool:
    """Tell whether it is a SHA-256 in hexadecimal."""
    return isinstance(value, str) and len(value) == 64 and _HEX.fullmatch(value) is not None and not value.isdecimal()


def key(value: Any) -> bool:
    """Tell whether it is where a keyset window ends among rows of one moment: a keyed hash of the row's key, or nothing."""
    return value == "" or random_id(value)


def moment(value: Any) -> bool:
    """Tell whether it is a UTC time with six decimals and Z."""
    try:
        return isinstance(value, str) and len(value) == 27 and datetime.strptime(value, _MOMENT).year > 0  # noqa: DTZ007  Z is UTC
    except ValueError:
        return False


def bound(value: Any) -> bool:
    """Tell whether it is a moment, or nothing for 'since ever'."""
    return value == "" or moment(value)


def day(value: Any) -> bool:
    """Tell whether it is a date of London."""
    try:
        return isinstance(value, str) and len(value) == 10 and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def actor(value: str) -> bool:
    """Tell whether it is who did it: a part of the system, a node, or somebody by the random id of their role. Never a name."""
    match = _ACTOR.fullmatch(value)
    return match is not None and (match["id"] is None or random_id(match["id"])) and (match["node"] is None or not _DIGITS.search(match["node"]))


def choice(*words: str) -> Shape:
    """Return the shape of one of these words."""
    return lambda value: value in words


def optional(shape: Shape) -> Shape:
    """Return the shape of what another has, or None."""
    return lambda value: value is None or shape(value)


def pairs(first: Shape, second: Shape) -> Shape:
    """Return the shape of a list of pairs."""
    return lambda value: isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 and first(pair[0]) and second(pair[1]) for pair in value)


def rows(shapes: Mapping[str, Shape]) -> Shape:
    """Return the shape of a list of mappings, each with exactly these fields."""

    def holds(value: Any) -> bool:
        return isinstance(value, list) and all(
            isinstance(row, dict) and row.keys() == shapes.keys() and all(shape(row[field]) for field, shape in shapes.items()) for row in value
        )

    return holds
