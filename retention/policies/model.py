"""What a retention policy says: for each data class how long, from which event, and what then; and what proves each published promise."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import msgspec

from retention.calendar import Cutoff, Period, YearEnd, cutoff
from retention.classes import Action, StartEvent
from ringfence.models.base import DataClass


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from"}):
    """What holds for one data class; one `[class.<name>]` table of a policy file."""

    action: Action  # what happens at the end
    legal: str  # why so long: statute, regulation, or the operator's own choice
    window: Period | None = None  # at most this long; only a class that is kept has none
    start: StartEvent | None = None  # what the window runs from
    minimum: Period | None = None  # at least this long, whatever else is asked
    minimum_from: StartEvent | None = None  # what the minimum runs from; the window's event when not said
    minimum_legal: str = ""  # why at least so long
    needs: tuple[str, ...] = ()  # columns of other classes that this purpose needs too: 'table.column'
    claims: tuple[str, ...] = ()  # published promises that this rule keeps

    @property
    def minimum_start(self) -> StartEvent | None:
        """The event the minimum runs from."""
        return (self.minimum_from or self.start) if self.minimum else None


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What proves one published promise."""

    checks: tuple[str, ...]  # ids in retention/claims/checks.toml
    text: str  # fingerprint of the promise's text when somebody confirmed that these checks prove it


class Policy(msgspec.Struct, frozen=True):
    """One version of a retention policy."""

    key: str  # the file's name: [a-z0-9-]
    name: str  # for people
    version: int  # from 1
    effective: date  # in London: holds from 00:00 of this day
    notice: Period  # a change is announced at least this long before
    approval_expires: Period  # a proposal or approval that nobody acts on is void after this
    year_end: YearEnd  # of the operator's financial year
    rules: Mapping[DataClass, Rule]
    claims: Mapping[str, Proof]  # by claim id; empty for a policy that no published text goes with
    sha256: str  # of the file, as sha256sum prints it

    def cutoff(self, data_class: DataClass, now: datetime) -> Cutoff | None:
        """Return up to when a class's window is over at `now`; None for a class that is kept."""
        rule = self.rules[data_class]
        return self._cutoff(data_class, rule.window, rule.start, now)

    def minimum_cutoff(self, data_class: DataClass, now: datetime) -> Cutoff | None:
        """Return up to when a class's minimum is over at `now`; None when there is none. What is after it stays, erasure or not."""
        rule = self.rules[data_class]
        return self._cutoff(data_class, rule.minimum, rule.minimum_start, now)

    def year_end_for(self, start: StartEvent | None) -> YearEnd | None:
        """Return the financial year's end when a period runs from it, else None."""
        return self.year_end if start is StartEvent.FINANCIAL_YEAR_END else None

    def document(self) -> dict[str, Any]:
        """Return what an evidence bundle carries of this version: enough to work every cutoff out again, without this product.

        Receipts name a version by this document's digest, so it holds what the policy says and not how its file is written.
        """
        classes = {
            data_class.value: {
                "period": str(rule.window),
                "start": rule.start,
                "year_end": _text(self.year_end_for(rule.start)),
                "action": rule.action.value,
                "legal": rule.legal,
                "minimum": _text(rule.minimum),
                "minimum_start": rule.minimum_start,
                "minimum_year_end": _text(self.year_end_for(rule.minimum_start)),
            }
            for data_class, rule in self.rules.items()
            if rule.window is not None
        }
        return {"policy": self.key, "version": self.version, "effective": self.effective.isoformat(), "notice": str(self.notice), "classes": classes}

    def _cutoff(self, data_class: DataClass, period: Period | None, start: StartEvent | None, now: datetime) -> Cutoff | None:
        if period is None or start is None:
            return None
        year_end = self.year_end_for(start)
        return Cutoff(
            data_class=data_class.value,
            policy=self.key,
            policy_version=self.version,
            period=period,
            start=start.value,
            year_end=year_end,
            at=cutoff(now, period, year_end),
            computed_at=now,
        )


def _text(value: Period | YearEnd | None) -> str | None:
    return None if value is None else str(value)
