"""What a report is, whatever it is written as: sections of facts, tables, plots and openable evidence, each with how it was asked. Frozen, and pure data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from retention.report.span import Span
from ringfence.queries.asked import Asked


class Kind(StrEnum):
    """How a value is shown."""

    TEXT = "text"
    WORD = "word"  # of the product's own: shown with spaces for underscores
    COUNT = "count"
    MOMENT = "moment"  # aware UTC
    DAY = "day"
    DURATION = "duration"  # seconds
    MILLISECONDS = "milliseconds"
    STATUS = "status"  # a word that says whether something is as it should be
    CODE = "code"  # a digest, an id, a command: may be broken anywhere


class Column(msgspec.Struct, frozen=True):
    """One column of a table, or one fact."""

    key: str  # in JSON
    title: str
    kind: Kind = Kind.TEXT


class Table(msgspec.Struct, frozen=True):
    """Rows. The first column names the row."""

    key: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Any], ...]
    empty: str = "None."
    most: int | None = None  # so many rows, from the first, are shown to people; JSON has all
    folded: bool = False  # a page opens it on demand


class Facts(msgspec.Struct, frozen=True):
    """Single figures. One that is missing is shown as such."""

    key: str
    caption: str
    columns: tuple[Column, ...]
    values: Mapping[str, Any]


class Series(msgspec.Struct, frozen=True):
    """One row of bars, or one line, of a plot."""

    name: str
    xs: tuple[datetime, ...]
    ys: tuple[float, ...]


class Mark(msgspec.Struct, frozen=True):
    """An upright line in a plot."""

    name: str
    at: datetime


class Plot(msgspec.Struct, frozen=True):
    """A figure over time."""

    key: str
    caption: str  # says in words what it shows
    y_title: str
    series: tuple[Series, ...]
    bars: bool = True
    width_days: float = 1.0  # of a bar
    marks: tuple[Mark, ...] = ()


class Checked(msgspec.Struct, frozen=True):
    """One check that something rests on."""

    name: str
    shows: str  # what it computes
    status: str
    reason: str  # why it did not pass
    result: str  # as JSON
    at: datetime
    asked: tuple[Asked, ...] = ()


class Opening(msgspec.Struct, frozen=True):
    """A line with a status that opens what it rests on: a promise and its evidence."""

    id: str
    title: str
    status: str
    checks: tuple[Checked, ...]


class Openings(msgspec.Struct, frozen=True):
    """Several of them."""

    key: str
    caption: str
    items: tuple[Opening, ...]
    empty: str = "None."


Block = Table | Facts | Plot | Openings


class Section(msgspec.Struct, frozen=True):
    """A part of the report."""

    key: str
    title: str
    text: str  # what it is, in a sentence or two
    blocks: tuple[Block, ...]
    exceptions: tuple[str, ...] = ()  # what is not as it should be, a sentence each
    asked: tuple[Asked, ...] = ()  # every query it rests on; filled in by whoever gathers


class Report(msgspec.Struct, frozen=True):
    """All of it."""

    made_at: datetime
    span: Span
    title: str
    controller: str
    sections: tuple[Section, ...]

    def section(self, key: str) -> Section:
        """Return a section.

        Raises:
            KeyError: there is none of this key.
        """
        return next((section for section in self.sections if section.key == key), None) or _missing(key)

    def table(self, section: str, key: str) -> Table:
        """Return a table of a section.

        Raises:
            KeyError: there is none of this key.
        """
        return next((block for block in self.section(section).blocks if isinstance(block, Table) and block.key == key), None) or _missing(key)


# What each status says, for people; by the word, not by colour alone.
GOOD = frozenset({"complete", "held", "kept", "pass", "balanced", "done", "nothing_due", "closed", "removed", "current", "ok", "alive"})
BAD = frozenset(
    {"behind", "fail", "imbalance", "failed", "stopped", "unfinished", "early", "overdue", "not_removed", "missed", "late", "not_signed", "silent", "never"}
)


def tone(status: str) -> str:
    """Return how a status is to be taken: good, bad, or open."""
    return "good" if status in GOOD else "bad" if status in BAD else "open"


def _missing(key: str) -> Any:
    raise KeyError(key)
