"""`account policy`: which policy governs an account's data."""

from __future__ import annotations

import click

from retention.commands.preview import show_shifts
from retention.purge.preview import assign
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import commit_option, example, json_option
from ringfence.errors import Invalid
from ringfence.output import emit_one, note, say
from ringfence.queries import accounts, policies


@click.command(epilog=example("ringfence account policy ACME", "ringfence account policy ACME --policy voipfone --commit"))
@click.argument("ref")
@click.option("--policy", "key", help="Put it under this policy.")
@click.option("--default", "to_default", is_flag=True, help="Put it under the operator's policy again.")
@commit_option
@json_option
@installed
def policy(installation: Installation, ref: str, key: str | None, *, to_default: bool, commit: bool, as_json: bool) -> None:
    """Show which policy governs an account's data, or put it under another: first shows how many rows would go or stay, by class and day."""
    if key is not None and to_default:
        raise Invalid("--policy and --default exclude each other")
    default = installation.settings.retention.policy
    if key is None and not to_default:
        with installation.reading() as session:
            own = policies.policy_of(session, accounts.get_account(session, ref).id)
        emit_one({"account": ref, "policy": own or default, "own": own is not None}, as_json=as_json)
        return
    wanted = None if to_default or key == default else key
    with installation.changing(commit=commit) as session:
        found = accounts.get_account(session, ref).id
        changes, moved = assign(session, installation.clock, installation.settings, found, wanted)
    if as_json:
        emit_one({"account": ref, "policy": wanted or default, "committed": commit, "changes": changes, "now": moved}, as_json=True)
    else:
        show_shifts(changes, {"at the next run": moved})
        say(f"account {ref} is under {wanted or default}" if commit else f"would put account {ref} under {wanted or default}")
    if not commit:
        note("nothing was changed; add --commit to do it")
