"""What every carrier can be asked, and what it can answer. What a carrier says, or fails to say, is a value and never an exception."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

from ringfence.emergency import EmergencyAddress

MINUTE, HOUR, DAY = 60, 3_600, 86_400  # seconds
WORDS = 200  # characters kept of what a carrier says


class Outcome(StrEnum):
    """How it went, or how far a record has come."""

    ACCEPTED = "accepted"
    SUBMITTED = "submitted"
    PENDING_REVIEW = "pending_review"
    REJECTED = "rejected"  # the same again would be refused again: a person must look
    MISSING = "missing"  # the carrier has no record of the number, or another one
    WITHDRAWN = "withdrawn"  # it has none, as it should
    LATER = "later"  # nothing was said of the record: a fault on the way, or at the carrier


class Reply(msgspec.Struct, frozen=True):
    """A carrier's answer."""

    outcome: Outcome
    code: str = ""  # why, in a word without personal data
    words: str = ""  # why, in the carrier's words; may repeat the address
    after: int = 0  # seconds until it should be tried again, for LATER


class Request(msgspec.Struct, frozen=True):
    """One record of one number."""

    number: str  # E.164
    address: EmergencyAddress
    key: str  # the same in every attempt, another for every request
    renew: bool = False  # 999 was found to lack it: give it again, whatever the carrier says it has


class Carrier(Protocol):
    """A keeper of 999 addresses. Each call is harmless to repeat: an answer may have been lost on its way."""

    @property
    def name(self) -> str:
        """What the store calls it."""
        ...

    def submit(self, request: Request) -> Reply:
        """Give the carrier a record in place of what it has of the number."""
        ...

    def poll(self, request: Request) -> Reply:
        """Ask how far a record that was submitted has come."""
        ...

    def withdraw(self, request: Request) -> Reply:
        """Have the number's record taken out; the address is what the carrier should have now."""
        ...

    def finish(self) -> None:
        """Say that nothing more comes in this turn: what was collected may go."""
        ...


def later(code: str, after: int = MINUTE) -> Reply:
    """Return that it must be tried again, in so many seconds: at least one, at most a day."""
    return Reply(Outcome.LATER, code, after=max(1, min(after, DAY)))


def rejected(code: str, words: str = "") -> Reply:
    """Return a refusal."""
    return Reply(Outcome.REJECTED, code, said(words))


def said(text: str) -> str:
    """Return what a carrier said as one printable line of at most 200 characters."""
    return " ".join("".join(character if character.isprintable() else " " for character in text[: 4 * WORDS]).split())[:WORDS]


def same(address: EmergencyAddress, held: Mapping[str, str], fields: Iterable[str]) -> bool:
    """Tell whether a carrier holds this address. Case and spaces do not count: carriers change them."""
    return all(_folded(getattr(address, field)) == _folded(held.get(field, "")) for field in fields)


def is_uk(number: str) -> bool:
    """Tell whether a number can have a record at all."""
    return number.startswith("+44") and number[1:].isascii() and number[1:].isdigit() and 9 <= len(number[3:]) <= 10


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
