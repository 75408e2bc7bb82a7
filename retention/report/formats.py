"""What a report can be written as."""

from __future__ import annotations

from enum import StrEnum

from retention.report.model import Report


class Format(StrEnum):
    """A format, by the ending of its files."""

    HTML = "html"
    JSON = "json"
    CSV = "csv"
    PDF = "pdf"


TO_STDOUT = frozenset({Format.JSON, Format.CSV})  # when no file is named


def render(report: Report, form: Format) -> bytes:
    """Return the report's file; the same report gives the same content, whatever the moment."""
    from retention.report import as_csv, as_html, as_json, as_pdf  # noqa: PLC0415  some bring libraries that are slow to import

    writers = {Format.HTML: as_html.render, Format.JSON: as_json.render, Format.CSV: as_csv.render, Format.PDF: as_pdf.render}
    return writers[form](report)
