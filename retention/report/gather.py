"""Gathers a report: every section from one snapshot of the store, each with the queries that it rests on. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from retention.report.model import Column, Report, Section, Table
from retention.report.reading import Reading
from retention.report.sections import SECTIONS, Make
from retention.report.span import Span
from ringfence.clock import Clock
from ringfence.queries.asked import recording
from ringfence.queries.conservation import begin_snapshot
from ringfence.settings import Settings

TITLE = "Retention report"
Timed = Callable[[str, float], None]


def gather(
    session: Session,
    settings: Settings,
    clock: Clock,
    span: Span,
    *,
    sections: tuple[Make, ...] = SECTIONS,
    timed: Timed = lambda _key, _seconds: None,
) -> Report:
    """Return the report of a period as the store is now.

    Args:
        session: fresh; its transaction becomes the snapshot.
        settings: whose installation it is.
        clock: the clock; every cutoff is computed for its moment.
        span: the period.
        sections: what to gather, in order.
        timed: told how many seconds each section took.

    Raises:
        Misconfigured: an account is under a policy that nobody knows.
    """
    now = clock.now()
    begin_snapshot(session)
    made: list[Section] = []
    with recording(session, clock) as asked:
        reading = Reading(session, settings, clock, span, now, asked)
        for make in sections:
            began = clock.monotonic()
            section = make(reading)
            made.append(_with(section, reading))
            timed(section.key, clock.monotonic() - began)
    return Report(now, span, TITLE, settings.controller.name.strip(), (*made[:1], _exceptions(made), *made[1:]))


def _with(section: Section, reading: Reading) -> Section:
    return Section(section.key, section.title, section.text, section.blocks, section.exceptions, (*section.asked, *reading.recording.taken()))


def _exceptions(made: list[Section]) -> Section:
    """Return the section that names whatever any other found not to be as it should."""
    rows = tuple({"section": section.title, "what": what} for section in made for what in section.exceptions)
    columns = (Column("section", "Section"), Column("what", "What"))
    return Section(
        key="exceptions",
        title="Exceptions",
        text="Whatever any section below found not to be as it should.",
        blocks=(Table("exceptions", "By section", columns, rows, empty="None: every section is as it should be.", most=100),),
    )
