"""What a person had to look at: brakes, late or missed runs, imbalances. Who settled it is not shown."""

from __future__ import annotations

from retention.report.model import Column, Kind, Section, Table
from retention.report.reading import Reading
from ringfence.queries import report as queries

_COLUMNS = (
    Column("opened_at", "Opened", Kind.MOMENT),
    Column("status", "Status", Kind.STATUS),
    Column("cause", "Cause", Kind.WORD),
    Column("data_class", "Class", Kind.WORD),
    Column("detail", "What"),
    Column("closed_at", "Closed", Kind.MOMENT),
    Column("outcome", "How", Kind.WORD),
    Column("run", "Run", Kind.CODE),
    Column("incident", "Incident", Kind.CODE),
)


def incidents(reading: Reading) -> Section:
    """Return the section."""
    rows = [
        {
            "opened_at": each.opened_at,
            "status": "closed" if each.closed_at else "open",
            "cause": each.cause,
            "data_class": each.data_class,
            "detail": each.detail,
            "closed_at": each.closed_at,
            "outcome": each.outcome,
            "run": each.run_id,
            "incident": each.id,
        }
        for each in queries.incidents_between(reading.session, reading.span.begins_at, reading.span.ends_at)
    ]
    still = [row for row in rows if row["closed_at"] is None]
    return Section(
        key="incidents",
        title="Incidents",
        text=f"Opened in {reading.span}, or still open. They open by themselves; a person closes them.",
        blocks=(Table("incidents", "Incidents", _COLUMNS, tuple(rows), most=100),),
        exceptions=tuple(f"Incident {row['incident']} is open: {row['cause']}, {row['detail']}." for row in still),
    )
