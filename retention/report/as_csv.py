"""The report as CSV: one table, a row for each class and policy. The other formats have everything."""

from __future__ import annotations

import io
from typing import Any

from retention.report.model import Report
from ringfence.csvfile import write_to
from ringfence.output import plain

COLUMNS = (
    "data_class",
    "policy",
    "basis",
    "window",
    "start",
    "minimum",
    "action",
    "legal",
    "status",
    "cutoff",
    "oldest",
    "over",
    "held",
    "late",
    "rows",
    "receipts",
    "youngest_seconds",
    "early",
    "median_seconds",
    "p95_seconds",
    "most_seconds",
)


def render(report: Report) -> bytes:
    """Return the file."""
    there = {(row["data_class"], row["policy"]): row for row in report.table("completeness", "classes").rows}
    files = {row["data_class"]: row for row in report.table("completeness", "files").rows}
    went = {(row["data_class"], row["policy"]): row for row in report.table("soundness", "ages").rows}
    rows = []
    for block in report.section("schedule").blocks:
        policy = block.key.removeprefix("schedule_").replace("_", "-")
        for scheduled in getattr(block, "rows", ()):
            key = (scheduled["data_class"], policy)
            row = {**files.get(key[0], {}), **there.get(key, {}), **went.get(key, {}), **scheduled, "policy": policy}
            row["status"] = there.get(key, files.get(key[0], {"status": "kept" if scheduled["start"] is None else "nothing_held"}))["status"]
            rows.append([_cell(row.get(name)) for name in COLUMNS])
    file = io.StringIO(newline="")
    write_to(file, COLUMNS, rows)
    return file.getvalue().encode("utf-8")


def _cell(value: Any) -> str:
    found = plain(value)
    return "" if found is None else str(found)
