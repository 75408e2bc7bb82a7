"""The checks on addresses for 999: numbers that call without an accepted one, and look-ups that took too long. Numbers stay out of the evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from retention.claims.model import Check, Context, Finding, verdict
from retention.emergency.coverage import OVERDUE, coverage, gaps
from ringfence.queries import audit

LISTED = 1_000  # gaps, the oldest first
SLOW = 1_000  # milliseconds
LOOKUPS = 100_000  # the newest


def emergency_coverage(context: Context) -> Finding:
    """List the numbers that can call and have no accepted address.

    One whose ordinary calls are refused until then is not in use yet. One that calls fails the check after 72 hours: until then the carrier has had its time.
    """
    counts = coverage(context.session)
    found = list(gaps(context.session, context.now, limit=LISTED))
    overdue = [gap for gap in found if not gap.blocked and gap.alarm == len(OVERDUE)]
    result = {
        "can_call": counts.can_call,
        "covered": counts.covered,
        "gaps": [{"state": gap.state, "age_hours": gap.age_hours, "calls_refused": gap.blocked, "account_id": gap.account_id} for gap in found],
        "gaps_in_all": counts.gaps,
        "overdue": len(overdue),
    }
    return verdict(len(overdue), result, f"{len(overdue)} number(s) make calls and have had no accepted address for 72 hours or longer")


def emergency_lookup(context: Context) -> Finding:
    """Measure the newest look-ups by their entries in the audit log. A look-up is shown only after its entry is committed, so none is without one."""
    taken = [json.loads(entry.body) for entry in audit.newest_entries(context.session, LOOKUPS, kind="emergency.looked_up")]
    slow = [each for each in taken if each["ms"] > SLOW]
    purposes = {purpose: sum(each["purpose"] == purpose for each in taken) for purpose in sorted({each["purpose"] for each in taken})}
    result = {"lookups": len(taken), "by_purpose": purposes, "slowest_ms": max((each["ms"] for each in taken), default=None), "over_a_second": len(slow)}
    return verdict(len(slow), result, f"{len(slow)} look-up(s) took longer than a second")


CHECKS: Mapping[str, Check] = MappingProxyType({"emergency_coverage": emergency_coverage, "emergency_lookup": emergency_lookup})
