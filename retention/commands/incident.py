"""The group `incident`: what a person must look at."""

from __future__ import annotations

from typing import Any

import click

from retention import incidents
from retention.purge import brakes
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import example, json_option, operator_option
from ringfence.models import Incident
from ringfence.output import Column, emit, emit_one, note, say
from ringfence.queries import incidents as queries
from ringfence.queries.conservation import begin_alone

_COLUMNS = (
    Column("id", "incident"),
    Column("opened_at", "opened"),
    Column("cause", "cause"),
    Column("data_class", "class"),
    Column("detail", "what"),
    Column("outcome", "outcome"),
)


@click.group()
def incident() -> None:
    """See what stopped a run or went wrong, and settle it."""


@incident.command("list", epilog=example("ringfence incident list", "ringfence incident list --all --json"))
@click.option("--all", "closed", is_flag=True, help="Those that are settled too.")
@json_option
@installed
def list_(installation: Installation, *, closed: bool, as_json: bool) -> None:
    """List the incidents that are open, oldest first."""
    with installation.reading() as session:
        found = queries.list_incidents(session, closed=closed)
        emit((_row(each) for each in found), _COLUMNS, as_json=as_json, empty="no incident is open" if not closed else "there never was an incident")


@incident.command(epilog=example("ringfence incident show 5f0c…"))
@click.argument("incident_id", metavar="INCIDENT")
@json_option
@installed
def show(installation: Installation, incident_id: str, *, as_json: bool) -> None:
    """Show one incident."""
    with installation.reading() as session:
        emit_one(_row(queries.get(session, incident_id)), as_json=as_json)


@incident.command(epilog=example("ringfence incident confirm 5f0c…"))
@click.argument("incident_id", metavar="INCIDENT")
@operator_option
@json_option
@installed
def confirm(installation: Installation, incident_id: str, operator: str, *, as_json: bool) -> None:
    """Say that what a brake stopped is right: runs of the next 24 hours go past it. Look at 'retention plan' first."""
    settled = _close(installation, incident_id, "confirmed", operator)
    if as_json:
        emit_one(_row(settled), as_json=True)
        return
    until = (settled.closed_at or installation.clock.now()) + brakes.CONFIRMED_FOR
    about = f"{settled.cause} of {settled.data_class}" if settled.data_class else settled.cause
    say(f"incident {settled.id} is confirmed: until {until:%Y-%m-%d %H:%M} UTC runs go past {about}")
    note("the worker's next run goes on; 'ringfence retention run --commit' does it now")


@incident.command(epilog=example("ringfence incident close 5f0c… --outcome mended"))
@click.argument("incident_id", metavar="INCIDENT")
@click.option("--outcome", type=click.Choice(("mended", "dismissed")), required=True, help="It was put right, or it was nothing.")
@operator_option
@json_option
@installed
def close(installation: Installation, incident_id: str, outcome: str, operator: str, *, as_json: bool) -> None:
    """Settle an incident. A brake that still holds opens it again at the next run."""
    settled = _close(installation, incident_id, outcome, operator)
    if as_json:
        emit_one(_row(settled), as_json=True)
    else:
        say(f"incident {settled.id} is closed: {outcome}")


def _close(installation: Installation, incident_id: str, outcome: str, operator: str) -> Incident:
    with installation.changing() as session:
        begin_alone(session)
        return incidents.close(session, installation.clock, incident_id, outcome=outcome, by=operator)


def _row(found: Incident) -> dict[str, Any]:
    return {
        "id": found.id,
        "cause": found.cause,
        "data_class": found.data_class,
        "run": found.run_id,
        "detail": found.detail,
        "opened_at": found.opened_at,
        "closed_at": found.closed_at,
        "outcome": found.outcome,
        "closed_by": found.closed_by,
    }
