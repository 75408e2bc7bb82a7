"""Draws plots: SVG for a page, PNG for paper. Matplotlib is slow to import and is imported when something is drawn."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from retention.report.model import Plot

# Dark enough on white, told apart by hatching and line style too, and safe for colour-blind readers (Okabe and Ito).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#555555")
_HATCHES = ("", "///", "...", "xx")
_LINES = ("-", "--", ":", "-.")
_SIZE = (7.2, 2.7)  # inches
_SHORTEST = timedelta(days=28)
_DAYS_NAMED = timedelta(days=150)  # what is shorter has days on its axis, what is longer months
_ID = re.compile(r'(\bid="|xlink:href="#|url\(#)')
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_STYLE: Any = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "none",  # texts stay texts, for screen readers and search
    "svg.hashsalt": "ringfence",
    "text.parse_math": False,
}


def svg(plot: Plot, prefix: str) -> str:
    """Return a plot as an `<svg>` element; `prefix` keeps its ids apart from those of others on the page."""
    with _drawn(plot) as figure:
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = _METADATA.sub("", file.getvalue())
    text = text[text.index("<svg") :]
    text = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", text, count=1) if 'width="' in text[:400] else text
    return _ID.sub(lambda match: f"{match[1]}{prefix}", text).strip()


def png(plot: Plot, dots_per_inch: int = 160) -> bytes:
    """Return a plot as a PNG file."""
    with _drawn(plot) as figure:
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=dots_per_inch)
    return file.getvalue()


@contextmanager
def _drawn(plot: Plot) -> Iterator[Any]:
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes: Any = figure.subplots()
        for number, series in enumerate(plot.series):
            if series.xs:
                _draw(axes, plot, number, series.name, list(series.xs), list(series.ys))
        for mark in plot.marks:
            axes.axvline(mark.at, color="#000000", linewidth=1.6, linestyle=(0, (4, 2)))
            axes.annotate(mark.name, (mark.at, 1), xycoords=("data", "axes fraction"), xytext=(0, 2), textcoords="offset points", va="bottom", ha="center")
        axes.set_ylim(bottom=0)
        axes.set_xlim(*_span(plot))
        axes.set_ylabel(plot.y_title)
        axes.yaxis.grid(visible=True, color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        _scale(axes, _span(plot))
        if sum(1 for series in plot.series if series.xs) > 1:
            figure.legend(loc="outside lower center", ncols=len(plot.series), frameon=False)
        yield figure


def _draw(axes: Any, plot: Plot, number: int, name: str, xs: list[Any], ys: list[float]) -> None:
    colour = _COLOURS[number % len(_COLOURS)]
    if plot.bars:
        width = timedelta(days=plot.width_days * 0.92)
        axes.bar(xs, ys, width=width, align="edge", color=colour, hatch=_HATCHES[number % len(_HATCHES)], edgecolor="#ffffff", linewidth=0.3, label=name)
        return
    axes.plot(xs, ys, color=colour, linestyle=_LINES[number % len(_LINES)], marker="o", markersize=2.5, linewidth=1.3, label=name)


def _span(plot: Plot) -> tuple[datetime, datetime]:
    """Return from when to when it goes: at least some weeks, so that one run alone has a place in time."""
    moments = [x for series in plot.series for x in series.xs] + [mark.at for mark in plot.marks]
    first, last = min(moments), max(moments) + (timedelta(days=plot.width_days) if plot.bars else timedelta())
    edge = max((last - first) * 0.02, (_SHORTEST - (last - first)) / 2)
    return first - edge, last + edge


def _scale(axes: Any, span: tuple[datetime, datetime]) -> None:
    import matplotlib.dates as mpl_dates  # noqa: PLC0415
    from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: PLC0415

    dates: Any = mpl_dates
    locator = dates.AutoDateLocator(maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.DateFormatter("%d %b %Y" if span[1] - span[0] < _DAYS_NAMED else "%b %Y"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value == int(value) else f"{value:,.2g}"))
