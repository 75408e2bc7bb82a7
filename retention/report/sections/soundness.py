"""Nothing went early, and nothing without a receipt: ages at deletion, and what was taken in against what is there and what went."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from retention.calendar import local_date, midnight
from retention.purge.conservation import Imbalance, imbalances
from retention.report.lateness import lateness, rulings
from retention.report.model import Column, Kind, Mark, Plot, Section, Series, Table
from retention.report.reading import Reading
from retention.verify.format import REASONS, Balance
from ringfence.models.base import DataClass
from ringfence.queries import report as queries
from ringfence.queries.report import Oldest

_WEEK = 7  # days in a bar of the plot
_BACK = 26  # weeks past the window's edge that the plot goes back

_AGES = (
    Column("data_class", "Class", Kind.WORD),
    Column("policy", "Policy"),
    Column("status", "Status", Kind.STATUS),
    Column("rows", "Rows deleted by age", Kind.COUNT),
    Column("receipts", "Receipts with rows", Kind.COUNT),
    Column("youngest_seconds", "Earliest age at deletion", Kind.DURATION),
    Column("early", "Rows deleted before they were due", Kind.COUNT),
    Column("median_seconds", "Lateness, half within", Kind.DURATION),
    Column("p95_seconds", "95 % within", Kind.DURATION),
    Column("most_seconds", "Latest", Kind.DURATION),
)
_OTHERS = (Column("data_class", "Class", Kind.WORD), Column("reason", "Reason", Kind.WORD), Column("rows", "Rows", Kind.COUNT))
_SIDES = ("sealed", "late", "live", *REASONS)
_MONTHS = (
    Column("month", "Month"),
    Column("data_class", "Class", Kind.WORD),
    Column("status", "Status", Kind.STATUS),
    Column("days", "Days", Kind.COUNT),
    Column("sealed", "Taken in", Kind.COUNT),
    Column("late", "Booked late", Kind.COUNT),
    Column("live", "There now", Kind.COUNT),
    Column("window", "Gone by age", Kind.COUNT),
    Column("erasure", "By erasure", Kind.COUNT),
    Column("correction", "By correction", Kind.COUNT),
    Column("moved", "Moved", Kind.COUNT),
    Column("missing", "Not accounted for", Kind.COUNT),
    Column("wrong_days", "Days that do not balance"),
)
_DAYS = (
    Column("day", "Day", Kind.DAY),
    Column("data_class", "Class", Kind.WORD),
    Column("missing", "Not accounted for", Kind.COUNT),
    Column("what", "In words"),
)


def soundness(reading: Reading) -> Section:
    """Return the section."""
    ages = _ages(reading)
    found = reading.balances
    wrong = imbalances(found)
    others = queries.other_reasons(reading.session, reading.span.begins_at, reading.span.ends_at)
    exceptions = [f"{row['data_class']} ({row['policy']}): {row['early']} row(s) were deleted before they were due." for row in ages if row["early"]]
    return Section(
        key="soundness",
        title="Nothing went early",
        text=(
            "Rows are counted when their day in London is over, and the count is sealed in the audit log: "
            "taken in + booked late = there now + gone by each reason. A row that is deleted or added by hand is named by class and day. "
            "Lateness is the time from the first moment a row could go to the moment it went, over the rows that went in the period."
        ),
        blocks=(
            Table("ages", f"Deleted by age, {reading.span}", _AGES, tuple(ages), empty="Nothing was deleted by age in the period."),
            Table(
                "others",
                f"Deleted for another reason, {reading.span}",
                _OTHERS,
                tuple({"data_class": data_class, "reason": reason, "rows": rows} for data_class, reason, rows in others),
                empty="Nothing was.",
            ),
            Table(
                "imbalances",
                "Days that do not balance, of all that were ever sealed",
                _DAYS,
                tuple({"day": each.day, "data_class": each.data_class, "missing": each.missing, "what": str(each)} for each in wrong),
                empty="None: every row that was taken in is there or has a receipt.",
            ),
            *_plots(reading, found),
            Table("months", "Every sealed day, by month; a count is of rows, a call's legs among them", _MONTHS, tuple(by_month(found, wrong)), folded=True),
        ),
        exceptions=(*exceptions, *(f"{each}." for each in wrong)),
    )


def by_month(found: Sequence[Balance], wrong: Iterable[Imbalance]) -> list[dict[str, Any]]:
    """Return a row for each month and class, newest first. Pure."""
    sums: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: dict.fromkeys(("days", *_SIDES), 0))
    for balance in found:
        row = sums[balance.day[:7], balance.data_class]
        row["days"] += 1
        for side in _SIDES:
            row[side] += getattr(balance, side)
    faults: dict[tuple[str, str], list[Imbalance]] = defaultdict(list)
    for each in wrong:
        faults[each.day.isoformat()[:7], each.data_class].append(each)
    return [
        {
            "month": month,
            "data_class": data_class,
            "status": "imbalance" if faults[month, data_class] else "balanced",
            **sums[month, data_class],
            "missing": sum(each.missing for each in faults[month, data_class]),
            "wrong_days": ", ".join(f"{each.day.isoformat()}: {each.missing:+d}" for each in faults[month, data_class]) or None,
        }
        for month, data_class in sorted(sums, key=lambda key: (key[0], key[1]), reverse=True)
    ]


def _ages(reading: Reading) -> list[dict[str, Any]]:
    ruled = rulings(reading.run_classes)
    gone = reading.gone
    youngest = queries.youngest_gone(reading.session, reading.span.begins_at, reading.span.ends_at)
    rows = []
    for data_class, policy in sorted({(part.data_class, part.policy) for part in gone}):
        parts = [part for part in gone if (part.data_class, part.policy) == (data_class, policy)]
        receipts = [each for each in youngest if (each.data_class, each.policy) == (data_class, policy)]
        late = lateness(parts, ruled)
        early = (late.early if late else 0) or sum(1 for each in receipts if each.newest_at >= each.cutoff_at)
        rows.append(
            {
                "data_class": data_class,
                "policy": policy,
                "status": "early" if early else "ok",
                "rows": sum(part.rows for part in parts),
                "receipts": len(receipts),
                "youngest_seconds": _youngest(receipts),
                "early": early,
                "median_seconds": late.median if late else None,
                "p95_seconds": late.p95 if late else None,
                "most_seconds": late.most if late else None,
            }
        )
    return rows


def _youngest(receipts: Sequence[Oldest]) -> int | None:
    return min((int((each.at - each.newest_at).total_seconds()) for each in receipts), default=None)


def _plots(reading: Reading, found: Sequence[Balance]) -> list[Plot]:
    """Return for each class whose days are sealed its rows by age, in weeks that begin or end at the window's edge."""
    plots = []
    for data_class in sorted({balance.data_class for balance in found}):
        cutoff = reading.policies.default.cutoff(DataClass(data_class), reading.now)
        days = {date.fromisoformat(balance.day): balance.live for balance in found if balance.data_class == data_class and balance.live}
        if cutoff is None or not days:
            continue
        edge = local_date(cutoff.at)
        weeks: dict[int, int] = defaultdict(int)
        for day, live in days.items():
            weeks[max((day - edge).days // _WEEK, -_BACK)] += live
        inside, past = _bars("within the window", weeks, edge, -1), _bars("past the window", weeks, edge, 1)
        over = int(sum(past.ys))
        caption = (
            f"Rows of {data_class} there now by the week they are of, against the window's edge at {edge.isoformat()}: "
            f"{over:,} past it, {int(sum(inside.ys)):,} within. Days that are sealed only; what is past it for more than {_BACK} weeks stands in one bar."
        )
        plots.append(Plot(f"age_{data_class}", caption, "rows", (inside, past), width_days=_WEEK, marks=(Mark("window's edge", cutoff.at),)))
    return plots


def _bars(name: str, weeks: dict[int, int], edge: date, side: int) -> Series:
    chosen = [week for week in sorted(weeks) if (week < 0) == (side > 0)]
    return Series(name, tuple(_begins(edge, week) for week in chosen), tuple(float(weeks[week]) for week in chosen))


def _begins(edge: date, week: int) -> datetime:
    return midnight(edge + timedelta(days=_WEEK * week))
