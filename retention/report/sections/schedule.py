"""The retention schedule: for each class what it is, on which basis it is held, for how long, from when, and what then."""

from __future__ import annotations

from typing import Any

from retention.classes import CLASSES, Action
from retention.datamap import check
from retention.policies.model import Policy
from retention.purge.catalogue import CATALOGUE
from retention.report.model import Column, Kind, Section, Table
from retention.report.reading import Reading
from ringfence.models import Base
from ringfence.models.base import DataClass

_COLUMNS = (
    Column("data_class", "Class", Kind.WORD),
    Column("description", "What it is"),
    Column("basis", "Basis", Kind.WORD),
    Column("window", "Kept"),
    Column("start", "From", Kind.WORD),
    Column("minimum", "At least"),
    Column("action", "Then", Kind.WORD),
    Column("legal", "Source"),
    Column("tables", "Tables that it is in", Kind.CODE),
)


def schedule(reading: Reading) -> Section:
    """Return the section: a table for each policy in force."""
    gaps = [str(problem) for problem in check(Base.metadata)]
    return Section(
        key="schedule",
        title="Retention schedule",
        text="Windows are calendar months, years or days in Europe/London. Every column and kind of file is of one class ('ringfence retention map').",
        blocks=tuple(_table(policy, default=policy is reading.policies.default) for policy in reading.policies.all),
        exceptions=tuple(f"The data map has a gap: {gap}." for gap in gaps),
    )


def _table(policy: Policy, *, default: bool) -> Table:
    rows = tuple(_row(policy, data_class) for data_class in DataClass if data_class in policy.rules)
    whose = "the operator's policy" if default else "the policy of single accounts"
    return Table(f"schedule_{policy.key}".replace("-", "_"), f"{policy.name}, version {policy.version}: {whose}", _COLUMNS, rows)


def _row(policy: Policy, data_class: DataClass) -> dict[str, Any]:
    rule, facts = policy.rules[data_class], CLASSES[data_class]
    kept = rule.action is Action.KEEP or rule.window is None
    minimum = None
    if rule.minimum:
        minimum = f"{rule.minimum.words} from {(rule.minimum_start or rule.start or '').replace('_', ' ')}: {rule.minimum_legal}"
    return {
        "data_class": data_class.value,
        "description": facts.description,
        "basis": facts.basis.value,
        "window": "no end: nothing about a person" if kept or rule.window is None else rule.window.words,
        "start": None if kept or rule.start is None else rule.start.value,
        "minimum": minimum,
        "action": rule.action.value,
        "legal": rule.legal,
        "tables": ", ".join(each.source.table for each in CATALOGUE.get(data_class, ())) or None,
    }
