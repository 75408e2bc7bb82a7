"""The group `account`: customers."""

from __future__ import annotations

from typing import Any

import click

from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import DISPLAY_NAME, REF, commit_option, example, json_option
from ringfence.errors import Invalid
from ringfence.models import Account
from ringfence.output import Column, emit, emit_one, note, say
from ringfence.queries import accounts, numbering
from ringfence.queries.accounts import AccountValues
from ringfence.values import AccountState

_COLUMNS = (
    Column("ref", "account"),
    Column("name", "name"),
    Column("state", "state"),
    Column("numbers", "numbers", right=True),
    Column("concurrency_limit", "calls at once", right=True),
    Column("created_at", "since"),
)


@click.group()
def account() -> None:
    """Manage customers."""


@account.command(epilog=example('ringfence account add ACME --name "Acme Plumbing Ltd" --concurrency 10'))
@click.argument("ref", type=REF)
@click.option("--name", type=DISPLAY_NAME, required=True, help="The customer's name.")
@click.option("--concurrency", type=click.IntRange(1, 10_000), help="Calls at once on one node [default: no limit].")
@installed
def add(installation: Installation, ref: str, name: str, concurrency: int | None) -> None:
    """Make an account."""
    with installation.changing() as session:
        accounts.add_account(session, installation.clock, ref, name, concurrency)
    say(f"account {ref} is active; give it a number with 'ringfence number assign NUMBER {ref}'")


@account.command("list", epilog=example("ringfence account list --state suspended"))
@click.option("--state", type=click.Choice([state.value for state in AccountState]), help="Only those in this state.")
@json_option
@installed
def list_(installation: Installation, state: str | None, *, as_json: bool) -> None:
    """List the accounts."""
    with installation.reading() as session:
        found = accounts.list_accounts(session, state=AccountState(state) if state else None)
        emit((_row(one, count) for one, count in found), _COLUMNS, as_json=as_json, empty="no account; make one with 'ringfence account add'")


@account.command(epilog=example("ringfence account show ACME"))
@click.argument("ref")
@json_option
@installed
def show(installation: Installation, ref: str, *, as_json: bool) -> None:
    """Show an account with its numbers and phones."""
    with installation.reading() as session:
        one = accounts.get_account(session, ref)
        numbers = numbering.numbers_of(session, one.id)
        phones = [endpoint.name for endpoint, _ in accounts.list_endpoints(session, account_id=one.id)]
        shown = numbers if as_json else _shortened(numbers)
        emit_one({**_row(one, len(numbers)), "closed_at": one.closed_at, "numbers": shown, "endpoints": phones}, as_json=as_json)


@account.command("set", epilog=example("ringfence account set ACME --concurrency 20"))
@click.argument("ref")
@click.option("--name", type=DISPLAY_NAME, help="The customer's name.")
@click.option("--concurrency", type=click.IntRange(1, 10_000), help="Calls at once on one node.")
@click.option("--no-concurrency", is_flag=True, help="No limit on calls at once.")
@installed
def set_(installation: Installation, ref: str, name: str | None, concurrency: int | None, *, no_concurrency: bool) -> None:
    """Change an account's name or limit."""
    values: AccountValues = {}
    if name is not None:
        values["name"] = name
    if concurrency is not None and no_concurrency:
        raise Invalid("--concurrency and --no-concurrency exclude each other")
    if concurrency is not None or no_concurrency:
        values["concurrency_limit"] = concurrency
    if not values:
        raise Invalid("nothing to set", hint="'ringfence account set --help' lists what can be set")
    with installation.changing() as session:
        accounts.set_account(session, installation.clock, ref, **values)
    say(f"account {ref} is changed")


@account.command(epilog=example("ringfence account suspend ACME"))
@click.argument("ref")
@installed
def suspend(installation: Installation, ref: str) -> None:
    """Refuse an account's calls from now on; everything is kept."""
    with installation.changing() as session:
        accounts.set_account_state(session, installation.clock, ref, AccountState.SUSPENDED)
    say(f"account {ref} is suspended: its calls are refused; 'ringfence account activate {ref}' ends that")


@account.command(epilog=example("ringfence account activate ACME"))
@click.argument("ref")
@installed
def activate(installation: Installation, ref: str) -> None:
    """Let a suspended account's calls through again."""
    with installation.changing() as session:
        accounts.set_account_state(session, installation.clock, ref, AccountState.ACTIVE)
    say(f"account {ref} is active")


@account.command(epilog=example("ringfence account close ACME            shows what would happen", "ringfence account close ACME --commit"))
@click.argument("ref")
@commit_option
@installed
def close(installation: Installation, ref: str, *, commit: bool) -> None:
    """Close an account for good: its numbers go into quarantine, its phones are disabled, retention windows begin."""
    with installation.changing(commit=commit) as session:
        one = accounts.get_open_account(session, ref)
        numbers = numbering.numbers_of(session, one.id)
        phones = accounts.list_endpoints(session, account_id=one.id)
        numbering.close_account(session, installation.clock, ref)
    effect = f"{len(numbers)} number(s) go into quarantine and lose their targets, {len(phones)} phone(s) are disabled"
    say(f"account {ref} is closed: {effect}" if commit else f"would close account {ref} for good: {effect}")
    if not commit:
        note("nothing was changed; add --commit to do it")


def _row(one: Account, numbers: int) -> dict[str, Any]:
    return {
        "ref": one.ref,
        "name": one.name,
        "state": one.state,
        "numbers": numbers,
        "concurrency_limit": one.concurrency_limit,
        "created_at": one.created_at,
    }


def _shortened(numbers: list[str]) -> list[str]:
    return numbers if len(numbers) <= 20 else [*numbers[:20], f"… and {len(numbers) - 20} more: 'ringfence number list --account'"]
