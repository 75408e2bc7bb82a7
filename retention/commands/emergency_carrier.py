"""`emergency submit|poll|withdraw|reports`: what a person asks of the carrier beside what the worker does by itself."""

from __future__ import annotations

from threading import Event

import click

from retention.emergency import again, submitting
from retention.emergency.carriers.make import make_carrier
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import NUMBER, example, json_option
from ringfence.errors import Misconfigured
from ringfence.output import Column, emit, emit_one, say
from ringfence.queries import emergency as stored
from ringfence.queries import emergency_outbox as outbox
from ringfence.session import make_sessions

_REPORTS = (
    Column("number", "number"),
    Column("account", "account"),
    Column("reported_at", "reported"),
    Column("version", "version", right=True),
    Column("state", "state"),
    Column("state_at", "since"),
)


@click.command(epilog=example("ringfence emergency submit 02079460123"))
@click.argument("did", metavar="NUMBER", type=NUMBER)
@installed
def submit(installation: Installation, did: str) -> None:
    """Have a number's address sent to the carrier again, or at once when it waits for its next attempt.

    For an address that was refused or reported missing, when the reason lay with the carrier. A wrong address is entered anew with 'address set'.
    """
    with installation.changing() as session:
        fresh = again.submit(session, installation.clock, did)
    say(f"{did}: {'queued' if fresh else 'due now'}; the worker sends it within a minute, 'ringfence emergency poll' at once")


@click.command(epilog=example("ringfence emergency withdraw 02079460123"))
@click.argument("did", metavar="NUMBER", type=NUMBER)
@installed
def withdraw(installation: Installation, did: str) -> None:
    """Ask the carrier again to take out the address of a number that left, or look whether a person there has done it."""
    with installation.changing() as session:
        again.withdraw(session, installation.clock, did)
    say(f"{did}: queued; the worker asks within a minute, 'ringfence emergency poll' at once")


@click.command(epilog=example("ringfence emergency reports", "ringfence emergency reports --limit 0 --json"))
@click.option("--limit", type=click.IntRange(0), default=100, show_default=True, help="List at most so many; 0 = all.")
@json_option
@installed
def reports(installation: Installation, limit: int, *, as_json: bool) -> None:
    """List the numbers that called 999 and of which the operator there had no address, as a carrier reported; the newest report first.

    Each was sent again at once. The worker hears of them on emergency.webhook_port. A number stays in the list until it leaves its account, also when a newer
    address is entered.
    """
    with installation.reading() as session:
        rows = [
            {"number": one.e164, "account": ref, "reported_at": one.reported_at, "version": one.version, "state": one.state, "state_at": one.state_at}
            for one, ref in stored.reported(session, limit=limit or None)
        ]
    emit(rows, _REPORTS, as_json=as_json, empty="no report")


@click.command(epilog=example("ringfence emergency poll", "ringfence emergency poll 02079460123 --json"))
@click.argument("numbers", metavar="[NUMBER]...", type=NUMBER, nargs=-1)
@json_option
@installed
def poll(installation: Installation, numbers: tuple[str, ...], *, as_json: bool) -> None:
    """Do now what is due at the carrier: submit, ask after, withdraw. Named numbers are asked after though they are not due."""
    carrier = make_carrier(installation.settings, installation.clock)
    if carrier is None:
        raise Misconfigured("no carrier of addresses is set", hint="set emergency.carrier; see the settings in docs/operating.md")
    if numbers:
        with installation.changing() as session:
            outbox.hurry(session, installation.clock, numbers)
    with installation.translated():
        turned = submitting.turn(make_sessions(installation.engine), installation.clock, carrier, Event())
    with installation.reading() as session:
        counts = {state.value: count for state, count in outbox.counts(session).items()}
    shown = {"carrier": carrier.name, "done": turned.done, "put_off": turned.put_off, "failed": turned.failed, "more": turned.more}
    emit_one({**shown, **({"requests": counts} if as_json else {f"requests_{state}": count for state, count in counts.items()})}, as_json=as_json)
