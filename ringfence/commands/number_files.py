"""`number import` and `number export`: numbers as CSV files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from dialplan.forwarding import ForwardingRules, format_forwarding
from dialplan.number_rows import OPTIONAL, REQUIRED, parse_row
from ringfence import csvfile
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import commit_option, example, forwarding_rules, json_option
from ringfence.errors import Invalid, RingfenceError
from ringfence.output import Column, emit, emit_one, note, say
from ringfence.provisioning import DidWish
from ringfence.queries import accounts, numbering
from ringfence.queries.imports import DidChange, Effect, ImportPlan, Problem, apply_import, plan_import
from ringfence.queries.plan import begin_change

_EXPORTED = ("number", "account", "forward_to")
_SHOWN = 20  # changes
_SHOWN_PROBLEMS = 50
_COLUMNS = (
    Column("effect", "effect"),
    Column("number", "number"),
    Column("account", "account"),
    Column("before", "forwards to now"),
    Column("after", "forwards to then"),
)


@click.command(
    "import",
    epilog=example(
        "ringfence number import numbers.csv            shows what would change",
        "ringfence number import numbers.csv --commit",
        "",
        "number,account,forward_to",
        "02079460123,ACME,mobile:07700900123:25; endpoint:desk-12/landline:01174960456",
    ),
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@commit_option
@json_option
@installed
def import_(installation: Installation, file: Path, *, commit: bool, as_json: bool) -> None:
    """Take in a CSV file: all rows or none.

    The columns are number, account, forward_to and ring_seconds (for targets that name no seconds). A column that is not in the file
    leaves things as they are. In forward_to a semicolon separates who is rung after whom, a slash who rings together.
    """
    wishes, problems = _read(file, forwarding_rules(installation.settings))
    with installation.changing(commit=commit) as session:
        version = begin_change(session, installation.clock) if commit else 0
        plan = plan_import(session, wishes)
        problems = sorted([*problems, *plan.problems], key=lambda problem: problem.line)
        if problems:
            refuse_rows(problems)
        if commit and plan.changes:
            apply_import(session, installation.clock, version, plan.changes)
        elif commit:
            session.rollback()
    _report(plan, commit=commit, as_json=as_json)


@click.command(epilog=example("ringfence number export numbers.csv", "ringfence number export - --account ACME"))
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True, dir_okay=False))
@click.option("--account", "ref", help="Only this account's.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@installed
def export(installation: Installation, file: Path, ref: str | None, *, force: bool) -> None:
    """Write numbers, owners and forwarding to a CSV file of mode 0600 that 'import' reads; '-' is stdout.

    An apostrophe stands before cells that a spreadsheet would take for a formula, such as +44…; 'import' takes it away.
    """
    with installation.reading() as session:
        account_id = accounts.get_account(session, ref).id if ref else None
        lines = numbering.list_dids(session, account_id=account_id)
        rows = ((line.e164, line.account or "", "; ".join(format_forwarding(line.targets))) for line in lines)
        if str(file) == "-":
            csvfile.write_to(sys.stdout, _EXPORTED, rows)
            return
        count = csvfile.write_rows(file, _EXPORTED, rows, replace=force)
    say(f"{count} number(s) are in {file}")


def _read(file: Path, rules: ForwardingRules) -> tuple[list[tuple[int, DidWish]], list[Problem]]:
    wishes: list[tuple[int, DidWish]] = []
    problems: list[Problem] = []
    for line, fields in csvfile.read_rows(file, required=REQUIRED, optional=OPTIONAL):
        try:
            if isinstance(fields, Invalid):
                raise fields
            wishes.append((line, parse_row(fields, rules)))
        except RingfenceError as error:
            problems.append(Problem(line, error.message))
    return wishes, problems


def refuse_rows(problems: Sequence[Problem]) -> NoReturn:
    """Tell what is wrong with each row, up to a point, and refuse the file.

    Raises:
        Invalid: always.
    """
    for problem in problems[:_SHOWN_PROBLEMS]:
        note(f"line {problem.line}: {problem.message}")
    if len(problems) > _SHOWN_PROBLEMS:
        note(f"… and {len(problems) - _SHOWN_PROBLEMS} more")
    raise Invalid(f"{len({problem.line for problem in problems})} row(s) cannot be taken in: nothing was changed", hint="correct them and run the import again")


def _report(plan: ImportPlan, *, commit: bool, as_json: bool) -> None:
    counts: dict[str, Any] = {effect.value: plan.count(effect) for effect in Effect} | {"unchanged": plan.unchanged}
    if as_json:
        emit_one({"committed": commit, **counts, "changes": [_row(change) for change in plan.changes]}, as_json=True)
        return
    emit((_row(change) for change in plan.changes[:_SHOWN]), _COLUMNS, as_json=False, empty="nothing changes")
    if len(plan.changes) > _SHOWN:
        note(f"… and {len(plan.changes) - _SHOWN} more; --json lists all")
    rerouted = sum(1 for change in plan.changes if change.targets != change.targets_before)
    summary = ", ".join(f"{count} {name}" for name, count in counts.items())
    say(f"{'done' if commit else 'would be'}: {summary}; calls to {rerouted} number(s) {'go' if commit else 'would go'} elsewhere than before")
    if not commit:
        note("nothing was changed; add --commit to do it")


def _row(change: DidChange) -> dict[str, Any]:
    owner = change.account if change.account == change.account_before or change.account_before is None else f"{change.account_before} -> {change.account}"
    return {
        "effect": change.effect,
        "number": change.e164,
        "account": owner,
        "before": format_forwarding(change.targets_before),
        "after": format_forwarding(change.targets),
    }
