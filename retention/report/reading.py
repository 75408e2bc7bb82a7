"""What the sections of a report read from: one snapshot of the store, the policies in force in it, and what several sections need."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from retention.purge import conservation
from retention.purge.governing import Governing, governing
from retention.report.span import Span
from retention.verify.format import Balance
from ringfence.clock import Clock
from ringfence.models import PurgeRun, PurgeRunClass
from ringfence.queries import report as queries
from ringfence.queries.asked import Asked, Recording
from ringfence.queries.report import Gone
from ringfence.settings import Settings

_T = TypeVar("_T")


class Reading:
    """One report's view of the store."""

    def __init__(self, session: Session, settings: Settings, clock: Clock, span: Span, now: datetime, recording: Recording) -> None:
        """Begin.

        Args:
            session: in a snapshot.
            settings: whose installation it is.
            clock: tells when each question was put.
            span: the report's period.
            now: the moment that every cutoff is computed for.
            recording: gets every statement that the session sends.
        """
        self.session, self.settings, self.clock, self.span, self.now, self.recording = session, settings, clock, span, now, recording
        self._kept: dict[str, tuple[Any, tuple[Asked, ...]]] = {}

    @cached_property
    def policies(self) -> Governing:
        """The policies in force.

        Raises:
            Misconfigured: an account is under a policy that nobody knows.
        """
        return governing(self.session, self.settings.retention.policy, self.now)

    @property
    def gone(self) -> list[Gone]:
        """What went by age in the period."""
        return self._once("gone", lambda: queries.gone_by_day(self.session, self.span.begins_at, self.span.ends_at))

    @property
    def balances(self) -> list[Balance]:
        """What was taken in, is there, and went, for every sealed day."""
        return self._once("balances", lambda: conservation.balances(self.session))

    @property
    def runs(self) -> list[PurgeRun]:
        """The runs that began in the period, newest first."""
        return self._once("runs", lambda: queries.runs_between(self.session, self.span.begins_at, self.span.ends_at))

    @property
    def run_classes(self) -> list[PurgeRunClass]:
        """What their classes came to."""
        return self._once("run_classes", lambda: queries.classes_between(self.session, self.span.begins_at, self.span.ends_at))

    def _once(self, key: str, ask: Callable[[], _T]) -> _T:
        """Ask once; whoever needs the answer again is told again how it was asked."""
        if key not in self._kept:
            earlier = self.recording.taken()
            self._kept[key] = (ask(), self.recording.taken())
            for asked in earlier:
                self.recording.add(asked)
        value, told = self._kept[key]
        for asked in told:
            self.recording.add(asked)
        return value  # type: ignore[no-any-return]
