"""The report as JSON: every figure of every section, whole, by keys that stay. Described in docs/design/report.md."""

from __future__ import annotations

import json
from typing import Any

from retention.report.model import Facts, Openings, Plot, Report, Section, Table
from ringfence.output import plain

FORMAT, VERSION = "ringfence-retention-report", 1


def render(report: Report) -> bytes:
    """Return the file."""
    return (json.dumps(document(report), indent=2) + "\n").encode("ascii")


def document(report: Report) -> dict[str, Any]:
    """Return the report as JSON has it."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "title": report.title,
        "made_at": plain(report.made_at),
        "period": plain({"first": report.span.first, "end": report.span.end, "begins_at": report.span.begins_at, "ends_at": report.span.ends_at}),
        "controller": report.controller or None,
        "sections": {section.key: _section(section) for section in report.sections},
    }


def _section(section: Section) -> dict[str, Any]:
    found: dict[str, Any] = {"title": section.title, "text": section.text, "exceptions": list(section.exceptions)}
    kinds = {"facts": Facts, "tables": Table, "plots": Plot, "evidence": Openings}
    for name, kind in kinds.items():
        blocks = {block.key: _block(block) for block in section.blocks if isinstance(block, kind)}
        if blocks:
            found[name] = blocks
    return {**found, "asked": plain(section.asked)}


def _block(block: Any) -> Any:
    if isinstance(block, Facts):
        return plain(block.values)
    if isinstance(block, Table):
        return plain(block.rows)
    if isinstance(block, Plot):
        return {
            "caption": block.caption,
            "unit": block.y_title,
            "series": [{"name": series.name, "points": [[plain(x), y] for x, y in zip(series.xs, series.ys, strict=True)]} for series in block.series],
            "marks": plain(block.marks),
        }
    return plain(block.items)
