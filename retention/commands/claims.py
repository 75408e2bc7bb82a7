"""The group `claims`: published promises, checked on the live system."""

from __future__ import annotations

from typing import Any

import click

from retention.claims.checking import ClaimResult, Context, Status, check_claims
from retention.claims.register import providers
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import example, json_option
from ringfence.errors import Refused
from ringfence.output import Column, emit
from ringfence.queries.asked import recording
from ringfence.queries.conservation import begin_snapshot

_COLUMNS = (Column("id", "promise"), Column("status", "status"), Column("says", "what it says"), Column("why", "why"))
_SHORT = 70  # characters of a promise in the table


@click.group()
def claims() -> None:
    """Check what the published privacy policies promise."""


@claims.command(epilog=example("ringfence claims check", "ringfence claims check --provider voipfone --json"))
@click.option("--provider", metavar="KEY", type=click.Choice([each.key for each in providers()]), help="Only the promises of this provider.")
@json_option
@installed
def check(installation: Installation, provider: str | None, *, as_json: bool) -> None:
    """Run every check on the live system; ends with 3 when a promise is not kept. Reads only.

    Files are those of this machine's node.
    """
    with installation.reading() as session:
        begin_snapshot(session)
        with recording(session, installation.clock) as asked:
            found = check_claims(Context(session, installation.settings, installation.clock, asked), provider)
    emit((_row(result, as_json=as_json) for result in found), _COLUMNS, as_json=as_json)
    failed = [result.id for result in found if result.status is Status.FAIL]
    if failed:
        raise Refused(f"{len(failed)} promise(s) are not kept: {', '.join(failed)}", hint="--json shows for each check what was asked and what came of it")


def _row(result: ClaimResult, *, as_json: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"id": result.id, "provider": result.provider, "status": result.status, "says": result.says}
    if as_json:
        return row | {"evidence": result.evidence}
    says = result.says if len(result.says) <= _SHORT else result.says[: _SHORT - 1] + "…"
    why = [f"{each.check}: {each.reason}" for each in result.evidence if each.status is result.status and each.reason]
    return row | {"says": says, "why": "; ".join(why)}
