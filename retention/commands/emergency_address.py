"""`emergency address`: what is held of one number for 999."""

from __future__ import annotations

from typing import Any

import click

from dialplan.emergency.address import FIELDS, LIMITS, one_line
from dialplan.emergency.matrix import judge
from retention.emergency import records
from retention.emergency.confirming import due_at, periods_of
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import NUMBER, example, json_option
from ringfence.emergency import CONFIRMED_HOW, LocationClass
from ringfence.models import EmergencyRecord
from ringfence.output import Column, emit, emit_one, note, say
from ringfence.queries import emergency as stored
from ringfence.values import E164

_HELP = {
    "title": "Title; of a person only.",
    "forename": "Forename or initials; of a person only.",
    "name": "Surname, or the business's name over the door.",
    "honours": "Honours; of a person only.",
    "bussuffix": "What kind of business: Ltd, plc, Hospital, …",
    "premises": "Number or name of the building, with flat and floor.",
    "thoroughfare": "Street.",
    "locality": "Village or district, and town.",
    "postcode": "Postcode.",
}
_HISTORY = (
    Column("version", "version", right=True),
    Column("class", "class"),
    Column("state", "state"),
    Column("address", "address"),
    Column("confirmed_by", "confirmed by"),
    Column("confirmed_at", "confirmed"),
    Column("made_at", "entered"),
    Column("superseded_at", "until"),
)


@click.group()
def address() -> None:
    """Manage the address that 999 has of one number."""


def _fields(command: Any) -> Any:
    for field in reversed(FIELDS):
        command = click.option(f"--{field}", default="", help=f"{_HELP[field]} Up to {LIMITS[field]} characters.")(command)
    return command


@address.command(
    "set",
    epilog=example(
        'ringfence emergency address set 02079460123 --class fixed --forename Ada --name Example --premises "Flat 2, 104" \\',
        '    --thoroughfare "King Street" --locality Sheffield --postcode "S9 5AD" --confirmed-by "Ada Example" --how phone',
        "ringfence emergency address set 02079460124 --class forward_only",
    ),
)
@click.argument("did", metavar="NUMBER", type=NUMBER)
@click.option("--class", "location", required=True, type=click.Choice([one.value for one in LocationClass]), help="How the number is used.")
@_fields
@click.option("--confirmed-by", help="Who said that the address is right.")
@click.option("--how", type=click.Choice(CONFIRMED_HOW), help="How they said it.")
@click.option("--acknowledged", is_flag=True, help="The customer knows that 999 does not work from this number.")
@click.option("--check", is_flag=True, help="Only show what would be held and sent.")
@installed
def set_(
    installation: Installation,
    /,
    did: str,
    location: str,
    confirmed_by: str | None,
    how: str | None,
    *,
    acknowledged: bool,
    check: bool,
    **fields: str,
) -> None:
    """Enter an address, in place of the one that is held; every version is kept until its window ends.

    Words that must be shortened to fit a carrier's field are shown. Nothing is ever cut off.
    """
    confirmed = records.check_confirmation(confirmed_by, how)
    wish = records.parse_wish(E164(did), LocationClass(location), fields, confirmed=confirmed, acknowledged=acknowledged)
    with installation.changing(commit=not check) as session:
        record = records.set_address(session, installation.clock, wish)
        said = one_line(stored.address_of(record)) or "no address"
        version, state = record.version, record.state
    for remark in wish.shown:
        note(remark)
    say(f"{did}: {said}" if check else f"{did}, version {version}, {state}: {said}")
    if check:
        note("nothing was changed; leave --check out to do it")


@address.command(epilog=example("ringfence emergency address show 02079460123"))
@click.argument("did", metavar="NUMBER", type=NUMBER)
@json_option
@installed
def show(installation: Installation, did: str, *, as_json: bool) -> None:
    """Show what is held of a number, how far it has come, and whether its phones may call."""
    with installation.reading() as session:
        record = records.require(session, did)
        phones = stored.presenting(session, did)
        verdict = judge(stored.facts_of(record), presented=bool(phones))
        confirm = due_at(record, periods_of(installation.settings.emergency))
        shown = {"number": did, **_row(record), "confirm_again_at": confirm, "phones": phones, "calls": verdict.blocks or "allowed", "why": verdict.why}
        address = stored.address_of(record)
        if as_json:
            shown |= {"fields": address}
        else:
            shown |= {field: getattr(address, field) for field in FIELDS if getattr(address, field)}
        emit_one(shown, as_json=as_json)


@address.command(epilog=example("ringfence emergency address history 02079460123 --json"))
@click.argument("did", metavar="NUMBER", type=NUMBER)
@json_option
@installed
def history(installation: Installation, did: str, *, as_json: bool) -> None:
    """Show every version that is still kept, newest first."""
    with installation.reading() as session:
        emit((_row(record) for record in stored.versions(session, did)), _HISTORY, as_json=as_json, empty="nothing is held of this number")


@address.command(epilog=example('ringfence emergency address confirm 02079460123 --confirmed-by "Ada Example" --how phone'))
@click.argument("did", metavar="NUMBER", type=NUMBER)
@click.option("--confirmed-by", required=True, help="Who said that the address is right.")
@click.option("--how", required=True, type=click.Choice(CONFIRMED_HOW), help="How they said it.")
@installed
def confirm(installation: Installation, did: str, confirmed_by: str, how: str) -> None:
    """Write down that somebody said the address that is held is right, now."""
    confirmation = records.check_confirmation(confirmed_by, how)
    assert confirmation is not None  # noqa: S101  both are required options
    with installation.changing() as session:
        version = records.confirm(session, installation.clock, did, confirmation).version
    say(f"{did}: version {version} is confirmed")


def _row(record: EmergencyRecord) -> dict[str, Any]:
    return {
        "version": record.version,
        "class": record.location,
        "state": record.state,
        "state_at": record.state_at,
        "address": one_line(stored.address_of(record)) or None,
        "carrier": record.carrier,
        "carrier_ref": record.carrier_ref,
        "refusal": record.refusal,
        "confirmed_by": record.confirmed_by,
        "confirmed_how": record.confirmed_how,
        "confirmed_at": record.confirmed_at,
        "acknowledged_at": record.acknowledged_at,
        "reported_at": record.reported_at,
        "submitted_at": record.submitted_at,
        "accepted_at": record.accepted_at,
        "made_at": record.made_at,
        "superseded_at": record.superseded_at,
    }
