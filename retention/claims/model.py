"""What a check is given, what it finds, and what is made of that: the evidence of each published promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

import msgspec
from sqlalchemy import MetaData
from sqlalchemy.orm import Session

from retention.purge import conservation
from retention.purge.governing import Governing, governing
from retention.verify.format import Balance
from ringfence.clock import Clock
from ringfence.models import Base
from ringfence.queries.asked import Asked, Recording
from ringfence.settings import Settings


class Status(StrEnum):
    """How it stands with a check, or with a promise."""

    PASS = "pass"  # noqa: S105  no password
    FAIL = "fail"
    NOT_CHECKABLE = "not_checkable"  # the system holds nothing that could show it either way
    NOT_BUILT = "not_built"  # the part of the product that brings it is not there


WORST_FIRST = (Status.FAIL, Status.NOT_BUILT, Status.NOT_CHECKABLE, Status.PASS)


class Finding(msgspec.Struct, frozen=True):
    """What one check found."""

    status: Status
    result: Any  # figures as JSON has them; nothing about a person
    reason: str = ""  # why it did not pass, in a sentence


class Evidence(msgspec.Struct, frozen=True):
    """What one check found, and how anybody can find it again."""

    check: str  # its id in checks.toml
    shows: str  # what it computes, and what makes it fail
    status: Status
    query: str  # what was asked: SQL, or which files were looked at
    parameters: Mapping[str, Any]
    result: Any
    at: datetime
    reason: str


class ClaimResult(msgspec.Struct, frozen=True):
    """How one published promise stands."""

    id: str
    provider: str
    says: str
    status: Status  # the worst of its checks
    evidence: tuple[Evidence, ...]


class Context:
    """One look at a live system: every check reads through it."""

    def __init__(
        self,
        session: Session,
        settings: Settings,
        clock: Clock,
        recording: Recording,
        *,
        metadata: MetaData = Base.metadata,
        policies: Governing | None = None,
        balances: Callable[[], list[Balance]] | None = None,
    ) -> None:
        """Begin.

        Args:
            session: read only; best in a snapshot, so that all figures are of one moment.
            settings: whose installation it is.
            clock: the clock; `now` is read once.
            recording: takes down what the session asks.
            metadata: the models.
            policies: those in force, when the caller has read them.
            balances: gives the conservation of every sealed day, when the caller has counted it.
        """
        self.session, self.settings, self.clock, self.recording, self.metadata = session, settings, clock, recording, metadata
        self.now = clock.now()
        self._policies, self._balances = policies, balances

    @cached_property
    def policies(self) -> Governing:
        """The policies in force.

        Raises:
            Misconfigured: an account is under a policy that nobody knows.
        """
        return self._policies or governing(self.session, self.settings.retention.policy, self.now)

    @cached_property
    def balances(self) -> list[Balance]:
        """What was taken in, is there, and went, for every sealed day."""
        return self._balances() if self._balances else conservation.balances(self.session)

    def looked(self, where: str, **parameters: Any) -> None:
        """Note what was looked at in another way than by SQL."""
        self.recording.add(Asked(where, parameters, self.clock.now()))


Check = Callable[[Context], Finding]


def verdict(problems: int, result: Any, reason: str) -> Finding:
    """Return a pass when there is no problem, else a fail for a reason."""
    return Finding(Status.FAIL, result, reason) if problems else Finding(Status.PASS, result)
