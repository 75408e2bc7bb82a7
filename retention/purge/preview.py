"""What a change of policy would do to what is held: for each class and day in London how many more rows would go, and how many would stay longer.

It counts with the planner's own conditions on the live store. Secret holds show in no figure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime

import msgspec
from sqlalchemy.orm import Session

from retention.calendar import local_date, midnight
from retention.policies import acts
from retention.policies.change import Change, Effect, diff, resolve
from retention.policies.load import shipped
from retention.policies.model import Policy
from retention.purge import files
from retention.purge.governing import Governing, governing, in_force
from retention.purge.planner import Item, items_of
from ringfence.clock import Clock
from ringfence.models.base import DataClass
from ringfence.queries import due, ledger
from ringfence.queries import policies as stored
from ringfence.queries.conservation import begin_alone
from ringfence.settings import Settings

Days = Mapping[tuple[DataClass, date], int]  # rows, or files, that are due, by class and day


class Shift(msgspec.Struct, frozen=True):
    """What becomes of the rows of one class and day."""

    data_class: DataClass
    day: date
    goes: int  # rows that would be due, and are not
    stays: int  # rows that are due, and would not be


class Preview(msgspec.Struct, frozen=True):
    """What a change would do."""

    changes: tuple[Change, ...]
    now: tuple[Shift, ...]  # if it held at this moment
    effective: tuple[Shift, ...]  # at its effective day, to what is held now
    effective_at: datetime


def preview(session: Session, clock: Clock, settings: Settings, new: Policy) -> Preview:
    """Return what a version would do to the data that its policy governs. Reads only.

    Raises:
        Misconfigured: an account is under a policy that nobody knows.
    """
    now = clock.now()
    at = max(midnight(new.effective), now)
    old = acts.before(session, new, clock) or new
    changes = diff(old, new)
    found = []
    for moment in (now, at):
        governs = governing(session, settings.retention.policy, moment)
        before, after = (due_by_day(session, settings, replaced(governs, each), moment, touched(changes)) for each in (old, new))
        found.append(shifts(before, after))
    return Preview(tuple(changes), found[0], found[1], at)


def assign(session: Session, clock: Clock, settings: Settings, account_id: int, key: str | None) -> tuple[list[Change], tuple[Shift, ...]]:
    """Put an account under a policy (None = the operator's), and return what differs and what that does to its rows now. The caller commits, or does not.

    Raises:
        NotFound: no version of that policy is in force.
        Conflict: the account is under it already.
    """
    now, default = clock.now(), settings.retention.policy
    known = [*shipped().values(), *in_force(session, now)]
    own = stored.policy_of(session, account_id)
    if own is not None and own not in {policy.key for policy in known}:  # nothing is deleted under a policy that nobody knows: there is nothing to compare
        begin_alone(session)
        acts.assign(session, clock, account_id, key, default)
        return [], ()
    changes = diff(resolve(own, default, known, now), resolve(key, default, known, now))
    before = due_by_day(session, settings, governing(session, default, now), now, touched(changes))
    begin_alone(session)
    acts.assign(session, clock, account_id, key, default)
    after = due_by_day(session, settings, governing(session, default, now), now, touched(changes))
    return changes, shifts(before, after)


def replaced(policies: Governing, new: Policy) -> Governing:
    """Return the policies with one in another version. Pure."""
    default, *others = (new if policy.key == new.key else policy for policy in policies.all)
    return Governing(default, tuple(others))


def touched(changes: Iterable[Change]) -> set[DataClass]:
    """Return the classes whose rows go earlier or later. Pure."""
    return {change.data_class for change in changes if change.effect is not Effect.NONE}


def due_by_day(session: Session, settings: Settings, policies: Governing, at: datetime, classes: Collection[DataClass]) -> Days:
    """Return what is due at a moment under these policies, by class and day of the rows' own time."""
    found: Counter[tuple[DataClass, date]] = Counter()
    for policy in policies.all:
        for item in items_of(policy, at, default=policy is policies.default, only=classes):
            for source in item.sources:
                for hour, rows in due.count_due_by_hour(session, source):
                    found[item.data_class, local_date(hour)] += rows
            for moment in _files(session, settings, item):
                found[item.data_class, local_date(moment)] += 1
    return found


def shifts(before: Days, after: Days) -> tuple[Shift, ...]:
    """Return where two counts differ, by class and day. Pure."""
    differences = ((each, after.get(each, 0) - before.get(each, 0)) for each in sorted({*before, *after}))
    return tuple(Shift(*each, max(rows, 0), max(-rows, 0)) for each, rows in differences if rows)


def _files(session: Session, settings: Settings, item: Item) -> list[datetime]:
    if item.data_class not in files.CLASSES or not item.default:
        return []
    booked = ledger.list_positions(session, settings.node).values()
    return [old.newest_at for old in files.look(settings, {item.data_class: item.cutoff.at}, booked).old]
