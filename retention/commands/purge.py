"""`retention plan`, `run` and `receipts`: what is due, deleting it, and what went."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event
from typing import Any

import click

from retention.purge.executor import Purge
from retention.purge.files import CLASSES as FILES
from retention.purge.outcome import Outcome, Report
from retention.purge.planner import Plan
from retention.purge.progress import Teller
from ringfence import logs
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import commit_option, example, json_option
from ringfence.errors import Conflict, Refused, RingfenceError, Unavailable
from ringfence.models import PurgeReceipt
from ringfence.models.base import DataClass
from ringfence.output import Column, emit, emit_one, note, say
from ringfence.queries import runs

_PLAN = (
    Column("data_class", "class"),
    Column("policy", "policy"),
    Column("window", "kept"),
    Column("from", "from"),
    Column("cutoff", "due before"),
    Column("due", "due", right=True),
    Column("unit", "of"),
    Column("held", "held", right=True),
    Column("oldest", "oldest due"),
)
_RESULTS = (
    Column("data_class", "class"),
    Column("policy", "policy"),
    Column("outcome", "outcome"),
    Column("rows", "rows", right=True),
    Column("files", "files", right=True),
    Column("held", "held", right=True),
    Column("batches", "batches", right=True),
    Column("longest_ms", "longest ms", right=True),
    Column("reason", "why"),
)
_RECEIPTS = (
    Column("at", "at"),
    Column("data_class", "class"),
    Column("table", "table"),
    Column("reason", "reason"),
    Column("rows", "rows", right=True),
    Column("oldest_at", "oldest"),
    Column("newest_at", "newest"),
    Column("cutoff_at", "due before"),
    Column("policy", "policy"),
    Column("run_id", "run"),
)
_CLASS = click.Choice([each.value for each in DataClass])
class_option = click.option("--class", "classes", type=_CLASS, multiple=True, help="Only this data class; may be repeated.")


@click.command(epilog=example("ringfence retention plan", "ringfence retention plan --class call_log --json"))
@class_option
@json_option
@installed
def plan(installation: Installation, classes: tuple[str, ...], *, as_json: bool) -> None:
    """Show what a run would delete now, by class and policy; deletes nothing."""
    with installation.translated():
        _show(_purge(installation).plan(_only(classes)), as_json=as_json)


@click.command(epilog=example("ringfence retention run            shows what would go", "ringfence retention run --commit"))
@class_option
@commit_option
@json_option
@installed
def run(installation: Installation, classes: tuple[str, ...], *, commit: bool, as_json: bool) -> None:
    """Delete what is past its window, now, and write receipts.

    Exit codes: 0 done, 3 a brake stopped it and a person is asked, 5 another process is at it, 1 a class failed, 69 others were in the way of a class or
    it was told to stop: run it again.
    """
    if not commit:
        with installation.translated():
            _show(_purge(installation).plan(_only(classes)), as_json=as_json)
        note("nothing was deleted; add --commit to do it")
        return
    logs.configure("warning")  # what a run says at the end is printed; the results go to stdout alone
    teller = Teller(installation.clock, _to_stderr, terminal=sys.stderr.isatty())
    with installation.translated(), _stopping() as stop:
        report = _purge(installation, teller).run(stop, only=_only(classes))
    teller.end()
    if report is None:
        raise Conflict("another process is deleting at this moment", hint="nothing to do: it brings every class to its cutoff")
    _tell(report, as_json=as_json)


@click.command(epilog=example("ringfence retention receipts --class call_log --limit 20", "ringfence retention receipts --run RUN --json"))
@click.option("--run", "run_id", help="Only of this run, or of this request.")
@click.option("--class", "data_class", type=_CLASS, help="Only of this data class.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="How many of the newest.")
@json_option
@installed
def receipts(installation: Installation, run_id: str | None, data_class: str | None, limit: int, *, as_json: bool) -> None:
    """Show what went: one receipt for each transaction and table, newest first."""
    with installation.reading() as session:
        found = runs.list_receipts(session, run_id=run_id, data_class=data_class, limit=limit)
        emit((_receipt(each) for each in found), _RECEIPTS, as_json=as_json, empty="no receipt: nothing was deleted")


def _purge(installation: Installation, teller: Teller | None = None) -> Purge:
    settings = installation.settings
    holder = f"{settings.node}: retention run, process {os.getpid()} {secrets.token_hex(4)}"
    options: dict[str, Any] = {} if teller is None else {"progress": teller}
    return Purge(installation.engine, settings, installation.clock, policy=settings.retention.policy, holder=holder, **options)


def _only(classes: tuple[str, ...]) -> list[DataClass] | None:
    return [DataClass(name) for name in classes] or None


def _show(found: Plan, *, as_json: bool) -> None:
    rows = [
        {
            "data_class": item.data_class,
            "policy": item.policy,
            "policy_version": item.policy_version,
            "window": str(item.cutoff.period),
            "from": item.cutoff.start,
            "cutoff": item.cutoff.at,
            "due": item.due.rows,
            "unit": "files" if item.data_class in FILES else "rows",
            "held": item.held,
            "oldest": item.due.oldest,
            "newest": item.due.newest,
        }
        for item in found.items
    ]
    if as_json:
        emit_one({"as_of": found.as_of, "hold_version": found.hold_version, "rows": found.rows, "items": rows}, as_json=True)
        return
    due = [row for row in rows if row["due"] or row["held"]]
    emit(due, _PLAN, as_json=False, empty="nothing is past its window")
    rest = len(rows) - len(due)
    if due and rest:
        note(f"{rest} other class(es) have nothing due; --json shows them")


def _tell(report: Report, *, as_json: bool) -> None:
    """Print what a run came to, and raise what is to be the exit code."""
    if as_json:
        emit_one({**{field: getattr(report, field) for field in report.__struct_fields__}, "rows": report.rows}, as_json=True)
    if report.stopped:
        raise Refused(f"a brake stopped the run before it deleted anything: {report.stopped}", hint="see 'ringfence incident list', then confirm it or mend it")
    if not as_json:
        done = [{field: getattr(result, field) for field in result.__struct_fields__} for result in report.results if result.outcome is not Outcome.NOTHING_DUE]
        emit(done, _RESULTS, as_json=False, empty="nothing is past its window")
        say(f"run {report.run}: {report.rows} row(s) went, {report.receipts} receipt(s), {report.sealed} day(s) sealed")
    failed = sorted({result.data_class for result in report.results if result.outcome is Outcome.FAILED})
    contended = sorted({result.data_class for result in report.results if result.outcome is Outcome.CONTENDED})
    if failed:
        raise RingfenceError(f"failed: {', '.join(failed)}; every other class had its turn", hint="see 'ringfence incident list' and the log")
    if contended:
        raise Unavailable(f"not finished: {', '.join(contended)}", hint="run it again: it goes on where it ended")


def _receipt(found: PurgeReceipt) -> Mapping[str, Any]:
    row = {column: getattr(found, column) for column in PurgeReceipt.__table__.columns.keys() if column != "table_name"}  # noqa: SIM118  not a mapping
    return {**row, "table": found.table_name}


@contextmanager
def _stopping() -> Iterator[Event]:
    """Give an event that the first Ctrl-C or SIGTERM sets, so that the batch in hand is finished; the second one ends the process."""
    stop = Event()

    def ask(number: int, _frame: object) -> None:
        signal.signal(number, before[signal.Signals(number)])
        note("stopping after the batch in hand")
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _to_stderr(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
