"""How long after it was due each row went, worked out from receipts: their days say when each row was due, to the day. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from functools import lru_cache

import msgspec

from retention.calendar import Period, YearEnd, deletable_at, midnight, parse_period, parse_year_end
from retention.classes import StartEvent
from retention.purge.catalogue import CATALOGUE
from ringfence.models import PurgeRunClass
from ringfence.models.base import DataClass
from ringfence.queries.report import Gone

Ruling = tuple[Period, YearEnd | None]


class Late(msgspec.Struct, frozen=True):
    """How late rows went, in seconds after the first moment at which they could."""

    rows: int
    median: float
    p95: float
    most: float
    early: int  # rows that went before that moment


def rulings(classes: Iterable[PurgeRunClass]) -> dict[tuple[str, str, str], Ruling]:
    """Return by run, class and policy the window its receipts went by, where a row's own time is what the window runs from."""
    return {
        (each.run_id, each.data_class, each.policy): (parse_period(each.period), parse_year_end(each.year_end) if each.year_end else None)
        for each in classes
        if runs_from_own_time(each.data_class, each.start_event)
    }


def runs_from_own_time(data_class: str, start: str) -> bool:
    """Tell whether the receipts of a class say when the window's event happened."""
    kept = CATALOGUE.get(DataClass(data_class), ())
    return bool(kept) and all(each.events.get(StartEvent(start)) == each.source.time for each in kept)


def lateness(gone: Iterable[Gone], ruled: Mapping[tuple[str, str, str], Ruling]) -> Late | None:
    """Return how late some rows went; None when no receipt tells."""
    found = sorted(
        ((part.at - _deletable(part.day, *ruled[key])).total_seconds(), part.rows)
        for part in gone
        if part.rows and (key := (part.run, part.data_class, part.policy)) in ruled
    )
    if not found:
        return None
    total = sum(rows for _, rows in found)
    return Late(total, _place(found, total, 0.5), _place(found, total, 0.95), found[-1][0], sum(rows for late, rows in found if late < 0))


def _place(found: list[tuple[float, int]], total: int, share: float) -> float:
    seen = 0
    for late, rows in found:
        seen += rows
        if seen >= share * total:
            return late
    return found[-1][0]


@lru_cache(maxsize=8192)
def _deletable(day: date, period: Period, year_end: YearEnd | None) -> datetime:
    return deletable_at(midnight(day), period, year_end)
