"""Legal holds that anybody may know of: how many, what kind, how many rows they keep, and when somebody must look again.

What a hold is on (account, number), why and who answers for it is about people and is not shown. Secret holds are not here at all: no count, no row, no trace.
"""

from __future__ import annotations

from typing import Any

from retention.calendar import local_date
from retention.holds import list_visible
from retention.report.model import Column, Facts, Kind, Section, Table
from retention.report.reading import Reading
from ringfence.models import LegalHold
from ringfence.queries import standing

_COUNTS = (
    Column("open", "Open now", Kind.COUNT),
    Column("released", "Released in the period", Kind.COUNT),
    Column("next_review", "Next review", Kind.DAY),
    Column("overdue", "Reviews overdue", Kind.COUNT),
)
_HOLDS = (
    Column("hold", "Hold", Kind.CODE),
    Column("status", "Status", Kind.STATUS),
    Column("data_class", "Class", Kind.WORD),
    Column("scope", "On", Kind.WORD),
    Column("placed_at", "Placed", Kind.MOMENT),
    Column("reviewed_at", "Last looked at", Kind.MOMENT),
    Column("review_by", "Next review", Kind.DAY),
    Column("released_at", "Released", Kind.MOMENT),
)
_KEPT = (
    Column("data_class", "Class", Kind.WORD),
    Column("policy", "Policy"),
    Column("held", "Rows kept", Kind.COUNT),
    Column("as_of", "At the run of", Kind.MOMENT),
)


def holds(reading: Reading) -> Section:
    """Return the section."""
    found = [each for each in list_visible(reading.session, None, released=True) if each.released_at is None or reading.span.holds(each.released_at)]
    rows = [_row(reading, each) for each in found]
    overdue = [row for row in rows if row["status"] == "overdue"]
    open_ones = [row for row in rows if row["released_at"] is None]
    kept = [
        {"data_class": data_class, "policy": policy, "held": last.held, "as_of": last.started_at}
        for (data_class, policy), last in sorted(standing.last_of_each(reading.session, ended=True).items())
        if last.held
    ]
    counts = {
        "open": len(open_ones),
        "released": len(rows) - len(open_ones),
        "next_review": min((row["review_by"] for row in open_ones), default=None),
        "overdue": len(overdue),
    }
    return Section(
        key="holds",
        title="Legal holds",
        text="What must not be deleted although it is past its window. Who and what a hold is about stays out of this report.",
        blocks=(
            Facts("counts", "How many", _COUNTS, counts),
            Table("kept", "Rows past their window that holds kept at the last run", _KEPT, tuple(kept), empty="None."),
            Table("holds", f"Holds that are open, or were released in {reading.span}", _HOLDS, tuple(rows), empty="None.", most=50),
        ),
        exceptions=tuple(f"The review of legal hold {row['hold']} is overdue since {row['review_by'].isoformat()}." for row in overdue),
    )


def _row(reading: Reading, hold: LegalHold) -> dict[str, Any]:
    kinds = {"account": hold.account_id, "number": hold.number, "period": hold.since or hold.until}
    overdue = hold.released_at is None and hold.review_by < local_date(reading.now)
    return {
        "hold": hold.id,
        "status": "closed" if hold.released_at else "overdue" if overdue else "open",
        "data_class": hold.data_class or "every class",
        "scope": ", ".join(f"one {name}" for name, value in kinds.items() if value is not None) or "all of the class",
        "placed_at": hold.placed_at,
        "reviewed_at": hold.reviewed_at,
        "review_by": hold.review_by,
        "released_at": hold.released_at,
    }
