"""The group `endpoint`: customers' phones that register."""

from __future__ import annotations

import hashlib
import os
import secrets
import string
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from dialplan.emergency.matrix import judge
from dialplan.emergency_call import may_present
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import NAME, NUMBER, commit_option, example, json_option
from ringfence.emergency import LocationClass
from ringfence.errors import Conflict, Invalid, Refused, Unavailable
from ringfence.models import Endpoint
from ringfence.output import Column, emit, emit_one, note, say, warn
from ringfence.queries import accounts, emergency
from ringfence.queries.accounts import EndpointValues

REALM = "ringfence"  # as in pjsip.conf; part of the digest, so it never changes
_PASSWORD_LENGTH = 24  # of 62 characters: 142 bits, more than the MD5 digest can hold
_COLUMNS = (
    Column("name", "endpoint"),
    Column("account", "account"),
    Column("caller_did", "presents"),
    Column("emergency_did", "presents to 999"),
    Column("receive_only", "receive only"),
    Column("enabled", "enabled"),
    Column("created_at", "since"),
)

_password_out = click.option(
    "--password-out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the password to a new file of mode 0600 instead of printing it.",
)
_emergency_did = click.option("--emergency-did", type=NUMBER, help="The number of its site, which 999 is shown, when it is another [default: that of --did].")


@click.group()
def endpoint() -> None:
    """Manage customers' phones that register over SIP."""


@endpoint.command(epilog=example("ringfence endpoint add desk-12 --account ACME --did 02079460123 --password-out desk-12.secret"))
@click.argument("name", type=NAME)
@click.option("--account", "ref", required=True, help="Whose phone it is.")
@click.option("--did", type=NUMBER, help="The account's number that its own calls present.")
@_emergency_did
@click.option("--receive-only", is_flag=True, help="Refuse its calls: it takes calls only, and needs no way to 999.")
@_password_out
@installed
def add(installation: Installation, name: str, ref: str, did: str | None, emergency_did: str | None, password_out: Path | None, *, receive_only: bool) -> None:
    """Make an endpoint and its password, which is shown once and kept only as a digest."""
    password = _new_password()
    with installation.changing() as session:
        one = accounts.add_endpoint(
            session,
            installation.clock,
            name,
            ref,
            caller_did=did,
            ha1=_ha1(name, password),
            emergency_did=emergency_did,
            receive_only=receive_only,
        )
        _check_site(session, emergency_did)
        _hand_over(password, password_out)
        warnings = _warnings(session, one)
    for warning in warnings:
        warn(warning)
    note(f"endpoint {name} is made; 'ringfence config apply' lets it register; 'ringfence number forward NUMBER --to endpoint:{name}' rings it")


@endpoint.command(epilog=example("ringfence endpoint password desk-12"))
@click.argument("name")
@_password_out
@installed
def password(installation: Installation, name: str, password_out: Path | None) -> None:
    """Make a new password; the old one ends when the configuration is applied."""
    new = _new_password()
    with installation.changing() as session:
        accounts.set_endpoint(session, installation.clock, name, ha1=_ha1(name, new))
        _hand_over(new, password_out)
    note("'ringfence config apply' makes it valid")


@endpoint.command("list", epilog=example("ringfence endpoint list --account ACME"))
@click.option("--account", "ref", help="Only this account's.")
@json_option
@installed
def list_(installation: Installation, ref: str | None, *, as_json: bool) -> None:
    """List the endpoints."""
    with installation.reading() as session:
        account_id = accounts.get_account(session, ref).id if ref else None
        found = accounts.list_endpoints(session, account_id=account_id)
        emit((_row(one, owner) for one, owner in found), _COLUMNS, as_json=as_json, empty="no endpoint; make one with 'ringfence endpoint add'")


@endpoint.command(epilog=example("ringfence endpoint show desk-12"))
@click.argument("name")
@json_option
@installed
def show(installation: Installation, name: str, *, as_json: bool) -> None:
    """Show an endpoint and the numbers that ring it."""
    with installation.reading() as session:
        one = accounts.get_endpoint(session, name)
        owner = next(ref for found, ref in accounts.list_endpoints(session, account_id=one.account_id) if found.name == one.name)
        calls = _blocked(session, one.caller_did) or "allowed"
        shown = {"rung_by": accounts.forwarding_to(session, one.name), "ordinary_calls": calls, "emergency_calls": _emergency_calls(session, one)}
        emit_one({**_row(one, owner), **shown}, as_json=as_json)


@endpoint.command(
    "set",
    epilog=example("ringfence endpoint set desk-12 --did 02079460456", "ringfence endpoint set lobby --receive-only"),
)
@click.argument("name")
@click.option("--did", type=NUMBER, help="The account's number that its own calls present.")
@click.option("--no-did", is_flag=True, help="Present none: its own calls are refused.")
@_emergency_did
@click.option("--no-emergency-did", is_flag=True, help="Show 999 the number of --did.")
@click.option("--receive-only/--no-receive-only", default=None, help="Refuse its calls, or take them.")
@installed
def set_(installation: Installation, /, name: str, **options: Any) -> None:
    """Change the numbers that an endpoint's own calls present, and whether it may call at all."""
    values: EndpointValues = {}
    if options["did"] or options["no_did"]:
        values["caller_did"] = _one_of(options["did"], options["no_did"], "--did")
    if options["emergency_did"] or options["no_emergency_did"]:
        values["emergency_did"] = _one_of(options["emergency_did"], options["no_emergency_did"], "--emergency-did")
    if options["receive_only"] is not None:
        values["receive_only"] = options["receive_only"]
    if not values:
        raise Invalid("nothing to set", hint="'ringfence endpoint set --help' lists what can be set")
    with installation.changing() as session:
        one = accounts.set_endpoint(session, installation.clock, name, **values)
        _check_site(session, values.get("emergency_did"))
        warnings = _warnings(session, one)
    for warning in warnings:
        warn(warning)
    say(f"endpoint {name} is changed; 'ringfence config apply' takes it to Asterisk for calls to 999")


@endpoint.command(epilog=example("ringfence endpoint enable desk-12"))
@click.argument("name")
@installed
def enable(installation: Installation, name: str) -> None:
    """Let an endpoint register and call."""
    with installation.changing() as session:
        accounts.set_endpoint(session, installation.clock, name, enabled=True)
    say(f"endpoint {name} is enabled; 'ringfence config apply' lets it register")


@endpoint.command(epilog=example("ringfence endpoint disable desk-12"))
@click.argument("name")
@installed
def disable(installation: Installation, name: str) -> None:
    """Refuse an endpoint's calls at once, and its registration once the configuration is applied."""
    with installation.changing() as session:
        accounts.set_endpoint(session, installation.clock, name, enabled=False)
    say(f"endpoint {name} is disabled: its calls are refused; 'ringfence config apply' ends its registration")


@endpoint.command(epilog=example("ringfence endpoint remove desk-12            shows what would happen", "ringfence endpoint remove desk-12 --commit"))
@click.argument("name")
@commit_option
@installed
def remove(installation: Installation, name: str, *, commit: bool) -> None:
    """Remove an endpoint that no number forwards to."""
    with installation.changing(commit=commit) as session:
        accounts.remove_endpoint(session, installation.clock, name)
    say(
        f"endpoint {name} is removed; 'ringfence config apply' ends its registration"
        if commit
        else f"would remove endpoint {name}: it could no longer register or call"
    )
    if not commit:
        note("nothing was changed; add --commit to do it")


def _blocked(session: Session, did: str | None) -> str:
    """Say why a phone that presents this number makes no ordinary calls; nothing when it may."""
    if did is None:
        return "it presents no number: its own calls are refused"
    verdict = judge(emergency.facts_of(emergency.current(session, did)))
    return f"its ordinary calls are refused: {verdict.why}; 'ringfence emergency address set {did} …' enters an address" if verdict.blocks else ""


def _check_site(session: Session, number: str | None) -> None:
    """Refuse a number that 999 can make nothing of. One whose address is only missing is taken, with a warning: 999 is refused by no rule about addresses."""
    if number is None:
        return
    if not may_present(number):
        raise Invalid("the number must not be presented to 999", hint="give an 01, 02, 03, 056 or 07 number of the account")
    record = emergency.current(session, number)
    if record and record.location is LocationClass.FORWARD_ONLY:
        hint = f"'ringfence emergency address set {number} …' says where it is used, or give another number"
        raise Refused("the number is said to forward only, so 999 has no address of it", hint=hint)


def _warnings(session: Session, one: Endpoint) -> list[str]:
    found = [_blocked(session, one.caller_did)]
    site = one.emergency_did
    if site and site != one.caller_did and not one.receive_only:
        verdict = judge(emergency.facts_of(emergency.current(session, site)))
        if verdict.blocks:
            found.append(f"999 is shown a number of which it has no address: {verdict.why}; 'ringfence emergency address set {site} …' enters one")
    return [warning for warning in found if warning]


def _emergency_calls(session: Session, one: Endpoint) -> str:
    """Say what 999 is shown, and what it has of that number."""
    site = one.emergency_did or one.caller_did
    if site is None:
        return "none: it has no number that 999 can be shown"
    return f"shown as {site}: {judge(emergency.facts_of(emergency.current(session, site))).why}"


def _row(one: Endpoint, owner: str) -> dict[str, Any]:
    return {
        "name": one.name,
        "account": owner,
        "caller_did": one.caller_did,
        "emergency_did": one.emergency_did,
        "receive_only": one.receive_only,
        "enabled": one.enabled,
        "created_at": one.created_at,
    }


def _one_of(number: str | None, none: bool, option: str) -> str | None:
    if number and none:
        raise Invalid(f"give either {option} NUMBER or --no-{option[2:]}")
    return number


def _new_password() -> str:
    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(_PASSWORD_LENGTH))


def _ha1(name: str, password: str) -> str:
    """Return the digest that Asterisk checks registrations against (RFC 2617; `auth_type = md5` in Asterisk 22)."""
    return hashlib.md5(f"{name}:{REALM}:{password}".encode(), usedforsecurity=False).hexdigest()


def _hand_over(password: str, path: Path | None) -> None:
    """Give the password to the operator, before the transaction commits: a file that cannot be written leaves nothing changed."""
    if path is None:
        click.echo(password)
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(password + "\n")
    except FileExistsError as error:
        raise Conflict(f"{path} exists already", hint="name a new file") from error
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}", hint="name a file in a folder that you may write to") from error
