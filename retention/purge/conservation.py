"""What was taken in is there or has a receipt: for each class and London day, sealed + late = live + gone by reason.

A day's rows are counted when it is over, and the count goes into the audit log. A row that somebody deletes or inserts by hand then shows as an imbalance
with a class and a day, in either engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import msgspec
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from retention.calendar import local_date, midnight
from retention.purge.catalogue import COUNTED
from retention.verify.format import REASONS, Balance, Intake
from ringfence.audit import log
from ringfence.audit.log import Draft
from ringfence.clock import Clock
from ringfence.models.base import DataClass
from ringfence.queries import conservation, intake, runs
from ringfence.queries.conservation import begin_alone as begin
from ringfence.session import make_sessions

GRACE = timedelta(hours=2)  # after midnight, so that calls over midnight are mostly booked
_AT_ONCE = 31  # days sealed in one transaction: booking waits for it
_DAY = timedelta(days=1)
TABLES = frozenset(table for tables in COUNTED.values() for table, _ in tables)


class Imbalance(msgspec.Struct, frozen=True):
    """A class and a day whose rows are not accounted for."""

    data_class: str
    day: date
    missing: int  # rows gone without a receipt; below 0: rows that nobody took in

    def __str__(self) -> str:
        """Return it in one sentence."""
        what = f"{self.missing} row(s) are gone without a receipt" if self.missing > 0 else f"{-self.missing} row(s) more than were taken in"
        return f"{self.data_class} of {self.day.isoformat()}: {what}"


def seal(engine: Engine, clock: Clock, now: datetime) -> int:
    """Seal every day that is over and is not sealed, and tell of late arrivals; return how many days were sealed."""
    last = local_date(now - GRACE) - _DAY
    sessions, sealed = make_sessions(engine), 0
    for data_class in COUNTED:
        while True:
            with sessions.begin() as session:
                begin(session)
                intake.stop_intake(session)
                days = _unsealed(session, data_class, last)[:_AT_ONCE]
                _seal(session, clock, data_class, days, now)
            sealed += len(days)
            if len(days) < _AT_ONCE:
                break
    with sessions.begin() as session:
        begin(session)
        tell_late(session, clock)
    return sealed


def tell_late(session: Session, clock: Clock) -> int:
    """Write into the audit log what came late since it was last told; return on how many days."""
    days = conservation.untold(session)
    drafts = [Draft(Intake.LATE, Intake(day.data_class, day.day.isoformat(), day.late - day.late_told).fields(), "worker") for day in days]
    for day in days:
        conservation.mark_told(session, day)
    if drafts:
        log.append_all(session, clock, drafts)
    return len(days)


def balances(session: Session) -> list[Balance]:
    """Return one balance for each sealed day and class, as bundles and reports show it. Read it in a snapshot, after `tell_late`."""
    return [balance for data_class in COUNTED for balance in _balances(session, data_class)]


def imbalances(found: Sequence[Balance]) -> list[Imbalance]:
    """Return what does not balance. Pure."""
    missing = ((balance, balance.sealed + balance.late - balance.live - sum(getattr(balance, reason) for reason in REASONS)) for balance in found)
    return [Imbalance(balance.data_class, date.fromisoformat(balance.day), count) for balance, count in missing if count]


def _balances(session: Session, data_class: DataClass) -> list[Balance]:
    days = conservation.list_sealed(session, data_class.value)
    if not days:
        return []
    live = _count(session, data_class, [day.begins_at for day in days], days[-1].ends_at)
    gone = runs.receipted_by_day(session, data_class.value)
    return [
        Balance(
            data_class=data_class.value,
            day=day.day.isoformat(),
            sealed=day.rows,
            late=day.late,
            live=live[number],
            window=gone.get(day.day, {}).get("window", 0),
            erasure=gone.get(day.day, {}).get("erasure", 0),
            correction=gone.get(day.day, {}).get("correction", 0),
            moved=gone.get(day.day, {}).get("moved", 0),
        )
        for number, day in enumerate(days)
    ]


def _unsealed(session: Session, data_class: DataClass, last: date) -> list[date]:
    """Return the days to be sealed, in order: from the oldest row, or after the last sealed day, to `last`; also older ones that were opened since."""
    oldest = [moment for table, column in COUNTED[data_class] if (moment := conservation.oldest_row(session, table, column)) is not None]
    first = local_date(min(oldest)) if oldest else None
    bounds = conservation.sealed_bounds(session, data_class)
    if bounds is None:
        return _days(first, last) if first else []
    before = _days(first, bounds[0] - _DAY) if first else []
    return [*before, *_days(bounds[1] + _DAY, last)]


def _seal(session: Session, clock: Clock, data_class: DataClass, days: Sequence[date], now: datetime) -> None:
    if not days:
        return
    starts = [midnight(day) for day in days]
    ends = [midnight(day + _DAY) for day in days]
    rows = [count for stretch in _stretches(days) for count in _count(session, data_class, [midnight(day) for day in stretch], midnight(stretch[-1] + _DAY))]
    gone = runs.receipted_by_day(session, data_class.value)
    counts = [count + sum(gone.get(day, {}).values()) for day, count in zip(days, rows, strict=True)]
    sealed = zip(days, starts, ends, counts, strict=True)
    conservation.add_sealed(
        session,
        [
            {"data_class": data_class.value, "day": day, "begins_at": lo, "ends_at": hi, "rows": count, "sealed_at": now, "late": 0, "late_told": 0}
            for day, lo, hi, count in sealed
        ],
    )
    told = (Intake(data_class.value, day.isoformat(), count) for day, count in zip(days, counts, strict=True))
    log.append_all(session, clock, [Draft(Intake.SEALED, entry.fields(), "worker") for entry in told])


def _count(session: Session, data_class: DataClass, starts: Sequence[datetime], end: datetime) -> list[int]:
    """Return how many rows of a class lie between each start and the next, the last one ending at `end`."""
    counts = [conservation.count_by_day(session, table, column, starts, end) for table, column in COUNTED[data_class]]
    return [sum(of_day) for of_day in zip(*counts, strict=True)]


def _stretches(days: Sequence[date]) -> list[list[date]]:
    """Return days, which are in order, as stretches without a gap."""
    found: list[list[date]] = []
    for day in days:
        if found and day == found[-1][-1] + _DAY:
            found[-1].append(day)
        else:
            found.append([day])
    return found


def _days(first: date, last: date) -> list[date]:
    return [first + n * _DAY for n in range((last - first).days + 1)]
