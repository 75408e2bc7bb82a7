"""The purge's runs: when, what each class came to, how long its transactions took, what was late or missed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any

from retention import standing
from retention.calendar import local_date
from retention.report.lateness import lateness, rulings
from retention.report.model import Column, Kind, Plot, Section, Series, Table
from retention.report.reading import Reading
from retention.standing import ClassStanding, Heartbeat
from ringfence.models import Incident, PurgeRun, PurgeRunClass
from ringfence.queries import report as queries

_SHOWN = 31  # of the newest runs; JSON has all
_IDLE = ("done", "nothing_due", "held")
_OPEN_FOR = timedelta(hours=6)  # a run that has not ended by then has died; no run lasts so long

_RUNS = (
    Column("started_at", "Started", Kind.MOMENT),
    Column("status", "Status", Kind.STATUS),
    Column("as_of", "Planned for", Kind.MOMENT),
    Column("finished_at", "Ended", Kind.MOMENT),
    Column("rows", "Rows deleted", Kind.COUNT),
    Column("receipts", "Receipts", Kind.COUNT),
    Column("batches", "Batches", Kind.COUNT),
    Column("longest_ms", "Longest transaction", Kind.MILLISECONDS),
    Column("outcomes", "What its classes came to"),
    Column("incidents", "Incidents", Kind.CODE),
    Column("run", "Run", Kind.CODE),
)
_MONTHS = (
    Column("month", "Month"),
    Column("runs", "Runs", Kind.COUNT),
    Column("not_clean", "Stopped, failed or not ended", Kind.COUNT),
    Column("rows", "Rows deleted", Kind.COUNT),
    Column("files", "Files", Kind.COUNT),
    Column("longest_ms", "Longest transaction", Kind.MILLISECONDS),
    Column("widest_gap_seconds", "Longest time from one run's start to the next", Kind.DURATION),
)


_WORKERS = (
    Column("node", "Node"),
    Column("status", "Status", Kind.STATUS),
    Column("seen_at", "Its worker last alive", Kind.MOMENT),
    Column("files_purged_at", "Its old files last removed", Kind.MOMENT),
)
_STANDING = (
    Column("data_class", "Class", Kind.WORD),
    Column("policy", "Policy"),
    Column("status", "Status", Kind.STATUS),
    Column("reached", "Brought to", Kind.MOMENT),
    Column("reached_at", "At", Kind.MOMENT),
    Column("since", "Behind since", Kind.MOMENT),
    Column("outcome", "The last run came to", Kind.WORD),
    Column("reason", "Why"),
)


def runs(reading: Reading) -> Section:
    """Return the section."""
    now = standing.look(reading.session, reading.policies, reading.now)
    found, classes = reading.runs, _by_run(reading.run_classes)
    incidents = queries.incidents_between(reading.session, reading.span.begins_at, reading.span.ends_at)
    rows = [_row(run, classes[run.id], [each for each in incidents if each.run_id == run.id], reading.now) for run in found]
    bad = [row for row in rows if row["status"] not in _IDLE and row["status"] != "running"]
    return Section(
        key="runs",
        title="Runs",
        text=f"Runs that began in {reading.span}. Each brings every class to its cutoff; a run that was missed is made good by the next.",
        blocks=(
            Table("workers", "Workers", _WORKERS, tuple(map(_worker, now.workers)), empty="No node was ever seen."),
            Table("behind", "Classes that are behind", _STANDING, tuple(map(_standing, now.behind)), empty="None: every class was brought to its cutoff."),
            Table("months", "Runs by month", _MONTHS, tuple(by_month(rows)), empty="No run began in the period."),
            Table("attention", "Runs that stopped, failed, were kept from going on, or did not end", _RUNS, tuple(bad), most=_SHOWN),
            Table("runs", f"The newest runs, at most {_SHOWN}", _RUNS, tuple(rows), empty="No run began in the period.", most=_SHOWN, folded=True),
            *_plots(reading, rows),
        ),
        exceptions=(
            *(f"The worker of node {each.node} is silent." for each in now.workers if each.silent),
            *(f"{each.data_class} ({each.policy}) is {each.condition.value}: no run has brought it to its cutoff." for each in now.behind),
            *(f"The run of {row['started_at']:%Y-%m-%d %H:%M} UTC: {row['status']}; {row['outcomes'] or 'no class ended'}." for row in bad),
        ),
    )


def by_month(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each month with a run, newest first. Pure.

    Args:
        rows: of runs, newest first.
    """
    months: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    gaps: dict[str, float] = defaultdict(float)
    for row, before in zip_longest(rows, rows[1:]):
        month = local_date(row["started_at"]).isoformat()[:7]
        months[month].append(row)
        if before is not None:
            gaps[month] = max(gaps[month], (row["started_at"] - before["started_at"]).total_seconds())
    return [
        {
            "month": month,
            "runs": len(those),
            "not_clean": sum(1 for row in those if row["status"] not in (*_IDLE, "running")),
            "rows": sum(row["rows"] for row in those),
            "files": sum(row["files"] for row in those),
            "longest_ms": max((row["longest_ms"] for row in those if row["longest_ms"] is not None), default=None),
            "widest_gap_seconds": gaps.get(month),
        }
        for month, those in months.items()
    ]


def _worker(beat: Heartbeat) -> dict[str, Any]:
    return {"node": beat.node, "status": "silent" if beat.silent else "alive", "seen_at": beat.seen_at, "files_purged_at": beat.files_purged_at}


def _standing(each: ClassStanding) -> dict[str, Any]:
    return {
        "data_class": each.data_class,
        "policy": each.policy,
        "status": each.condition.value,
        "reached": each.reached,
        "reached_at": each.reached_at,
        "since": each.since,
        "outcome": each.outcome,
        "reason": each.reason,
    }


def _row(run: PurgeRun, classes: Sequence[PurgeRunClass], incidents: Sequence[Incident], now: datetime) -> dict[str, Any]:
    busy = [each for each in classes if each.outcome != "nothing_due"]
    return {
        "started_at": run.started_at,
        "status": _status(run, classes, now),
        "as_of": run.as_of,
        "finished_at": run.finished_at,
        "rows": run.rows,
        "files": sum(each.files for each in classes),
        "receipts": run.receipts,
        "batches": sum(each.batches for each in classes),
        "longest_ms": max((each.longest_ms for each in classes if each.batches), default=None),
        "outcomes": ", ".join(_outcome(each) for each in busy) or (f"stopped: {run.stopped}" if run.stopped else "nothing due" if classes else None),
        "incidents": ", ".join(each.id for each in incidents) or None,
        "run": run.id,
    }


def _outcome(each: PurgeRunClass) -> str:
    name = each.data_class if each.policy == "" else f"{each.data_class} ({each.policy})"
    parts = [each.outcome or "not ended"]
    parts += [f"{each.rows:,} rows"] if each.rows else []
    parts += [f"{each.held:,} held"] if each.held else []
    parts += [f"{each.files:,} files"] if each.files else []
    parts += [each.reason] if each.reason else []
    return f"{name}: {' '.join(parts)}"


def _status(run: PurgeRun, classes: Sequence[PurgeRunClass], now: datetime) -> str:
    if run.stopped:
        return "stopped"
    if run.finished_at is None:
        return "unfinished" if now - run.started_at > _OPEN_FOR else "running"
    outcomes = {each.outcome for each in classes}
    for worst in ("failed", "contended", "held", "done"):
        if worst in outcomes:
            return worst
    return "nothing_due"


def _plots(reading: Reading, rows: Sequence[Mapping[str, Any]]) -> list[Plot]:
    if not rows:
        return []
    ordered = list(reversed(rows))
    total = sum(row["rows"] for row in rows)
    deleted = Series("rows deleted", tuple(row["started_at"] for row in ordered), tuple(float(row["rows"]) for row in ordered))
    plots = [Plot("deleted", f"Rows deleted by each run: {total:,} in {len(rows)} run(s).", "rows", (deleted,))]
    median, most = _lags(reading, [(row["run"], row["started_at"]) for row in ordered])
    if most.xs:
        caption = f"Days from when a row could go to when it went, by run: the latest of all is {max(most.ys):.1f} days."
        plots.append(Plot("lag", caption, "days", (median, most), bars=False))
    return plots


def _lags(reading: Reading, started: Iterable[tuple[str, datetime]]) -> tuple[Series, Series]:
    ruled = rulings(reading.run_classes)
    parts: dict[str, list[Any]] = defaultdict(list)
    for part in reading.gone:
        parts[part.run].append(part)
    found = [(at, late) for run, at in started if (late := lateness(parts[run], ruled)) is not None]
    xs = tuple(at for at, _ in found)
    return Series("half within", xs, tuple(late.median / 86_400 for _, late in found)), Series("latest", xs, tuple(late.most / 86_400 for _, late in found))


def _by_run(classes: Iterable[PurgeRunClass]) -> dict[str, list[PurgeRunClass]]:
    found: dict[str, list[PurgeRunClass]] = defaultdict(list)
    for each in classes:
        found[each.run_id].append(each)
    return found
