"""The report as one page: nothing is fetched, everything stored is text, readable on a telephone, on paper, and by a screen reader."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Any

from retention.report import plots
from retention.report.model import Facts, Openings, Plot, Report, Table, tone
from retention.report.words import NOT_SET, parameters, shown

_FOLDER = files("retention.report").joinpath("templates")


def render(report: Report) -> bytes:
    """Return the page."""
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415  slow to import
    from markupsafe import Markup  # noqa: PLC0415

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"shown": shown, "tone": tone, "parameters": parameters}
    environment.tests |= {"table": _is(Table), "facts": _is(Facts), "plot": _is(Plot), "openings": _is(Openings)}
    script, style = _read("report.js"), _read("report.css")
    page = environment.from_string(_read("report.html.j2")).render(
        report=report,
        not_set=NOT_SET,
        style=Markup(style),  # noqa: S704  our own file
        script=Markup(script),  # noqa: S704  our own file
        script_hash=b64encode(sha256(script.encode()).digest()).decode(),
        svg=lambda plot, prefix: Markup(plots.svg(plot, prefix)),  # noqa: S704  drawn by Matplotlib, which escapes texts
    )
    return page.encode("utf-8")


def _read(name: str) -> str:
    return _FOLDER.joinpath(name).read_text(encoding="utf-8")


def _is(kind: type) -> Any:
    return lambda block: isinstance(block, kind)
