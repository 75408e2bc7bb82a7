"""The group `number`: DIDs, their owners, and where they forward to."""

from __future__ import annotations

from typing import Any

import click

from dialplan.forwarding import format_forwarding, parse_forwarding
from dialplan.number_use import check_did
from dialplan.numbers import classify
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import NUMBER, commit_option, example, forwarding_rules, json_option
from ringfence.errors import Invalid
from ringfence.lazy import Lazy, LazyGroup
from ringfence.output import Column, emit, emit_one, note, say, warn
from ringfence.queries import accounts, numbering
from ringfence.queries.numbering import DidLine
from ringfence.values import E164, DidState

_LAZY = {
    "explain": Lazy("ari_app.commands.explain:explain", "Tell how a call to a number is decided, rule by rule."),
    "export": Lazy("ringfence.commands.number_files:export", "Write the numbers to a CSV file that 'import' reads."),
    "import": Lazy("ringfence.commands.number_files:import_", "Take in a CSV file: all rows or none."),
}
_COLUMNS = (
    Column("number", "number"),
    Column("class", "class"),
    Column("state", "state"),
    Column("account", "account"),
    Column("forward_to", "forwards to"),
)


@click.group(cls=LazyGroup, lazy=_LAZY)
def number() -> None:
    """Manage numbers (DIDs): stock, owners, forwarding, import and export."""


@number.command(epilog=example('ringfence number add "020 7946 0123"', "ringfence number add 02079460123 --account ACME"))
@click.argument("did", metavar="NUMBER", type=NUMBER)
@click.option("--account", "ref", help="Assign it at once to this account.")
@installed
def add(installation: Installation, did: E164, ref: str | None) -> None:
    """Take a number into stock."""
    warnings = check_did(did, allow_drama=installation.settings.routing.drama_numbers)
    with installation.changing() as session:
        numbering.add_did(session, installation.clock, did, classify(did))
        if ref:
            numbering.assign_did(session, installation.clock, did, ref)
    for warning in warnings:
        warn(warning)
    say(f"{did} is account {ref}'s; 'ringfence number forward {did} --to …' says where it goes" if ref else f"{did} is in stock")


@number.command(epilog=example("ringfence number assign 02079460123 ACME"))
@click.argument("did", metavar="NUMBER", type=NUMBER)
@click.argument("ref", metavar="ACCOUNT")
@click.option("--end-quarantine", is_flag=True, help="Give it out although its last owner's callers may still call it.")
@installed
def assign(installation: Installation, did: str, ref: str, *, end_quarantine: bool) -> None:
    """Give a number to an account, and activate it."""
    with installation.changing() as session:
        numbering.assign_did(session, installation.clock, did, ref, end_quarantine=end_quarantine)
    say(f"{did} is account {ref}'s; 'ringfence number forward {did} --to …' says where it goes")


@number.command(epilog=example("ringfence number release 02079460123            shows what would happen", "ringfence number release 02079460123 --commit"))
@click.argument("did", metavar="NUMBER", type=NUMBER)
@commit_option
@installed
def release(installation: Installation, did: str, *, commit: bool) -> None:
    """Take a number back from its account: its targets are dropped and it goes into quarantine."""
    with installation.changing(commit=commit) as session:
        numbering.get_did(session, did)
        before = next(numbering.find_dids(session, [did]))
        numbering.release_dids(session, installation.clock, [did])
    effect = f"account {before.account} loses it, {len(before.targets)} target(s) are dropped, it goes into quarantine"
    say(f"{did} is released: {effect}" if commit else f"would release {did}: {effect}")
    if not commit:
        note("nothing was changed; add --commit to do it")


@number.command(
    epilog=example(
        "ringfence number forward 02079460123 --to mobile:07700900123:25 --to landline:01174960456",
        "ringfence number forward 02079460123 --to endpoint:desk-12/07700900123     both ring together",
        "ringfence number forward 02079460123 --none",
    )
)
@click.argument("did", metavar="NUMBER", type=NUMBER)
@click.option("--to", "turns", multiple=True, metavar="[KIND:]TARGET[:SECONDS]", help="Ring this; repeat for who is rung next. A slash rings several together.")
@click.option("--none", "nowhere", is_flag=True, help="Forward nowhere: callers hear that the number cannot be reached.")
@installed
def forward(installation: Installation, did: str, turns: tuple[str, ...], *, nowhere: bool) -> None:
    """Set where a number forwards to, in place of what was set. KIND is mobile, landline or endpoint."""
    if bool(turns) == nowhere:
        raise Invalid("give either --to TARGET or --none", hint="'ringfence number forward --help' shows how targets are written")
    forwarding = parse_forwarding(turns, forwarding_rules(installation.settings))
    with installation.changing() as session:
        numbering.replace_targets(session, installation.clock, did, forwarding.targets)
    for warning in forwarding.warnings:
        warn(warning)
    say(f"{did} forwards to " + (", then ".join(format_forwarding(forwarding.targets)) or "nowhere"))


@number.command("list", epilog=example("ringfence number list --account ACME", "ringfence number list --state quarantined --limit 0 --json"))
@click.option("--account", "ref", help="Only this account's.")
@click.option("--state", type=click.Choice([state.value for state in DidState]), help="Only those in this state.")
@click.option("--prefix", default="", metavar="+44…", help="Only those that begin so.")
@click.option("--limit", type=click.IntRange(0), default=100, show_default=True, help="At most so many; 0 = all.")
@json_option
@installed
def list_(installation: Installation, ref: str | None, state: str | None, prefix: str, limit: int, *, as_json: bool) -> None:
    """List numbers."""
    with installation.reading() as session:
        account_id = accounts.get_account(session, ref).id if ref else None
        found = numbering.list_dids(session, account_id=account_id, state=DidState(state) if state else None, prefix=prefix, limit=limit + 1 if limit else None)
        count = 0

        def rows() -> Any:
            nonlocal count
            for count, line in enumerate(found, 1):
                if limit and count > limit:
                    return
                yield _row(line)

        emit(rows(), _COLUMNS, as_json=as_json, empty="no number; take one into stock with 'ringfence number add'")
    if limit and count > limit:
        note(f"there are more; --limit 0 shows all, 'ringfence number export' writes them to a file (shown: {limit})")


@number.command(epilog=example("ringfence number show 02079460123"))
@click.argument("did", metavar="NUMBER", type=NUMBER)
@json_option
@installed
def show(installation: Installation, did: str, *, as_json: bool) -> None:
    """Show a number, where it forwards to, and who had it when."""
    with installation.reading() as session:
        numbering.get_did(session, did)
        line = next(numbering.find_dids(session, [did]))
        owners = numbering.history(session, did)
        shown: list[Any] = (
            list(owners) if as_json else [f"{one.account} from {one.since:%Y-%m-%d} {f'to {one.until:%Y-%m-%d}' if one.until else 'on'}" for one in owners]
        )
        emit_one({**_row(line), "created_at": line.created_at, "owners": shown} | ({"targets": line.targets} if as_json else {}), as_json=as_json)


def _row(line: DidLine) -> dict[str, Any]:
    return {
        "number": line.e164,
        "class": line.number_class,
        "state": line.state,
        "account": line.account,
        "forward_to": format_forwarding(line.targets),
    }
