"""What stays of calls that went: counts by month and kind of destination, of days whose small cells are joined already."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from typing import Any

from retention.calendar import local_date
from retention.purge.aggregates import SMALLEST
from retention.report.model import Column, Facts, Kind, Section, Table
from retention.report.reading import Reading
from ringfence.queries import aggregates as cells
from ringfence.queries import report as queries

_COLUMNS = (
    Column("month", "Month"),
    Column("destination", "Destination", Kind.WORD),
    Column("calls", "Calls", Kind.COUNT),
    Column("answered", "Answered", Kind.COUNT),
    Column("billable_seconds", "Answered time", Kind.DURATION),
)
_DAYS = (Column("days", "Days shown", Kind.COUNT), Column("unjoined", "Days left out, whose calls have not all gone", Kind.COUNT))
_EVER = date(2000, 1, 1)


def aggregates(reading: Reading) -> Section:
    """Return the section."""
    tomorrow = date.fromordinal(local_date(reading.now).toordinal() + 1)
    unjoined = cells.days_with_small_cells(reading.session, tomorrow, SMALLEST)
    found = queries.cells_by_destination(reading.session, _EVER, tomorrow, unjoined)
    return Section(
        key="aggregates",
        title="What stays as counts",
        text=(
            f"Counts of deleted calls, which identify nobody: no cell of fewer than {SMALLEST} calls is shown with its trunk and destination; "
            f"such cells of a day are joined ('{cells.OTHER}'). A day is shown once all its calls have gone."
        ),
        blocks=(
            Facts("days", "Days", _DAYS, {"days": len({day for day, *_ in found}), "unjoined": len(unjoined)}),
            Table("months", "Deleted calls by month and destination", _COLUMNS, tuple(_months(found)), empty="No call has gone yet.", folded=True),
        ),
    )


def _months(found: list[tuple[date, str, int, int | None, int | None]]) -> list[dict[str, Any]]:
    sums: dict[tuple[str, str], list[int | None]] = defaultdict(lambda: [0, 0, 0])
    for day, destination, *values in found:
        row = sums[day.isoformat()[:7], destination]
        for place, value in enumerate(values):
            known = row[place]
            row[place] = None if known is None or value is None else known + value
    return [
        {"month": month, "destination": destination, "calls": calls, "answered": answered, "billable_seconds": seconds}
        for (month, destination), (calls, answered, seconds) in sorted(sums.items(), reverse=True)
    ]
