"""How the commands show what a change of policy would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from retention.policies.change import Change
from retention.purge.preview import Shift
from ringfence.output import Column, emit, say

_CHANGES = (Column("data_class", "class"), Column("key", "key"), Column("old", "now"), Column("new", "then"), Column("effect", "data live"))
_SHIFTS = (
    Column("when", "when"),
    Column("data_class", "class"),
    Column("day", "rows of"),
    Column("goes", "would go", right=True),
    Column("stays", "would stay longer", right=True),
)


def show_shifts(changes: Sequence[Change], by_moment: Mapping[str, Sequence[Shift]]) -> None:
    """Print the differences, then what becomes of the rows: a line for each class and day, and sums."""
    emit((_fields(change) for change in changes), _CHANGES, as_json=False, empty="no window changes")
    rows = [{"when": when, **_fields(shift)} for when, shifts in by_moment.items() for shift in shifts]
    if rows:
        emit(rows, _SHIFTS, as_json=False)
    for when, shifts in by_moment.items():
        say(f"{when}: {sum(shift.goes for shift in shifts)} more would go, {sum(shift.stays for shift in shifts)} would stay longer")


def _fields(found: Change | Shift) -> dict[str, Any]:
    return {field: getattr(found, field) for field in found.__struct_fields__}
