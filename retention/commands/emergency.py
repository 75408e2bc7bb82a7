"""The group `emergency`: addresses for 999, who lacks one, looking one up when the 999 operator asks, and tests of calls to 999."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from dialplan.emergency.address import one_line
from dialplan.emergency.matrix import judge
from retention.emergency import coverage as covering
from retention.emergency.confirming import count_due, list_due, periods_of
from retention.emergency.coverage import Gap
from ringfence.audit import log
from ringfence.audit.kinds import PURPOSES
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import NUMBER, example, json_option
from ringfence.lazy import Lazy, LazyGroup
from ringfence.models import Account
from ringfence.output import Column, emit, emit_one, note, say
from ringfence.queries import accounts, calls, numbering, registrations
from ringfence.queries import emergency as stored

_RECENT = timedelta(days=31)  # in which the last call is looked for
LAZY = {
    "address": Lazy("retention.commands.emergency_address:address", "The address of one number: set, show, history, confirm."),
    "export": Lazy("retention.commands.emergency_files:export", "Write the addresses to a CSV file that 'import' reads."),
    "poll": Lazy("retention.commands.emergency_carrier:poll", "Do now what is due at the carrier."),
    "reports": Lazy("retention.commands.emergency_carrier:reports", "List the numbers that a 999 operator had no address of."),
    "record-test": Lazy("retention.commands.emergency_tests:record_test", "Write down a test of 999 that was held by hand with the carrier."),
    "test": Lazy("ari_app.commands.emergency_test:test", "Test calls to 999 on this node, without calling the real 999."),
    "tests": Lazy("retention.commands.emergency_tests:tests", "List tests of calls to 999: due, overdue and held."),
    "submit": Lazy("retention.commands.emergency_carrier:submit", "Have a number's address sent to the carrier again."),
    "withdraw": Lazy("retention.commands.emergency_carrier:withdraw", "Ask again to take out the address of a number that left."),
    "import": Lazy("retention.commands.emergency_files:import_", "Take in a CSV file of addresses: all rows or none."),
}
_GAPS = (
    Column("number", "number"),
    Column("account", "account"),
    Column("location", "class"),
    Column("state", "state"),
    Column("age_hours", "hours", right=True),
    Column("alarm", "alarm", right=True),
    Column("blocked", "calls refused"),
    Column("why", "why"),
)


@click.group(cls=LazyGroup, lazy=LAZY)
def emergency() -> None:
    """Manage 999: addresses, who lacks one, looking one up, tests of calls."""


@emergency.command(epilog=example("ringfence emergency coverage", "ringfence emergency coverage --limit 0 --json"))
@click.option("--account", "ref", help="List only this account's numbers.")
@click.option("--limit", type=click.IntRange(0), default=100, show_default=True, help="List at most so many; 0 = all.")
@json_option
@installed
def coverage(installation: Installation, ref: str | None, limit: int, *, as_json: bool) -> None:
    """Show how many numbers that can call have an accepted address, and list those that have not, the oldest first.

    The alarm is 1 after 24 hours without an accepted address, 2 after 72. Addresses that nobody has confirmed for emergency.confirm_every are counted;
    --json lists them too, with their age and owner.
    """
    periods, now = periods_of(installation.settings.emergency), installation.clock.now()
    with installation.reading() as session:
        account_id = accounts.get_account(session, ref).id if ref else None
        counts, found = covering.survey(session, now, account_id=account_id, limit=limit or None)
        due = count_due(session, periods, now)
        listed = list(list_due(session, periods, now, account_id=account_id, limit=limit or None)) if due and as_json else []
    if as_json:
        emit_one({**_counts(counts), "to_confirm": due, "listed": found, "listed_to_confirm": listed}, as_json=True)
        return
    emit((_gap(gap) for gap in found), _GAPS, as_json=False, empty="no number lacks an address")
    say(f"{counts.can_call} number(s) can call, {counts.covered} covered, {counts.gaps} not: {_said(counts.states)}")
    say(f"ordinary calls refused: {_said(counts.blocked)}")
    say(f"addresses to be confirmed again: {due}{'; --json lists them' if due else ''}")
    if limit and len(found) == limit < counts.gaps:
        note(f"there are more; --limit 0 lists all (shown: {limit})")


@emergency.command(
    epilog=example("ringfence emergency lookup 02079460123 --purpose emergency_services", "ringfence emergency lookup 02079460123 --purpose customer --json")
)
@click.argument("did", metavar="NUMBER", type=NUMBER)
@click.option("--purpose", required=True, type=click.Choice(PURPOSES), help="Why; goes into the audit log.")
@json_option
@installed
def lookup(installation: Installation, did: str, purpose: str, *, as_json: bool) -> None:
    """Tell at once where a number is used and who has it, for a 999 operator on the other line. Each look-up is in the audit log.

    Also when and from which IP address a phone that presents the number registered last, within a minute, and when it last called, of the last 31 days.
    """
    began = installation.clock.monotonic()
    with installation.changing() as session:
        row = numbering.get_did(session, did)
        record = stored.current(session, did)
        owner = session.get(Account, row.account_id) if row.account_id is not None else None
        phones = stored.presenting(session, did)
        made = calls.last_made(session, did, installation.clock.now() - _RECENT)
        seen = [{"phone": one.endpoint, "at": one.registered_at, "from": one.address, "node": one.node} for one in registrations.last_of(session, phones)]
        shown: dict[str, Any] = {
            "number": did,
            "address": one_line(stored.address_of(record)) if record and record.postcode else None,
            "class": record.location if record else None,
            "state": record.state if record else "missing",
            "confirmed_by": record.confirmed_by if record else None,
            "confirmed_at": record.confirmed_at if record else None,
            "account": owner.ref if owner else None,
            "customer": owner.name if owner else None,
            "phones": phones,
            "last_registered_at": seen[0]["at"] if seen else None,
            "last_registered_from": seen[0]["from"] if seen else None,
            "last_registered_phone": seen[0]["phone"] if seen else None,
            "last_call_at": made,
        }
        milliseconds = round((installation.clock.monotonic() - began) * 1000)
        log.append(session, installation.clock, "emergency.looked_up", actor="operator", record=record.id if record else None, purpose=purpose, ms=milliseconds)
    if as_json:
        shown["registrations"] = seen
        if record:
            shown["fields"] = stored.address_of(record)
    emit_one(shown, as_json=as_json)
    if record is not None and (verdict := judge(stored.facts_of(record))).needs_record and not verdict.covered:
        note(f"the 999 database may not have this: {verdict.why}")


def _counts(counts: covering.Coverage) -> dict[str, Any]:
    return {"can_call": counts.can_call, "covered": counts.covered, "gaps": counts.gaps, "states": counts.states, "blocked": counts.blocked}


def _gap(gap: Gap) -> dict[str, Any]:
    return {field: getattr(gap, field) for field in gap.__struct_fields__}


def _said(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()) or "none"
