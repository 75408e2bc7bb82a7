"""The group `hold`: legal holds. A secret one is shown to its keeper alone; to others there is no such hold."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import click

from retention import holds
from retention.calendar import local_date, midnight
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import DAY, NUMBER, OPERATOR, REF, Asked, commit_option, example, json_option, operator_option
from ringfence.errors import Invalid
from ringfence.models import LegalHold
from ringfence.models.base import DataClass
from ringfence.output import Column, emit, emit_one, note, say
from ringfence.queries import accounts
from ringfence.queries import holds as queries
from ringfence.queries.holds import Scope

_NUMBER, _REASON = Asked(NUMBER, "number"), Asked(click.STRING, "reason")
_COLUMNS = (
    Column("id", "hold"),
    Column("data_class", "class"),
    Column("account", "account"),
    Column("number", "number"),
    Column("since", "first day"),
    Column("until", "last day"),
    Column("owner", "owner"),
    Column("review_by", "review by"),
    Column("state", "state"),
    Column("reason", "reason"),
)


@click.group()
def hold() -> None:
    """Place, show, review and release legal holds. What a hold covers is not deleted, whatever its window."""


@hold.command(
    epilog=example(
        'ringfence hold add --account ACME --since 2026-01-01 --until 2026-03-31 --reason "claim 2026-17" --review-by 2027-06-01',
        "ringfence hold add --number - --reason - --secret --review-by 2027-06-01      asks for what must not be in the list of processes",
    )
)
@click.option("--account", type=REF, help="What belongs to this account.")
@click.option("--number", type=_NUMBER, help="What this number has a side in; '-' = ask.")
@click.option("--class", "data_class", type=click.Choice([each.value for each in DataClass]), help="Only this data class.")
@click.option("--since", type=DAY, help="First day in London [default: since ever].")
@click.option("--until", type=DAY, help="Last day in London [default: for ever].")
@click.option("--reason", type=_REASON, required=True, help="Why, at most 400 characters; '-' = ask.")
@click.option("--review-by", type=DAY, required=True, help="Day on which somebody must look again.")
@click.option("--owner", type=OPERATOR, help="Who answers for it [default: you].")
@click.option("--secret", is_flag=True, help="Nobody but you may learn of it.")
@operator_option
@json_option
@installed
def add(
    installation: Installation,
    account: str | None,
    number: str | None,
    data_class: str | None,
    since: date | None,
    until: date | None,
    reason: str,
    review_by: date,
    owner: str | None,
    operator: str,
    *,
    secret: bool,
    as_json: bool,
) -> None:
    """Place a hold: at least one of account, number, class and days."""
    if secret and owner not in {None, operator}:
        raise Invalid("a secret hold is known to its keeper alone: you", hint="leave --owner out; the keeper places it")
    with installation.changing() as session:
        account_id = accounts.get_account(session, account).id if account else None
        first, last = (midnight(since) if since else None), (midnight(until + timedelta(days=1)) if until else None)
        scope = Scope(data_class, account_id, number, first, last)
        placed = holds.place(session, installation.clock, scope, reason=reason, owner=owner or operator, review_by=review_by, secret=secret)
        row = _row(placed, account)
    if as_json:
        emit_one(row, as_json=True)
        return
    say(f"hold {placed.id} is in force; somebody must look again by {placed.review_by.isoformat()}")
    if secret:
        note(f"only {operator} can see, review and release it: write the id down")


@hold.command("list", epilog=example("ringfence hold list", "ringfence hold list --all --json"))
@click.option("--all", "released", is_flag=True, help="Released ones too.")
@click.option("--due", is_flag=True, help="Only those that somebody must look at by today.")
@operator_option
@json_option
@installed
def list_(installation: Installation, operator: str, *, released: bool, due: bool, as_json: bool) -> None:
    """List the holds that you may know of, oldest first."""
    with installation.reading() as session:
        found = holds.list_visible(session, operator, released=released)
        today = local_date(installation.clock.now())
        wanted = [each for each in found if not due or (each.released_at is None and each.review_by <= today)]
        refs = accounts.refs_of(session, {each.account_id for each in wanted if each.account_id is not None})
        emit((_row(each, refs.get(each.account_id or 0), today) for each in wanted), _COLUMNS, as_json=as_json, empty="no legal hold that you may know of")


@hold.command(epilog=example("ringfence hold show 5f0c…", "ringfence hold show 5f0c… --rows     what a secret hold has kept, as JSON"))
@click.argument("hold_id", metavar="HOLD")
@click.option("--rows", is_flag=True, help="Print what a secret hold has kept, one JSON object a line.")
@operator_option
@json_option
@installed
def show(installation: Installation, hold_id: str, operator: str, *, rows: bool, as_json: bool) -> None:
    """Show one hold."""
    with installation.reading() as session:
        found = queries.find_hold(session, hold_id, operator)
        kept = holds.kept_rows(session, hold_id, operator) if found.secret else []
        if rows:
            for each in kept:
                click.echo(json.dumps({"table": each.table_name, "class": each.data_class, "row": json.loads(each.row)}))
            return
        ref = accounts.refs_of(session, {found.account_id}).get(found.account_id) if found.account_id is not None else None
        row = _row(found, ref, local_date(installation.clock.now()))
        emit_one({**row, "kept_rows": len(kept)} if found.secret else row, as_json=as_json)


@hold.command(epilog=example("ringfence hold review 5f0c… --next 2027-12-01"))
@click.argument("hold_id", metavar="HOLD")
@click.option("--next", "next_review", type=DAY, required=True, help="Day on which somebody must look again.")
@operator_option
@installed
def review(installation: Installation, hold_id: str, next_review: date, operator: str) -> None:
    """Note that you looked at a hold and that it is still needed."""
    with installation.changing() as session:
        found = holds.review(session, installation.clock, hold_id, by=operator, next_review=next_review)
    say(f"hold {found.id} stays; somebody must look again by {found.review_by.isoformat()}")


@hold.command(epilog=example("ringfence hold release 5f0c…            shows what would happen", "ringfence hold release 5f0c… --commit"))
@click.argument("hold_id", metavar="HOLD")
@commit_option
@operator_option
@installed
def release(installation: Installation, hold_id: str, operator: str, *, commit: bool) -> None:
    """End a hold: what it kept and is past its window goes at the next run; what a secret one kept goes at once."""
    with installation.changing(commit=commit) as session:
        found = queries.find_hold(session, hold_id, operator)
        secret = found.secret
        kept = len(holds.kept_rows(session, hold_id, operator)) if secret else 0
        holds.release(session, installation.clock, hold_id, by=operator)
    what = "what it kept and is past its window goes at the next run"
    if secret:
        what = f"{kept} row(s) that it kept {'are' if commit else 'would be'} deleted now"
    say(f"hold {hold_id} is released: {what}" if commit else f"would release hold {hold_id} for good: {what}")
    if not commit:
        note("nothing was changed; add --commit to do it")


def _row(found: LegalHold, account: str | None, today: date | None = None) -> dict[str, Any]:
    overdue = today is not None and found.review_by < today
    state = "released" if found.released_at is not None else "review overdue" if overdue else "in force"
    return {
        "id": found.id,
        "data_class": found.data_class,
        "account": account if account is not None or found.account_id is None else f"gone (id {found.account_id})",
        "number": found.number,
        "since": local_date(found.since) if found.since else None,
        "until": local_date(found.until - timedelta(microseconds=1)) if found.until else None,
        "reason": found.reason,
        "owner": found.owner,
        "secret": found.secret,
        "state": f"{state}, secret" if found.secret else state,
        "review_by": found.review_by,
        "placed_at": found.placed_at,
        "reviewed_at": found.reviewed_at,
        "released_at": found.released_at,
        "released_by": found.released_by,
    }
