"""The report as PDF: the same sections, with tables that go on over pages and repeat their heads. ReportLab is imported when a report is written."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from retention.report import plots
from retention.report.model import Column, Facts, Kind, Openings, Plot, Report, Section, Table, tone
from retention.report.words import NOT_SET, parameters, shown
from ringfence.queries.asked import Asked

_MARGIN = 34.0  # points
_FONT, _BOLD, _MONO = "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono"
_COLOURS = {"good": "#0b5a24", "bad": "#8f0d0d", "open": "#3d3d3d"}
_WIDTHS = {Kind.COUNT: 0.7, Kind.DURATION: 0.8, Kind.MILLISECONDS: 0.7, Kind.STATUS: 0.8, Kind.DAY: 0.8, Kind.CODE: 1.3, Kind.TEXT: 1.3}
_LONG = frozenset({"description", "legal", "what", "detail", "outcomes", "minimum"})  # columns of sentences
_QUERY = 1_200  # characters of a query that are printed; JSON and the page have all
_NUMBERS = frozenset({Kind.COUNT, Kind.DURATION, Kind.MILLISECONDS})


def render(report: Report) -> bytes:
    """Return the file."""
    return _Paper(report).made()


class _Paper:
    """One report on A4, landscape."""

    def __init__(self, report: Report) -> None:
        from reportlab.lib.pagesizes import A4, landscape  # noqa: PLC0415
        from reportlab.lib.styles import ParagraphStyle  # noqa: PLC0415

        _register_fonts()
        self._report = report
        self._size = landscape(A4)
        self._width = self._size[0] - 2 * _MARGIN
        base = ParagraphStyle("text", fontName=_FONT, fontSize=8.5, leading=11.5, spaceAfter=5, splitLongWords=1)
        cell = ParagraphStyle("cell", base, fontSize=6.8, leading=8.6, spaceAfter=0)
        self._styles = {
            "text": base,
            "title": ParagraphStyle("title", base, fontName=_BOLD, fontSize=20, leading=25),
            "section": ParagraphStyle("section", base, fontName=_BOLD, fontSize=13, leading=17, spaceBefore=14),
            "caption": ParagraphStyle("caption", base, fontName=_BOLD, fontSize=8.5, spaceBefore=7),
            "exception": ParagraphStyle("exception", base, textColor=_COLOURS["bad"], leftIndent=8, spaceAfter=2),
            "cell": cell,
            "number": ParagraphStyle("number", cell, alignment=2),
            "code": ParagraphStyle("code", cell, fontName=_MONO, fontSize=6.2, leading=8, spaceBefore=3),
            "head": ParagraphStyle("head", cell, fontName=_BOLD),
        }

    def made(self) -> bytes:
        """Return the file."""
        from reportlab.platypus import SimpleDocTemplate  # noqa: PLC0415

        file = io.BytesIO()
        made = SimpleDocTemplate(
            file,
            pagesize=self._size,
            leftMargin=_MARGIN,
            rightMargin=_MARGIN,
            topMargin=_MARGIN,
            bottomMargin=_MARGIN + 8,
            title=f"{self._report.title}, {self._report.span}",
            author=self._report.controller or "not set",
            lang="en-GB",
        )
        made.build(list(self._story()), onFirstPage=self._foot, onLaterPages=self._foot)
        return file.getvalue()

    def _foot(self, canvas: Any, page: Any) -> None:
        canvas.setFont(_FONT, 7)
        left = f"{self._report.title}, {self._report.span}, made at {shown(self._report.made_at, Kind.MOMENT)}"
        canvas.drawString(_MARGIN, _MARGIN - 8, f"{self._report.controller or 'controller not set'}: {left}"[:170])
        canvas.drawRightString(self._size[0] - _MARGIN, _MARGIN - 8, f"page {page.page}")

    def _story(self) -> Iterator[Any]:
        report = self._report
        yield self._text(report.controller or "controller not set", "text" if report.controller else "exception")
        yield self._text(report.title, "title")
        yield self._text(f"{report.span}, days of London. Made at {shown(report.made_at, Kind.MOMENT)}.")
        for section in report.sections:
            yield from self._section(section)

    def _section(self, section: Section) -> Iterator[Any]:
        yield self._room(110)
        yield self._text(section.title, "section")
        yield self._text(section.text)
        for each in section.exceptions[:20]:
            yield self._text(f"Exception: {each}", "exception")
        if len(section.exceptions) > 20:
            yield self._text(f"And {len(section.exceptions) - 20} more.", "exception")
        for block in section.blocks:
            yield from self._block(block)
        if section.asked:
            yield self._room(50)
            yield self._text("How this was asked", "caption")
            yield from self._asked(section.asked)

    def _block(self, block: Any) -> Iterator[Any]:
        yield self._room(60)
        yield self._text(block.caption, "caption")
        if isinstance(block, Facts):
            yield self._pairs([(column.title, *_fact(block, column)) for column in block.columns])
        elif isinstance(block, Table):
            yield from self._table(block)
        elif isinstance(block, Plot):
            yield self._plot(block)
        elif isinstance(block, Openings):
            yield from self._openings(block)

    def _table(self, block: Table) -> Iterator[Any]:
        rows = block.rows[: block.most] if block.most else block.rows
        if not rows:
            yield self._text(block.empty)
            return
        head = [self._text(column.title, "head") for column in block.columns]
        body = [[self._cell(row[column.key], column) for column in block.columns] for row in rows]
        yield self._grid([head, *body], self._widths(block.columns), repeat=1)
        if len(block.rows) > len(rows):
            yield self._text(f"{len(block.rows) - len(rows)} more are in the report as JSON.")

    def _openings(self, block: Openings) -> Iterator[Any]:
        if not block.items:
            yield self._text(block.empty)
        for item in block.items:
            yield self._text(f"{item.id}: {shown(item.status, Kind.STATUS)}. {item.title}", "exception" if tone(item.status) == "bad" else "text")
            for check in item.checks:
                yield self._text(f"{shown(check.name, Kind.WORD)} ({shown(check.status, Kind.STATUS)}): {shown(check.shows, Kind.TEXT)}", "cell")
                why = f"Why: {check.reason}. " if check.reason else ""
                result = f"Result at {shown(check.at, Kind.MOMENT)}: {check.result}" if check.result else ""
                yield self._text(shown((why + result)[:_QUERY], Kind.TEXT), "cell")
                yield from self._asked(check.asked)

    def _asked(self, asked: Sequence[Asked]) -> Iterator[Any]:
        for each in asked:
            yield self._text(each.query if len(each.query) <= _QUERY else each.query[:_QUERY] + " …", "code")
            more = f", and {each.times - 1} more times with others" if each.times > 1 else ""
            result = f" Result: {each.result}." if each.result else ""
            yield self._text(f"Parameters: {parameters(each.parameters)}{more}.{result} Asked at {shown(each.at, Kind.MOMENT)}.", "cell")

    def _pairs(self, rows: Sequence[tuple[str, Any, Kind]]) -> Any:
        made = [[self._text(name, "cell"), self._cell(value, Column("", "", kind), number=False)] for name, value, kind in rows]
        return self._grid(made, [self._width * 0.22, self._width * 0.55])

    def _cell(self, value: Any, column: Column, *, number: bool = True) -> Any:
        text = shown(value, column.kind)
        if column.kind is Kind.CODE:
            return self._text(text, "code")
        if column.kind is Kind.STATUS and value is not None:
            return self._markup(f'<font name="{_BOLD}" color="{_COLOURS[tone(str(value))]}">{_marked(text)}</font>', "cell")
        return self._text(text, "number" if number and column.kind in _NUMBERS else "cell")

    def _grid(self, cells: list[list[Any]], widths: list[float], repeat: int = 0) -> Any:
        from reportlab.lib.colors import HexColor  # noqa: PLC0415
        from reportlab.platypus import LongTable  # noqa: PLC0415

        style = [("VALIGN", (0, 0), (-1, -1), "TOP"), ("LINEBELOW", (0, 0), (-1, -1), 0.4, HexColor("#cccccc"))]
        style += [("LEFTPADDING", (0, 0), (-1, -1), 2.5), ("RIGHTPADDING", (0, 0), (-1, -1), 2.5), ("TOPPADDING", (0, 0), (-1, -1), 1.5)]
        style += [("BOTTOMPADDING", (0, 0), (-1, -1), 2)]
        if repeat:
            style.append(("LINEBELOW", (0, 0), (-1, 0), 1, HexColor("#1a1a1a")))
        return LongTable(cells, colWidths=widths, repeatRows=repeat, splitInRow=1, hAlign="LEFT", style=style, spaceAfter=6)

    def _widths(self, columns: Sequence[Column]) -> list[float]:
        weights = [2.4 if column.key in _LONG else _WIDTHS.get(column.kind, 1.0) for column in columns]
        return [self._width * weight / sum(weights) for weight in weights]

    def _room(self, points: float) -> Any:
        """Return what begins a new page unless so much of this one is left: a heading stands above something."""
        from reportlab.platypus import CondPageBreak  # noqa: PLC0415

        return CondPageBreak(points)

    def _plot(self, plot: Plot) -> Any:
        from reportlab.platypus import Image  # noqa: PLC0415

        return Image(io.BytesIO(plots.png(plot)), width=self._width * 0.62, height=self._width * 0.62 * 2.7 / 7.2, hAlign="LEFT")

    def _text(self, text: str, style: str = "text") -> Any:
        return self._markup(_marked(text), style)

    def _markup(self, markup: str, style: str) -> Any:
        from reportlab.platypus import Paragraph  # noqa: PLC0415

        return Paragraph(markup, self._styles[style])


def _fact(block: Facts, column: Column) -> tuple[Any, Kind]:
    value = block.values[column.key]
    return (NOT_SET, Kind.STATUS) if value is None and block.key == "controller" else (value, column.kind)


def _marked(text: str) -> str:
    """Return stored text as ReportLab's markup: nothing in it is a tag."""
    return escape(text).replace("\n", "<br/>")


def _register_fonts() -> None:
    """Take the fonts that Matplotlib brings: those of PDF itself know Latin letters only."""
    import matplotlib as mpl  # noqa: PLC0415
    from reportlab.pdfbase import pdfmetrics  # noqa: PLC0415
    from reportlab.pdfbase.ttfonts import TTFont  # noqa: PLC0415

    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    known: Mapping[str, Any] = dict.fromkeys(pdfmetrics.getRegisteredFontNames())
    for name in (_FONT, _BOLD, _MONO):
        if name not in known:
            pdfmetrics.registerFont(TTFont(name, str(folder / f"{name}.ttf")))
