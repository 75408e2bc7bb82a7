"""What is due: per class and policy the cutoff, how many rows, the oldest and the newest, and what legal holds and minimums keep. Deletes nothing.

The dry run shows this very object, and the executor works through it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

import msgspec
from sqlalchemy.orm import Session

from retention.calendar import Cutoff
from retention.policies.model import Policy
from retention.purge.catalogue import CATALOGUE, Kept
from retention.purge.governing import Governing, digest
from ringfence.errors import Misconfigured
from ringfence.models.base import DataClass
from ringfence.queries import due as rows
from ringfence.queries import holds
from ringfence.queries.due import Count, Due


class Item(msgspec.Struct, frozen=True):
    """What one class has to do under one policy."""

    data_class: DataClass
    policy: str
    policy_version: int
    policy_digest: str
    default: bool
    cutoff: Cutoff
    minimum: Cutoff | None
    sources: tuple[Due, ...]  # its tables, in the order in which they are emptied; none for a class of files, or one that nothing holds yet
    due: Count = Count()
    held: int = 0  # beyond that; secret holds are in neither

    @property
    def key(self) -> tuple[str, str]:
        """What tells items of a plan apart."""
        return self.data_class.value, self.policy


class Plan(msgspec.Struct, frozen=True):
    """What a run would do at a moment."""

    as_of: datetime
    hold_version: int
    items: tuple[Item, ...]

    @property
    def rows(self) -> int:
        """How many rows would go, without files."""
        return sum(item.due.rows for item in self.items if item.sources)


def make_plan(session: Session, policies: Governing, now: datetime, only: Collection[DataClass] | None = None, *, quick: bool = False) -> Plan:
    """Return what is due at `now`.

    Args:
        session: read only.
        policies: those in force.
        now: the moment every cutoff is computed for, aware.
        only: these classes; None = all.
        quick: count what is past its window and leave what legal holds keep of it to be found by the deletion, which looks at every row anyway.
    """
    version = holds.read_version(session)
    found = (item for policy in policies.all for item in items_of(policy, now, default=policy is policies.default, only=only))
    items = [_counted(session, item, quick=quick) for item in found]
    return Plan(now, version, tuple(sorted(items, key=lambda item: item.key)))


def items_of(policy: Policy, now: datetime, *, default: bool, only: Collection[DataClass] | None = None) -> Iterator[Item]:
    """Yield what each class of a policy has to do, uncounted. Pure."""
    for data_class in DataClass:
        cutoff = policy.cutoff(data_class, now)
        if cutoff is None or (only is not None and data_class not in only):
            continue
        minimum = policy.minimum_cutoff(data_class, now)
        sources = tuple(_due(kept, policy, cutoff, minimum, default=default) for kept in CATALOGUE.get(data_class, ()))
        yield Item(
            data_class=data_class,
            policy=policy.key,
            policy_version=policy.version,
            policy_digest=digest(policy),
            default=default,
            cutoff=cutoff,
            minimum=minimum,
            sources=sources if default else tuple(due for due in sources if due.source.account is not None),
        )


def _due(kept: Kept, policy: Policy, cutoff: Cutoff, minimum: Cutoff | None, *, default: bool) -> Due:
    return Due(
        source=kept.source,
        data_class=cutoff.data_class,
        policy=policy.key,
        default=default,
        cutoff=cutoff.at,
        event=_column(kept, cutoff),
        minimum=minimum.at if minimum else None,
        minimum_event=_column(kept, minimum) if minimum else "",
    )


def _column(kept: Kept, cutoff: Cutoff) -> str:
    for event, column in kept.events.items():
        if event.value == cutoff.start:
            return column
    hint = f"known for {kept.source.table} are {', '.join(kept.events)}"
    raise Misconfigured(f"class.{cutoff.data_class}: {kept.source.table} does not say when {cutoff.start} happened", hint=hint)


def count_held(session: Session, item: Item) -> int:
    """Return how many rows of an item legal holds keep that anybody may know of."""
    return sum(rows.count_due(session, due)[1] for due in item.sources)


def _counted(session: Session, item: Item, *, quick: bool) -> Item:
    total, kept = Count(), 0
    for due in item.sources:
        if quick:
            total = total.plus(rows.count_past(session, due))
            continue
        count, held = rows.count_due(session, due)
        total, kept = total.plus(count), kept + held
    return msgspec.structs.replace(item, due=total, held=kept)
