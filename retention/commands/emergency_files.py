"""`emergency import` and `emergency export`: addresses as CSV files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from dialplan.emergency.address import one_line
from retention.emergency import files
from retention.emergency.files import AddressImport, Effect
from ringfence import csvfile
from ringfence.audit import log
from ringfence.commands.installation import Installation, installed
from ringfence.commands.number_files import refuse_rows
from ringfence.commands.options import commit_option, example, json_option
from ringfence.output import Column, emit, emit_one, note, say
from ringfence.queries import accounts, emergency

_SHOWN = 20  # changes
_COLUMNS = (Column("effect", "effect"), Column("number", "number"), Column("class", "class"), Column("address", "address"), Column("remarks", "remarks"))


@click.command(
    "import",
    epilog=example(
        "ringfence emergency import addresses.csv            shows what would change",
        "ringfence emergency import addresses.csv --commit",
        "",
        "number,class,forename,name,premises,thoroughfare,locality,postcode,confirmed_by,confirmed_how",
        '02079460123,fixed,Ada,Example,"Flat 2, 104",King Street,Sheffield,S9 5AD,Ada Example,phone',
    ),
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@commit_option
@json_option
@installed
def import_(installation: Installation, file: Path, *, commit: bool, as_json: bool) -> None:
    """Take in a CSV file of addresses: all rows or none.

    The columns are number, class, and those of an address: title, forename, name, honours, bussuffix, premises, thoroughfare, locality,
    postcode; also confirmed_by with confirmed_how, and acknowledged (yes or no).
    """
    wishes, problems = files.read_wishes(csvfile.read_rows(file, required=files.REQUIRED, optional=files.OPTIONAL))
    with installation.changing(commit=commit) as session:
        plan = files.plan_import(session, wishes, problems)
        if plan.problems:
            refuse_rows(plan.problems)
        if commit and plan.changes:
            emergency.add_versions(session, installation.clock, {wish.e164: wish.version for _, wish in plan.changes})
        elif commit:
            session.rollback()
    _report(plan, commit=commit, as_json=as_json)


@click.command(epilog=example("ringfence emergency export addresses.csv", "ringfence emergency export - --account ACME"))
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True, dir_okay=False))
@click.option("--account", "ref", help="Only this account's.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@installed
def export(installation: Installation, file: Path, ref: str | None, *, force: bool) -> None:
    """Write the addresses that are held to a CSV file of mode 0600 that 'import' reads; '-' is stdout. The audit log tells how many."""
    with installation.changing() as session:
        account_id = accounts.get_account(session, ref).id if ref else None
        rows = (files.exported_row(record) for record, _ in emergency.exported(session, account_id=account_id))
        to_stdout = str(file) == "-"
        count = csvfile.write_to(sys.stdout, files.COLUMNS, rows) if to_stdout else csvfile.write_rows(file, files.COLUMNS, rows, replace=force)
        log.append(session, installation.clock, "emergency.exported", actor="operator", rows=count)
    if not to_stdout:
        say(f"{count} address(es) are in {file}")


def _report(plan: AddressImport, *, commit: bool, as_json: bool) -> None:
    counts: dict[str, Any] = {"new": plan.count(Effect.NEW), "changed": plan.count(Effect.CHANGED), "unchanged": plan.unchanged}
    rows = [
        {
            "effect": effect,
            "number": wish.e164,
            "class": wish.version.location,
            "address": one_line(wish.version.address) if wish.version.address else None,
            "remarks": list(wish.shown),
        }
        for effect, wish in plan.changes
    ]
    if as_json:
        emit_one({"committed": commit, **counts, "changes": rows}, as_json=True)
        return
    remarked = [row for row in rows if row["remarks"]]
    shown = (remarked + [row for row in rows if not row["remarks"]])[: max(_SHOWN, len(remarked))]  # whatever was shortened is always shown
    emit(shown, _COLUMNS, as_json=False, empty="nothing changes")
    if len(rows) > len(shown):
        note(f"… and {len(rows) - len(shown)} more; --json lists all")
    say(f"{'done' if commit else 'would be'}: {', '.join(f'{count} {name}' for name, count in counts.items())}")
    if not commit:
        note("nothing was changed; add --commit to do it")
