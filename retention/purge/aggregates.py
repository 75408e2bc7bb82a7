"""Counts that stay when calls go: by hour, trunk and kind of destination. A day that is wholly gone has no cell of fewer than five calls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import groupby

from sqlalchemy.orm import Session

from ringfence.batches import batched
from ringfence.models import CallAggregate
from ringfence.queries import aggregates

Row = tuple[int, str, str, int, int | None, int | None]  # hour, trunk, destination, calls, answered, seconds
_AT_ONCE = 200  # days in one question
SMALLEST = 5  # calls in a cell that may be shown with its trunk and destination


def suppress(session: Session, before: date) -> int:
    """Join the small cells of days before a date, whose calls have all gone; return how many days were touched.

    Until a day is wholly gone its cells still grow, batch by batch; its calls are readable to nobody meanwhile.
    """
    days = aggregates.days_with_small_cells(session, before, SMALLEST)
    for some in batched(days, _AT_ONCE):
        cells = groupby(aggregates.list_cells(session, some), lambda cell: cell.day)
        aggregates.replace_days(session, {day: joined(list(of_day)) for day, of_day in cells})
    return len(days)


def joined(cells: Sequence[CallAggregate]) -> list[Row]:
    """Return a day's cells with the small ones joined, as (hour, trunk, destination, calls, answered, seconds). Pure.

    First hours of one trunk and destination are joined, then what is still small of the whole day. When a joined cell is small itself, the smallest large
    one joins it: else it could be had by subtraction. If the whole day is small, only the number of its calls stays, which the receipts say anyway.
    """
    by_kind: dict[tuple[str, str], list[Row]] = {}
    for cell in cells:
        row = (cell.hour, cell.trunk, cell.destination, cell.calls, cell.answered, cell.billable_seconds)
        by_kind.setdefault((cell.trunk, cell.destination), []).append(row)
    by_hour = [row for (trunk, destination), rows in sorted(by_kind.items()) for row in _without_small(rows, trunk, destination)]
    shown = _without_small(by_hour, aggregates.OTHER, aggregates.OTHER)
    return sorted((row if row[3] >= SMALLEST else (*row[:4], None, None) for row in shown), key=lambda row: row[:3])


def _without_small(rows: Sequence[Row], trunk: str, destination: str) -> list[Row]:
    """Return rows with the small ones joined in one of a name; one that was joined under that name before is joined again."""
    name = (aggregates.ANY_HOUR, trunk, destination)
    kept = sorted((row for row in rows if row[3] >= SMALLEST and row[:3] != name), key=lambda row: (row[3], row))
    small = [row for row in rows if row[3] < SMALLEST or row[:3] == name]
    while small and sum(row[3] for row in small) < SMALLEST and kept:
        small.append(kept.pop(0))
    if not small:
        return kept
    known = all(row[4] is not None for row in small)
    answered = sum(row[4] or 0 for row in small) if known else None
    seconds = sum(row[5] or 0 for row in small) if known else None
    return [*kept, (*name, sum(row[3] for row in small), answered, seconds)]
