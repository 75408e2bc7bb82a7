"""The group `retention`: what is held, for how long, and what became of it."""

from __future__ import annotations

from typing import Any

import click

from retention.classes import Action
from retention.datamap import Entry, entries
from retention.policies.load import RECOMMENDED, shipped_keys, shipped_policy
from retention.policies.model import Policy
from ringfence.commands.options import example, json_option
from ringfence.lazy import Lazy, LazyGroup
from ringfence.models import Base
from ringfence.output import Column, emit

_MAP = (
    Column("place", "where"),
    Column("data_class", "class"),
    Column("personal", "personal"),
    Column("purpose", "purpose"),
    Column("legal_basis", "basis"),
    Column("source", "source"),
    Column("window", "kept"),
    Column("from", "from"),
    Column("action", "then"),
)
LAZY = {
    "plan": Lazy("retention.commands.purge:plan", "Show what a run would delete now, by class and policy; deletes nothing."),
    "receipts": Lazy("retention.commands.purge:receipts", "Show what went: one receipt for each transaction and table, newest first."),
    "run": Lazy("retention.commands.purge:run", "Delete what is past its window, now, and write receipts."),
    "status": Lazy("retention.commands.status:status", "Show how far each class was purged, what runs, and what needs a person."),
}


@click.group(cls=LazyGroup, lazy=LAZY)
def retention() -> None:
    """See what is held, for how long, and what became of it; delete what is past its window."""


@retention.command("map", epilog=example("ringfence retention map", "ringfence retention map --policy voipfone --json"))
@click.option("--policy", "policy_key", default=RECOMMENDED, show_default=True, type=click.Choice(shipped_keys()), help="Whose windows to show.")
@json_option
def map_(policy_key: str, *, as_json: bool) -> None:
    """Show every column and file: its class, purpose, legal basis, source, and what happens at the end."""
    policy = shipped_policy(policy_key)
    emit((_row(entry, policy) for entry in entries(Base.metadata)), _MAP, as_json=as_json)


def _row(entry: Entry, policy: Policy) -> dict[str, Any]:
    rule = policy.rules[entry.data_class] if entry.data_class else None
    kept = rule is not None and rule.action is Action.KEEP
    row = {field: getattr(entry, field) for field in entry.__struct_fields__}
    return row | {
        "window": None if rule is None or kept else str(rule.window),
        "from": None if rule is None or kept else rule.start,
        "minimum": str(rule.minimum) if rule and rule.minimum else None,
        "action": rule.action if rule else None,
    }
