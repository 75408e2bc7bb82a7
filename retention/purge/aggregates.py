"""Counts that stay when calls go: by day, trunk and kind of destination. A day that is wholly gone has no cell of fewer than five calls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy.orm import Session

from ringfence.models import CallAggregate
from ringfence.queries import aggregates

Row = tuple[str, str, int, int | None, int | None]  # trunk, destination, calls, answered, seconds
SMALLEST = 5  # calls in a cell that may be shown with its trunk and destination


def suppress(session: Session, before: date) -> int:
    """Join the small cells of days before a date, whose calls have all gone; return how many days were touched.

    Until a day is wholly gone its cells still grow, batch by batch; its calls are readable to nobody meanwhile.
    """
    days = aggregates.days_with_small_cells(session, before, SMALLEST)
    for day in days:
        aggregates.replace_day(session, day, joined(aggregates.list_cells(session, day, day)))
    return len(days)


def joined(cells: Sequence[CallAggregate]) -> list[Row]:
    """Return a day's cells with the small ones joined, as (trunk, destination, calls, answered, seconds). Pure.

    When the joined cell is small itself, the smallest large one joins it: else it could be had by subtraction. If the whole day is small, only the number
    of its calls stays, which the receipts say anyway.
    """
    kept = sorted((cell for cell in cells if cell.calls >= SMALLEST and cell.trunk != aggregates.OTHER), key=lambda cell: cell.calls)
    small = [cell for cell in cells if cell not in kept]
    while small and sum(cell.calls for cell in small) < SMALLEST and kept:
        small.append(kept.pop(0))
    rows: list[Row] = [(cell.trunk, cell.destination, cell.calls, cell.answered, cell.billable_seconds) for cell in kept]
    if small:
        calls = sum(cell.calls for cell in small)
        known = calls >= SMALLEST and all(cell.answered is not None for cell in small)
        answered = sum(cell.answered or 0 for cell in small) if known else None
        seconds = sum(cell.billable_seconds or 0 for cell in small) if known else None
        rows.append((aggregates.OTHER, aggregates.OTHER, calls, answered, seconds))
    return rows
