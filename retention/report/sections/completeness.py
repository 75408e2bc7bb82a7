"""Nothing older remains: for each class and policy the oldest row, how many are past their window, and how many of those legal holds keep."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from retention.purge import files
from retention.purge.catalogue import OTHERWISE
from retention.purge.planner import Item, items_of
from retention.report.model import Column, Facts, Kind, Section, Table
from retention.report.reading import Reading
from retention.standing import TARGET
from ringfence.models import Base
from ringfence.models.base import DataClass
from ringfence.queries import due as due_rows
from ringfence.queries import holds, ledger, proof
from ringfence.queries import report as queries
from ringfence.queries.asked import Asked
from ringfence.queries.due import Due

COUNTED = 200_000  # rows past their window of which legal holds' share is counted; when there are more, the class is behind anyway

_CLASSES = (
    Column("data_class", "Class", Kind.WORD),
    Column("policy", "Policy"),
    Column("status", "Status", Kind.STATUS),
    Column("window", "Kept"),
    Column("cutoff", "Window's edge", Kind.MOMENT),
    Column("oldest", "Oldest row", Kind.MOMENT),
    Column("oldest_age_seconds", "Its age", Kind.DURATION),
    Column("over", "Rows past the window", Kind.COUNT),
    Column("held", "Of those under legal hold", Kind.COUNT),
    Column("late", "Of the rest past it for more than a day", Kind.COUNT),
)
_FILES = (
    Column("data_class", "Class", Kind.WORD),
    Column("status", "Status", Kind.STATUS),
    Column("cutoff", "Window's edge", Kind.MOMENT),
    Column("oldest", "Newest datum of the oldest file", Kind.MOMENT),
    Column("over", "Files past the window", Kind.COUNT),
    Column("waiting", "Of those not booked yet", Kind.COUNT),
)
_OTHERWISE = (Column("table", "Table", Kind.CODE), Column("data_class", "Class", Kind.WORD), Column("why", "Why"))
_NOTHING = (Column("data_class", "Class", Kind.WORD), Column("window", "Kept"), Column("cutoff", "Window's edge", Kind.MOMENT))
_LEGS = (Column("strays", "Of the oldest 20,000 past the window, those whose call is gone", Kind.COUNT),)


def completeness(reading: Reading) -> Section:
    """Return the section."""
    items = [item for policy in reading.policies.all for item in items_of(policy, reading.now, default=policy is reading.policies.default)]
    rows = [_row(reading, item) for item in items if item.sources]
    rows += [_audit_log(reading, item) for item in items if item.data_class is DataClass.AUDIT_LOG and item.default]
    nothing = [item for item in items if not item.sources and item.default and item.data_class not in {*files.CLASSES, DataClass.AUDIT_LOG}]
    of_files = _files(reading)
    strays = _strays(reading, items)
    exceptions = [f"{row['data_class']} ({row['policy']}): {_said(row)}." for row in rows if row["status"] == "behind"]
    exceptions += [f"{row['data_class']}: {row['over']} file(s) on this node are past their window." for row in of_files if row["status"] == "behind"]
    exceptions += [f"{strays} leg(s) past the window have lost their call."] if strays else []
    return Section(
        key="completeness",
        title="Nothing older remains",
        text=(
            "Counted in the live store. Rows past the window must be none, or those under legal hold; what became due within a day goes with the next run. "
            "Rows past their window are shown to nobody, also before they go."
        ),
        blocks=(
            Table("classes", "Rows, by class and policy", _CLASSES, tuple(sorted(rows, key=lambda row: (row["policy"], row["data_class"])))),
            Facts("legs", "Legs of calls", _LEGS, {"strays": strays}),
            Table("files", f"Files of node {reading.settings.node}; other nodes look after their own", _FILES, tuple(of_files)),
            Table("otherwise", "Tables whose rows do not end by age", _OTHERWISE, tuple(_otherwise()), folded=True),
            Table("nothing", "Classes of which no table holds anything yet", _NOTHING, tuple(_nothing(reading, item) for item in nothing), folded=True),
        ),
        exceptions=tuple(exceptions),
    )


def _row(reading: Reading, item: Item) -> dict[str, Any]:
    oldest = min((found for due in item.sources if (found := queries.oldest_row(reading.session, due)) is not None), default=None)
    over = [queries.count_over(reading.session, due) for due in item.sources]
    held, late = _shares(reading, item, sum(over)) if any(over) else (0, 0)
    return _found(reading, item, oldest, sum(over), held, late)


def _found(reading: Reading, item: Item, oldest: datetime | None, over: int, held: int | None, late: int | None) -> dict[str, Any]:
    return {
        "data_class": item.data_class.value,
        "policy": item.policy,
        "status": _status(over, held, late),
        "window": _window(reading, item),
        "cutoff": item.cutoff.at,
        "oldest": oldest,
        "oldest_age_seconds": None if oldest is None else int((reading.now - oldest).total_seconds()),
        "over": over,
        "held": held,
        "late": late,
    }


def _audit_log(reading: Reading, item: Item) -> dict[str, Any]:
    """Return the row of the log itself, of which the purge takes nothing: a prefix is cut only after an export that was verified."""
    oldest, over = queries.audit_bounds(reading.session, item.cutoff.at)
    return _found(reading, item, oldest, over, 0, over)


def _otherwise() -> Iterator[dict[str, Any]]:
    for table, why in OTHERWISE.items():
        classes = sorted({column.info["data_class"].value for column in Base.metadata.tables[table].columns})
        yield {"table": table, "data_class": ", ".join(classes), "why": why}


def _nothing(reading: Reading, item: Item) -> dict[str, Any]:
    return {"data_class": item.data_class.value, "window": _window(reading, item), "cutoff": item.cutoff.at}


def _shares(reading: Reading, item: Item, over: int) -> tuple[int | None, int | None]:
    """Return how many rows past the window legal holds keep, and how many of the others are late; None = not counted."""
    if over > COUNTED:
        return None, None
    free, held = _due(reading, item.sources)
    if not free:
        return held, 0
    policy = next(policy for policy in reading.policies.all if policy.key == item.policy)
    earlier = next(each for each in items_of(policy, reading.now - TARGET, default=item.default, only={item.data_class}))
    return held, _due(reading, earlier.sources)[0]


def _due(reading: Reading, sources: tuple[Due, ...]) -> tuple[int, int]:
    counts = [due_rows.count_due(reading.session, due) for due in sources]
    return sum(count.rows for count, _ in counts), sum(held for _, held in counts)


def _status(over: int, held: int | None, late: int | None) -> str:
    if not over:
        return "complete"
    if held is None or late:
        return "behind"
    return "held" if over == held else "due_today"


def _said(row: dict[str, Any]) -> str:
    if row["late"] is None:
        return f"{row['over']} rows are past their window; so many that the share of legal holds was not counted"
    return f"{row['late']} rows are past their window for more than a day and under no legal hold"


def _window(reading: Reading, item: Item) -> str:
    policy = next(policy for policy in reading.policies.all if policy.key == item.policy)
    rule = policy.rules[item.data_class]
    return f"{rule.window.words} from {rule.start.replace('_', ' ')}" if rule.window and rule.start else ""


def _files(reading: Reading) -> list[dict[str, Any]]:
    cutoffs = {item.data_class: item.cutoff for item in items_of(reading.policies.default, reading.now, default=True, only=files.CLASSES)}
    booked = ledger.list_positions(reading.session, reading.settings.node).values()
    found = files.look(reading.settings, {data_class: cutoff.at for data_class, cutoff in cutoffs.items()}, booked)
    reading.recording.add(
        Asked(
            query="walk the node's folders; a file is of the moment it was last written, or of the end of the day in its name, whichever is later",
            parameters={data_class.value: cutoff.at.isoformat() for data_class, cutoff in cutoffs.items()},
            at=reading.clock.now(),
        )
    )
    rows = []
    for data_class in files.CLASSES:
        past = [each for each in (*found.old, *found.kept) if each.data_class is data_class]
        late = [each for each in past if each.newest_at < cutoffs[data_class].at - TARGET] if data_class in cutoffs else []
        wide = bool(past) and holds.covers_files(reading.session, data_class.value)
        rows.append(
            {
                "data_class": data_class.value,
                "status": "complete" if not past else "held" if wide else "behind" if late else "due_today",
                "cutoff": cutoffs[data_class].at if data_class in cutoffs else None,
                "oldest": found.oldest.get(data_class),
                "over": len(past),
                "waiting": len([each for each in found.kept if each.data_class is data_class]),
            }
        )
    return rows


def _strays(reading: Reading, items: list[Item]) -> int | None:
    """Return how many of the oldest legs past their window are left without their call; None when no policy ends calls."""
    calls = [item.cutoff.at for item in items if item.data_class is DataClass.CALL_LOG]
    return proof.orphaned_legs(reading.session, min(calls)) if calls else None
