"""When a run must not go on without a person: the clock is in doubt, far more is due than usual, or rows lie in the future. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

import msgspec

APART = timedelta(minutes=5)  # between the store's clock and ours
QUIET = timedelta(days=31)  # nothing of ours happened for so long: was the clock set ahead?
TIMES = 3  # the usual volume
ALWAYS_FINE = 1_000  # rows; so few need no history
JUMPED = "clock_jumped"
CAUSES = frozenset({"clock_apart", "clock_back", "clock_ahead", JUMPED, "future_rows", "volume"})
CONFIRMED_FOR = timedelta(days=1)  # how long a person's word counts


class Brake(msgspec.Struct, frozen=True):
    """Why a run stops, and what to do."""

    cause: str  # a word for the audit log
    data_class: str | None
    detail: str


class Past(msgspec.Struct, frozen=True):
    """What an earlier run did for a class."""

    cutoff: datetime
    rows: int


def clock(host: datetime, store: datetime, last_receipt: datetime | None, last_seen: datetime | None) -> list[Brake]:
    """Return what is wrong with the time.

    Args:
        host: this machine's time.
        store: the store's.
        last_receipt: when the last receipt was written.
        last_seen: when anything of ours was last heard of.
    """
    found = []
    if abs(host - store) > APART:
        found.append(Brake("clock_apart", None, f"the store's clock and this machine's differ by {abs(host - store)}; set both by NTP"))
    if last_receipt is not None and host < last_receipt:
        found.append(Brake("clock_back", None, f"the clock is {last_receipt - host} before the last receipt; set it right"))
    if last_seen is not None and host - last_seen > QUIET:
        found.append(Brake("clock_ahead", None, f"nothing happened for {(host - last_seen).days} days; if that is so, confirm the incident"))
    return found


def jump(by_clock: float, by_count: float) -> list[Brake]:
    """Return a brake when the clock moved otherwise than time passed between two looks, both in seconds. Setting a clock little by little is none."""
    apart = by_clock - by_count
    if abs(apart) <= APART.total_seconds():
        return []
    way = "ahead" if apart > 0 else "back"
    return [Brake(JUMPED, None, f"the clock was set {way} by {timedelta(seconds=round(abs(apart)))}, or the machine slept; if it is right now, confirm this")]


def future(now: datetime, data_class: str, newest: datetime | None) -> list[Brake]:
    """Return a brake when a row is of a time that has not come."""
    if newest is None or newest <= now + APART:
        return []
    return [Brake("future_rows", data_class, f"a row lies {newest - now} ahead; set the clock of the node that booked it, then correct the row")]


def volume(data_class: str, due: int, cutoff: datetime, history: Sequence[Past]) -> list[Brake]:
    """Return a brake when far more is due than the days that the cutoff moved account for.

    Args:
        data_class: the class.
        due: rows that would go.
        cutoff: up to where.
        history: earlier runs, newest first. Without any there is nothing to compare with: the first run takes what is due.
    """
    if due <= ALWAYS_FINE or not history:
        return []
    usual = usual_per_day(history)
    if usual is None:
        return []
    moved = max((cutoff - history[0].cutoff) / timedelta(days=1), 1.0)
    expected = max(usual * moved * TIMES, ALWAYS_FINE)
    if due <= expected:
        return []
    detail = f"{due} rows are due, {usual * moved:.0f} are usual for {moved:.0f} day(s); look at 'retention plan', then confirm the incident"
    return [Brake("volume", data_class, detail)]


def usual_per_day(history: Sequence[Past]) -> float | None:
    """Return the median of rows a day over past runs; None when no two of them moved the cutoff."""
    pairs = pairwise(history)
    rates = [newer.rows / days for newer, older in pairs if (days := (newer.cutoff - older.cutoff) / timedelta(days=1)) > 0]
    return median(rates) if rates else None
