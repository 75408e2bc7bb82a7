"""`emergency tests|record-test`: which tests of calls to 999 are due, which were held, and writing down one that was held by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import OPERATOR, Checked, example, json_option, login_name
from ringfence.emergency import HowTested
from ringfence.models import EmergencyTest
from ringfence.output import Column, emit, emit_one, say
from ringfence.provisioning import check_note
from ringfence.queries import emergency_tests
from ringfence.queries.emergency_tests import DueTest, Held

_DUE = (Column("node", "node"), Column("cause", "cause"), Column("since", "since"), Column("status", "status"), Column("reason", "why"))
_HELD = (
    Column("at", "held"),
    Column("node", "node"),
    Column("how", "how"),
    Column("result", "result"),
    Column("by", "by"),
    Column("due", "what was due"),
    Column("failed", "what failed"),
    Column("note", "note"),
)


@click.command(epilog=example("ringfence emergency tests", "ringfence emergency tests --json"))
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="List at most so many that were held.")
@json_option
@installed
def tests(installation: Installation, limit: int, *, as_json: bool) -> None:
    """List which tests of calls to 999 are due or overdue, on any node, and those that were held, the newest first.

    One is due from a change of the emergency trunks, of the dialplan that 999 goes through, or of a number's class of use, until one is passed.
    How long it may be due is the setting emergency.test_days.
    """
    now, days = installation.clock.now(), installation.settings.emergency.test_days
    with installation.reading() as session:
        due = [_due(each, now, days) for each in emergency_tests.due(session, now)]
        held = [_held(test) for test in emergency_tests.list_tests(session, limit=limit)]
    if as_json:
        emit_one({"due": due, "held": held}, as_json=True)
        return
    emit(due, _DUE, as_json=False, empty="no test is due")
    say("")
    emit([{**row, "due": ", ".join(row["due"]), "failed": ", ".join(row["failed"])} for row in held], _HELD, as_json=False, empty="no test was held yet")


@click.command("record-test", epilog=example('ringfence emergency record-test --result passed --note "with the carrier, reference 4711"'))
@click.option("--result", required=True, type=click.Choice(["passed", "failed"]), help="How it ended.")
@click.option("--by", type=OPERATOR, default=login_name, show_default="your login name", help="Who tested.")
@click.option("--note", type=Checked("text", check_note), default="", help="What should be remembered; no customer's name or number.")
@installed
def record_test(installation: Installation, result: str, by: str, note: str) -> None:
    """Write down a test that was held by hand as the carrier says, of what this node has in place now.

    'emergency test' never calls the real 999. Only the carrier can say how that may be tried.
    """
    now, node = installation.clock.now(), installation.settings.node
    with installation.changing() as session:
        held = Held(node=node, began_at=now, how=HowTested.CARRIER, passed=result == "passed", by=by, note=note)
        test = emergency_tests.add(session, installation.clock, held)
        left = emergency_tests.due(session, now, node=node)
    say(f"{test.id}: {result}, by {by}; {f'{len(left)} test(s) still due' if left else 'no test is due'} on {node}")


def _due(each: DueTest, now: datetime, days: int) -> dict[str, Any]:
    late = bool(emergency_tests.overdue([each], now, days))
    return {"node": each.node, "cause": each.cause, "since": each.since, "status": "overdue" if late else "due", "reason": each.reason, "count": each.count}


def _held(test: EmergencyTest) -> dict[str, Any]:
    return {
        "id": test.id,
        "at": test.at,
        "began_at": test.began_at,
        "node": test.node,
        "how": test.how,
        "result": "passed" if test.passed else "failed",
        "by": test.tested_by,
        "due": [each["cause"] for each in test.due],
        "failed": [each["check"] for each in test.checks if not each["ok"]],
        "note": test.note,
        "trunks": test.trunks,
        "dialplan": test.dialplan,
        "checks": test.checks,
    }
