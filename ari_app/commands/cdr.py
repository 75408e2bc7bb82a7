"""The group `cdr`: call detail records, read from the store, and compared with the ledger and the journal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from ari_app.cdr import export as exports
from ari_app.cdr import reconciler
from ari_app.cdr.reconcile import Reconciliation
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import NUMBER, example, json_option
from ringfence.errors import Conflict
from ringfence.output import Column, emit, emit_one, note, warn
from ringfence.queries import accounts, calls
from ringfence.queries.calls import CallFilter
from ringfence.values import Direction, Disposition, RoutedBy

_COLUMNS = (
    Column("started_at", "began"),
    Column("direction", "way"),
    Column("account", "account"),
    Column("caller", "caller"),
    Column("called", "called"),
    Column("forwarded_to", "forwarded to"),
    Column("trunk", "trunk"),
    Column("disposition", "outcome"),
    Column("billable_seconds", "seconds", right=True),
    Column("hangup_cause", "cause", right=True),
    Column("routed_by", "by"),
    Column("call_id", "call"),
)
_LEG_COLUMNS = (
    Column("number", "leg", right=True),
    Column("attempt", "attempt", right=True),
    Column("address", "target"),
    Column("trunk", "trunk"),
    Column("dialled_at", "dialled"),
    Column("answered_at", "answered"),
    Column("ended_at", "ended"),
    Column("disposition", "outcome"),
    Column("sip_status", "SIP", right=True),
    Column("hangup_cause", "cause", right=True),
)
_DAY_COLUMNS = tuple(Column(key, key, right=key not in {"node", "day"}) for key in ("node", "day", "decided", "ledger", "store", "lost", "open"))
_DIFFERENCE_COLUMNS = (Column("call_id", "call"), Column("day", "day"), Column("problem", "problem"))
_MOMENT = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])

reveal_option = click.option("--reveal", is_flag=True, help="Show withheld callers: for tracing malicious calls, never for a customer.")


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose calls."""
    for option in reversed(
        (
            click.option("--account", metavar="REF", help="Of this customer."),
            click.option("--did", type=NUMBER, help="That used this number of ours."),
            click.option("--caller", type=NUMBER, help="From this number; withheld ones only with --reveal."),
            click.option("--since", type=_MOMENT, help="That began at this time (UTC) or later."),
            click.option("--until", type=_MOMENT, help="That began before this time (UTC)."),
            click.option("--disposition", type=click.Choice([value.value for value in Disposition]), help="That ended so."),
            click.option("--direction", type=click.Choice([value.value for value in Direction]), help="That went this way."),
            click.option("--node", help="Carried by this node."),
            click.option("--routed-by", type=click.Choice([value.value for value in RoutedBy]), help="Decided by this part."),
        )
    ):
        command = option(command)
    return command


@click.group()
def cdr() -> None:
    """Read call detail records."""


@cdr.command("list", epilog=example("ringfence cdr list --account ACME --since 2026-11-01 --disposition answered"))
@filter_options
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="At most so many, the newest first.")
@reveal_option
@json_option
@installed
def list_(installation: Installation, /, limit: int, *, reveal: bool, as_json: bool, **which: Any) -> None:
    """List calls, newest first."""
    with installation.reading() as session:
        chosen = _filter(session, which)
        rows = calls.stream_calls(session, chosen, reveal=reveal, newest_first=True, limit=limit)
        emit(rows, _COLUMNS, as_json=as_json, empty="no such call; calls are booked within a second of their end")


@cdr.command(epilog=example("ringfence cdr show node1-1795302588.12"))
@click.argument("call_id")
@reveal_option
@json_option
@installed
def show(installation: Installation, call_id: str, *, reveal: bool, as_json: bool) -> None:
    """Show a call with every leg that was tried."""
    with installation.reading() as session:
        call, legs = calls.get_call(session, call_id, reveal=reveal)
    if as_json:
        emit_one({**call, "legs": legs}, as_json=True)
        return
    emit_one(call, as_json=False)
    emit(legs, _LEG_COLUMNS, as_json=False, empty="nobody was rung")


@cdr.command(epilog=example("ringfence cdr export --account ACME --since 2026-11-01 --until 2026-12-01 > november.csv"))
@filter_options
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True, help="CSV, or a JSON object on each line.")
@reveal_option
@installed
def export(installation: Installation, /, form: str, *, reveal: bool, **which: Any) -> None:
    """Write calls to stdout, oldest first; any number of them in constant memory."""
    with installation.reading() as session:
        rows = calls.stream_calls(session, _filter(session, which), reveal=reveal)
        count = exports.write_csv(rows, calls.KEYS, sys.stdout) if form == "csv" else exports.write_json_lines(rows, sys.stdout)
    note(f"{count} calls")


@cdr.command("reconcile", epilog=example("ringfence cdr reconcile --since 2026-11-01 --json", "ringfence cdr reconcile --note"))
@click.option("--since", type=click.DateTime(formats=["%Y-%m-%d"]), help="The first day (UTC) [default: yesterday].")
@click.option("--note", "noted", is_flag=True, help="Write the counts of each day down, as the booker does every hour: 'claims check' reads them.")
@json_option
@installed
def reconcile_(installation: Installation, since: datetime | None, *, noted: bool, as_json: bool) -> None:
    """Compare decided, in the ledger and in the store for this machine's node; ends with 5 when a call is missing anywhere."""
    settings, now = installation.settings, installation.clock.now()
    first = since.replace(tzinfo=UTC) if since else reconciler.day_before(now)
    with installation.changing(commit=noted) as session:
        found = reconciler.compare(session, settings, first, now)
        if noted:
            reconciler.note(session, settings, found, first, now)
    _report(found, as_json=as_json)
    if found.differences:
        raise Conflict(
            f"{len(found.differences)} calls differ", hint="'ringfence node status' shows whether the booker is behind; docs/design/ledger.md explains each"
        )


def _report(found: Reconciliation, *, as_json: bool) -> None:
    if as_json:
        lines = [place._asdict() for place in found.unreadable_lines]
        emit_one({**{key: getattr(found, key) for key in ("days", "differences", "open_calls")}, "unreadable_lines": lines}, as_json=True)
        return
    emit((msgspec.structs.asdict(count) for count in found.days), _DAY_COLUMNS, as_json=False, empty="no call in this period")
    emit((msgspec.structs.asdict(one) for one in found.differences), _DIFFERENCE_COLUMNS, as_json=False, empty="no difference")
    if found.open_calls:
        note(f"open: {', '.join(found.open_calls[:20])}{' …' if len(found.open_calls) > 20 else ''}")
    for place in found.unreadable_lines[:20]:
        warn(f"not a record: {place.file_id} at byte {place.offset}, {place.length} bytes")


def _filter(session: Any, which: dict[str, Any]) -> CallFilter:
    ref = which.pop("account")
    account_id = accounts.get_account(session, ref).id if ref else None
    for name, kind in (("disposition", Disposition), ("direction", Direction), ("routed_by", RoutedBy)):
        which[name] = kind(which[name]) if which[name] else None
    for name in ("since", "until"):
        which[name] = which[name].replace(tzinfo=UTC) if which[name] else None
    return CallFilter(account_id=account_id, **which)
