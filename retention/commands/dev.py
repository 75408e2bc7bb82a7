"""The group `dev`: for demonstrations and rehearsals, never on a store that people rely on."""

from __future__ import annotations

import click

from retention import history
from retention.calendar import local_date
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import commit_option, example, json_option
from ringfence.errors import Refused
from ringfence.output import emit_one, note

_STEP = 100_000  # calls between two lines of progress


@click.group()
def dev() -> None:
    """Fill a store with made-up calls, to see what a purge and a report make of them."""


@dev.command(epilog=example("ringfence dev seed", "ringfence dev seed --years 2 --per-day 200 --commit"))
@click.option("--years", type=click.IntRange(1, 10), default=2, show_default=True, help="Up to yesterday.")
@click.option("--per-day", type=click.IntRange(1, 20_000), default=60, show_default=True, help="Calls on a working day, about.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same calls.")
@commit_option
@json_option
@installed
def seed(installation: Installation, years: int, per_day: int, seed: int, *, commit: bool, as_json: bool) -> None:
    """Write years of made-up calls, with legs and invoice lines, of two made-up customers. Drama numbers only.

    Refused unless routing.drama_numbers is set, and on a store that holds anything which neither this command nor the demonstration made.
    """
    if not installation.settings.routing.drama_numbers:
        hint = "made-up calls belong on a store for demonstrations; there, set drama_numbers = true under [routing]"
        raise Refused("drama numbers are not allowed here: routing.drama_numbers is off", hint=hint)
    wanted = history.wanted(local_date(installation.clock.now()), years, per_day, seed)
    with installation.reading() as session:
        history.check_ours(session)
    shown: dict[str, object] = {"first": wanted.first, "last": wanted.last, "per_day": per_day, "seed": seed, "accounts": ", ".join(history.CUSTOMERS)}
    if not commit:
        emit_one(shown, as_json=as_json)
        note("nothing was written; add --commit to write it")
        return
    with installation.translated():
        new = history.write(installation.engine, wanted, _tell)
    emit_one({**shown, "calls": new}, as_json=as_json)


def _tell(calls: int) -> None:
    if calls % _STEP == 0:
        note(f"{calls} calls")
