"""`retention status`: where retention stands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from retention.purge.governing import governing
from retention.standing import ClassStanding, RunStanding, Standing, look
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import example, json_option
from ringfence.errors import Refused
from ringfence.output import Column, emit, emit_one, plain, say

_CLASSES = (
    Column("data_class", "class"),
    Column("policy", "policy"),
    Column("condition", "is"),
    Column("cutoff", "due up to"),
    Column("reached", "reached"),
    Column("behind_for", "behind for"),
    Column("tried_at", "last run"),
    Column("outcome", "outcome"),
    Column("rows", "rows", right=True),
    Column("held", "held", right=True),
)
_INCIDENTS = (Column("id", "incident"), Column("cause", "cause"), Column("data_class", "class"), Column("opened_at", "opened"), Column("detail", "detail"))
_WORKERS = (Column("node", "node"), Column("silent", "silent"), Column("seen_at", "worker seen"), Column("files_purged_at", "old files removed"))


@click.command(epilog=example("ringfence retention status", "ringfence retention status --json | jq '.classes[] | select(.condition != \"current\")'"))
@json_option
@installed
def status(installation: Installation, *, as_json: bool) -> None:
    """Show for each class how far it was purged, whether a run goes on, the workers, and open incidents.

    What is due is to be gone within 24 hours ("late" after that) and must be within 7 days ("overdue"). The exit code is 3 when a class is late, overdue or was
    never purged, or when an incident is open.
    """
    now = installation.clock.now()
    with installation.reading() as session:
        found = look(session, governing(session, installation.settings.retention.policy, now), now)
    if as_json:
        emit_one({**plain(found), "behind": [each.data_class for each in found.behind], "well": found.well}, as_json=True)
    else:
        _print(found)
    if found.incidents:
        raise Refused(
            f"{len(found.incidents)} incident(s) are open",
            hint="mend what each names; 'ringfence incident close' settles those that do not close by themselves",
        )
    if found.behind:
        names = ", ".join(sorted({each.data_class for each in found.behind}))
        raise Refused(f"behind: {names}", hint="is 'ringfence worker' running? its log says what keeps it")


def _print(found: Standing) -> None:
    emit((_row(each, found) for each in found.classes), _CLASSES, as_json=False)
    say("")
    emit_one({"last finished run": _run(found.last_finished), "last run": _run(found.last_run), "now": _now(found)}, as_json=False)
    say("")
    emit((plain(each) for each in found.workers), _WORKERS, as_json=False, empty="no node has told about itself yet")
    if found.incidents:
        say("")
        emit((plain(each) for each in found.incidents), _INCIDENTS, as_json=False)


def _row(each: ClassStanding, found: Standing) -> dict[str, Any]:
    behind_for = "-" if each.since is None else str(timedelta(seconds=int((found.at - each.since).total_seconds())))
    return {field: getattr(each, field) for field in each.__struct_fields__} | {"behind_for": behind_for}


def _run(run: RunStanding | None) -> str:
    if run is None:
        return "none"
    if run.stopped:
        ended = f"stopped by a brake: {run.stopped}"
    elif run.finished_at is None:
        ended = "not finished"
    else:
        ended = f"finished {plain(run.finished_at)}, {run.rows:,} rows, {run.receipts:,} receipts"
    return f"{run.run}, began {plain(run.started_at)}, {ended}"


def _now(found: Standing) -> str:
    running = found.running
    if running is None:
        return "no run goes on"
    return f"{running.holder} runs: {running.classes_done} of {running.classes} classes, {running.rows_done:,} of about {running.rows_due:,} rows"
