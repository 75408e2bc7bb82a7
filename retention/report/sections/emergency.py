"""Addresses for 999: how many numbers that can call have an accepted one, and each that has not, with its age and its owner.

A report is handed out, so numbers and customers' references stay out of it: a number is told by its last three digits, its owner by the id
inside. `ringfence emergency coverage` shows both whole.
"""

from __future__ import annotations

from typing import Any

from retention.emergency.confirming import count_due, periods_of
from retention.emergency.coverage import Gap, survey
from retention.report.model import Column, Facts, Kind, Section, Table
from retention.report.reading import Reading

_MOST = 1_000  # gaps told one by one; the counts tell of all
_COUNTS = (
    Column("can_call", "Numbers that can call", Kind.COUNT),
    Column("covered", "With what 999 needs", Kind.COUNT),
    Column("gaps", "Without", Kind.COUNT),
    Column("blocked", "Whose ordinary calls are refused until then", Kind.COUNT),
    Column("to_confirm", "With an address to be confirmed again", Kind.COUNT),
)
_STATES = (Column("state", "State", Kind.WORD), Column("numbers", "Numbers", Kind.COUNT))
_GAPS = (
    Column("ends_in", "Number ends in"),
    Column("account_id", "Account (id)", Kind.COUNT),
    Column("status", "Status", Kind.STATUS),
    Column("state", "State", Kind.WORD),
    Column("since", "Since", Kind.MOMENT),
    Column("age", "Age", Kind.DURATION),
    Column("calls_refused", "Calls refused", Kind.WORD),
)


def emergency(reading: Reading) -> Section:
    """Return the section.

    Raises:
        Misconfigured: a setting is no period.
    """
    counts, found = survey(reading.session, reading.now, limit=_MOST)
    due = count_due(reading.session, periods_of(reading.settings.emergency), reading.now)
    rows = tuple(_row(gap, reading) for gap in found)
    late = [row for row in rows if row["status"] == "overdue"]
    told = f"{len(late)}{' or more' if counts.gaps > len(found) else ''} number(s) that can call have had no accepted address for 999 for 72 hours or longer."
    return Section(
        key="emergency",
        title="Addresses for 999",
        text=(
            "Every number that a phone presents needs an address that the carrier accepted, so that help finds the caller (Ofcom General Conditions A3.5 and "
            "A3.6). Ordinary calls are refused until the address is with the carrier; 999 is never refused."
        ),
        blocks=(
            Facts("coverage", "Now", _COUNTS, {**_counts(counts), "blocked": sum(counts.blocked.values()), "to_confirm": due}),
            Table("states", "Without, by state", _STATES, tuple({"state": state, "numbers": count} for state, count in counts.states.items())),
            Table("gaps", "Each number without, the oldest first", _GAPS, rows, empty="None.", most=50),
        ),
        exceptions=(told,) if late else (),
    )


def _counts(counts: Any) -> dict[str, int]:
    return {"can_call": counts.can_call, "covered": counts.covered, "gaps": counts.gaps}


def _row(gap: Gap, reading: Reading) -> dict[str, Any]:
    return {
        "ends_in": gap.number[-3:],
        "account_id": gap.account_id,
        "status": ("open", "late", "overdue")[gap.alarm],
        "state": gap.state,
        "since": gap.since,
        "age": round((reading.now - gap.since).total_seconds()),
        "calls_refused": "yes" if gap.blocked else "no",
    }
