"""Tests of calls to 999: what is due and since when, and what was tested in the period. Who tested, and what they noted, is not shown."""

from __future__ import annotations

from typing import Any

from retention.report.model import Column, Kind, Section, Table
from retention.report.reading import Reading
from ringfence.models import EmergencyTest
from ringfence.queries import emergency_tests as stored

_MOST = 10_000
_DUE = (
    Column("node", "Node"),
    Column("status", "Status", Kind.STATUS),
    Column("since", "Since", Kind.MOMENT),
    Column("age", "For", Kind.DURATION),
    Column("reason", "Why"),
)
_HELD = (
    Column("at", "Held", Kind.MOMENT),
    Column("status", "Result", Kind.STATUS),
    Column("node", "Node"),
    Column("how", "How", Kind.WORD),
    Column("due", "What was due"),
    Column("failed", "What failed"),
    Column("trunks", "Trunks (digest)", Kind.CODE),
    Column("dialplan", "Dialplan (digest)", Kind.CODE),
    Column("test", "Test", Kind.CODE),
)


def emergency_tests(reading: Reading) -> Section:
    """Return the section."""
    days = reading.settings.emergency.test_days
    due = stored.due(reading.session, reading.now)
    late = stored.overdue(due, reading.now, days)
    held = stored.list_tests(reading.session, since=reading.span.begins_at, until=reading.span.ends_at, limit=_MOST)
    rows = [
        {
            "node": each.node,
            "status": "overdue" if each in late else "due",
            "since": each.since,
            "age": round((reading.now - each.since).total_seconds()),
            "reason": each.reason,
        }
        for each in due
    ]
    failed = [test for test in held if not test.passed]
    exceptions = [f"{len(late)} test(s) of calls to 999 have been due for more than {days} days."] if late else []
    exceptions += [f"Test {test.id} of calls to 999 failed on {test.node}." for test in failed]
    return Section(
        key="emergency_tests",
        title="Tests of calls to 999",
        text=(
            "A test is due after each change of the emergency trunks, of the dialplan that 999 goes through, or of a number's class of use. 'Walked' went "
            "the way of a call to an answering point on the same machine; 'carrier' was held by hand, as the carrier says."
        ),
        blocks=(
            Table("due", "Due now", _DUE, tuple(rows), empty="None."),
            Table("held", f"Held in {reading.span}", _HELD, tuple(_row(test) for test in held), empty="None.", most=50),
        ),
        exceptions=tuple(exceptions),
    )


def _row(test: EmergencyTest) -> dict[str, Any]:
    return {
        "at": test.at,
        "status": "passed" if test.passed else "failed",
        "node": test.node,
        "how": test.how.value,
        "due": ", ".join(each["cause"] for each in test.due),
        "failed": ", ".join(each["check"] for each in test.checks if not each["ok"]),
        "trunks": test.trunks,
        "dialplan": test.dialplan,
        "test": test.id,
    }
