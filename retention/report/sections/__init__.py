"""The sections of the report, in order. To add one: a function from a `Reading` to a `Section`, and a line here."""

from __future__ import annotations

from collections.abc import Callable

from retention.report.model import Section
from retention.report.reading import Reading
from retention.report.sections.aggregates import aggregates
from retention.report.sections.claims import claims
from retention.report.sections.completeness import completeness
from retention.report.sections.cover import cover
from retention.report.sections.emergency import emergency
from retention.report.sections.emergency_tests import emergency_tests
from retention.report.sections.files import files
from retention.report.sections.holds import holds
from retention.report.sections.incidents import incidents
from retention.report.sections.runs import runs
from retention.report.sections.schedule import schedule
from retention.report.sections.soundness import soundness

Make = Callable[[Reading], Section]

SECTIONS: tuple[Make, ...] = (cover, schedule, completeness, soundness, runs, files, holds, aggregates, emergency, emergency_tests, incidents, claims)
