"""May this go, and when? The one order in which reasons to keep and reasons to delete are weighed. Pure.

    1  legal hold            keeps, whatever else says
    2  statutory minimum     keeps until the longest of them is over; an erasure request does not undercut it
    3  in use                keeps while the window's event has not happened: the account is open, the number has an owner
    4  erasure               goes now: a person asked, and none of the above keeps it
    5  maximum window        goes once the shortest of them is over

What keeps and what deletes are weighed apart: of minimums the longest wins, of windows the shortest. A minimum whose event has not happened keeps
without a date. Order and its sources: docs/design/policies.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from retention.calendar import Period, YearEnd, deletable_at
from retention.classes import Action, StartEvent
from retention.policies.model import Policy
from ringfence.models.base import DataClass


class Hold(StrEnum):
    """Whether a legal hold covers it."""

    NONE = "none"
    OPEN = "open"  # whoever may see holds may see this one
    SECRET = "secret"  # noqa: S105  nobody but its keeper may learn that it exists


class Outcome(StrEnum):
    """What is to be done."""

    KEEP = "keep"
    DUE = "due"


class Reason(StrEnum):
    """Which of the rules decided."""

    LEGAL_HOLD = "legal_hold"
    MINIMUM = "statutory_minimum"
    IN_USE = "in_use"
    ERASURE = "erasure"
    WINDOW = "window"
    NO_END = "no_end"  # the class says nothing about a person and is kept


class Span(msgspec.Struct, frozen=True):
    """A period, the event it runs from, and what it rests on."""

    period: Period
    start: StartEvent
    legal: str
    year_end: YearEnd | None = None  # set when it runs from the end of the event's financial year


class Facts(msgspec.Struct, frozen=True):
    """What is known of one row or file."""

    events: Mapping[StartEvent, datetime]  # when each event happened; one that did not is absent
    hold: Hold = Hold.NONE
    erasure_requested: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """What is to be done, and why."""

    outcome: Outcome
    reason: Reason
    until: datetime | None  # kept until then (UTC), or due since then; None: no date is known
    legal: str = ""  # what the reason rests on


def spans(policy: Policy, data_class: DataClass) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Return a class's windows and minimums by a policy; no window for a class that is kept."""
    rule = policy.rules[data_class]
    windows, minimums = [], []
    if rule.window and rule.start and rule.action is not Action.KEEP:
        windows.append(Span(rule.window, rule.start, rule.legal, policy.year_end_for(rule.start)))
    if rule.minimum and rule.minimum_start:
        minimums.append(Span(rule.minimum, rule.minimum_start, rule.minimum_legal, policy.year_end_for(rule.minimum_start)))
    return tuple(windows), tuple(minimums)


def verdict(facts: Facts, windows: Iterable[Span], minimums: Iterable[Span], now: datetime) -> Verdict:
    """Return whether something is kept or due at `now`, by the order above.

    Args:
        facts: what is known of it.
        windows: how long it may be kept at most; none = it is kept (its class says nothing about a person).
        minimums: how long it must be kept at least.
        now: aware.
    """
    if facts.hold is not Hold.NONE:
        return Verdict(Outcome.KEEP, Reason.LEGAL_HOLD, None)
    kept = _longest(facts, minimums, now)
    if kept is not None:
        return kept
    windows = tuple(windows)
    ends = [(end, span) for span in windows if (end := _end(facts, span)) is not None]
    if windows and not ends:
        return Verdict(Outcome.KEEP, Reason.IN_USE, None, windows[0].legal)
    if facts.erasure_requested:
        return Verdict(Outcome.DUE, Reason.ERASURE, now, "UK GDPR art. 17")
    if not ends:
        return Verdict(Outcome.KEEP, Reason.NO_END, None)
    end, span = min(ends, key=lambda found: found[0])
    return Verdict(Outcome.DUE if end <= now else Outcome.KEEP, Reason.WINDOW, end, span.legal)


def shown(facts: Facts, windows: Iterable[Span], minimums: Iterable[Span], now: datetime) -> Verdict:
    """Return the verdict as anybody but a secret hold's keeper may see it: without the secret hold, and no different for it.

    For explanations and reports only; whatever deletes takes `verdict`.
    """
    if facts.hold is Hold.SECRET:
        facts = msgspec.structs.replace(facts, hold=Hold.NONE)
    return verdict(facts, windows, minimums, now)


def _longest(facts: Facts, minimums: Iterable[Span], now: datetime) -> Verdict | None:
    """Return the verdict of the minimum that keeps longest, or None when all are over. One without a date keeps longest of all."""
    longest: Verdict | None = None
    for span in minimums:
        end = _end(facts, span)
        if end is None:
            return Verdict(Outcome.KEEP, Reason.MINIMUM, None, span.legal)
        if end > now and (longest is None or longest.until is None or end > longest.until):
            longest = Verdict(Outcome.KEEP, Reason.MINIMUM, end, span.legal)
    return longest


def _end(facts: Facts, span: Span) -> datetime | None:
    """Return from when a span is over; None while its event has not happened."""
    event = facts.events.get(_event(span.start))
    return None if event is None else deletable_at(event, span.period, span.year_end)


def _event(start: StartEvent) -> StartEvent:
    """Return the event that was recorded: the end of a financial year is worked out from the charge."""
    return StartEvent.BILLED if start is StartEvent.FINANCIAL_YEAR_END else start
