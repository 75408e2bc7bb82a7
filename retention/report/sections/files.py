"""Files that were given up: how many of each class on each node, and whether they are gone. Their names are not shown."""

from __future__ import annotations

from datetime import timedelta

from retention.report.model import Column, Kind, Section, Table
from retention.report.reading import Reading
from ringfence.queries import report as queries

_PATIENCE = timedelta(days=2)  # a file that was given up and is still there after so long needs a person

_COLUMNS = (
    Column("data_class", "Class", Kind.WORD),
    Column("node", "Node"),
    Column("status", "Status", Kind.STATUS),
    Column("files", "Files", Kind.COUNT),
    Column("bytes", "Bytes", Kind.COUNT),
    Column("removed", "Gone", Kind.COUNT),
    Column("waiting_since", "First of those still there given up at", Kind.MOMENT),
    Column("newest", "Newest datum in any", Kind.MOMENT),
)


def files(reading: Reading) -> Section:
    """Return the section."""
    found = queries.files_given_up(reading.session, reading.span.begins_at, reading.span.ends_at)
    rows = [
        {
            "data_class": each.data_class,
            "node": each.node,
            "status": "removed" if each.oldest_open is None else "not_removed" if reading.now - each.oldest_open > _PATIENCE else "waiting",
            "files": each.files,
            "bytes": each.bytes,
            "removed": each.removed,
            "waiting_since": each.oldest_open,
            "newest": each.newest,
        }
        for each in found
    ]
    stuck = [row for row in rows if row["status"] == "not_removed"]
    return Section(
        key="files",
        title="Files given up",
        text=f"Files whose newest datum is past its window, given up in {reading.span} or before and not gone yet. Whole files go; none is rewritten.",
        blocks=(Table("files", "By class and node", _COLUMNS, tuple(rows), empty="No file was given up."),),
        exceptions=tuple(f"{row['data_class']} on node {row['node']}: file(s) given up are still there." for row in stuck),
    )
