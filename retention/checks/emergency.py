"""The checks on 999: numbers that call without an accepted address, calls and tests of their way, look-ups that took too long. Without any number."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

from retention.claims.model import Check, Context, Finding, Status, verdict
from retention.emergency.coverage import OVERDUE, survey
from ringfence.queries import audit, emergency_calls, emergency_tests
from ringfence.values import Disposition

LISTED = 1_000  # gaps, the oldest first
SLOW = 1_000  # milliseconds
LOOKUPS = 100_000  # the newest
_YEAR = timedelta(days=365)


def emergency_coverage(context: Context) -> Finding:
    """List the numbers that can call and have no accepted address.

    One whose ordinary calls are refused until then is not in use yet. One that calls fails the check after 72 hours: until then the carrier has had its time.
    """
    counts, found = survey(context.session, context.now, limit=LISTED)
    overdue = [gap for gap in found if not gap.blocked and gap.alarm == len(OVERDUE)]
    result = {
        "can_call": counts.can_call,
        "covered": counts.covered,
        "gaps": [{"state": gap.state, "age_hours": gap.age_hours, "calls_refused": gap.blocked, "account_id": gap.account_id} for gap in found],
        "gaps_in_all": counts.gaps,
        "overdue": len(overdue),
    }
    return verdict(len(overdue), result, f"{len(overdue)} number(s) make calls and have had no accepted address for 72 hours or longer")


def emergency_went_through(context: Context) -> Finding:
    """Count the calls to 999 of a year by their outcome, and the tests of their way that are due.

    A call that nobody answered fails the check, unless its caller gave up.
    """
    outcomes = emergency_calls.count_by_outcome(context.session, context.now - _YEAR)
    due = emergency_tests.due(context.session, context.now)
    overdue = emergency_tests.overdue(due, context.now, context.settings.emergency.test_days)
    held = emergency_tests.list_tests(context.session, since=context.now - _YEAR)
    broken = sum(count for outcome, count in outcomes.items() if outcome not in (Disposition.ANSWERED, Disposition.ABANDONED))
    result = {
        "calls": {outcome.value: count for outcome, count in outcomes.items()},
        "tests_held": len(held),
        "tests_passed": sum(test.passed for test in held),
        "tests_due": emergency_tests.as_json(due),
        "tests_overdue": len(overdue),
    }
    if not (outcomes or held or due):
        return Finding(Status.NOT_CHECKABLE, result, "nobody called 999 within a year, and no node has a way to it that could be tested")
    return verdict(broken + len(overdue), result, f"{broken} call(s) to 999 reached nobody, {len(overdue)} test(s) of the way to it are overdue")


def emergency_lookup(context: Context) -> Finding:
    """Measure the newest look-ups by their entries in the audit log. A look-up is shown only after its entry is committed, so none is without one."""
    taken = [json.loads(entry.body) for entry in audit.newest_entries(context.session, LOOKUPS, kind="emergency.looked_up")]
    slow = [each for each in taken if each["ms"] > SLOW]
    purposes = {purpose: sum(each["purpose"] == purpose for each in taken) for purpose in sorted({each["purpose"] for each in taken})}
    result = {"lookups": len(taken), "by_purpose": purposes, "slowest_ms": max((each["ms"] for each in taken), default=None), "over_a_second": len(slow)}
    return verdict(len(slow), result, f"{len(slow)} look-up(s) took longer than a second")


CHECKS: Mapping[str, Check] = MappingProxyType(
    {"emergency_coverage": emergency_coverage, "emergency_calls": emergency_went_through, "emergency_lookup": emergency_lookup}
)
