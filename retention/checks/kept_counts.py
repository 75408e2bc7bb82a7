"""The check on aggregates: what is counted of calls that went is what went, and shows nobody."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from retention.calendar import local_date
from retention.checks.windows import ALLOWED
from retention.claims.model import Check, Context, Finding, verdict
from retention.purge.aggregates import SMALLEST
from ringfence.models.base import DataClass
from ringfence.queries import aggregates, proof

_MOST = 20  # days that are shown


def aggregates_agree(context: Context) -> Finding:
    """Compare the aggregates of each day with its receipts, and look for small cells of days that are wholly gone.

    Days whose receipts may have ended themselves are not compared.
    """
    proofs = [at.at for policy in context.policies.all if (at := policy.cutoff(DataClass.PROOF, context.now))]
    since = local_date(max(proofs))
    counted, receipted = proof.aggregated_calls(context.session, since), proof.receipted_calls(context.session, since)
    differ = [day for day in sorted({*counted, *receipted}) if counted.get(day, 0) != receipted.get(day, 0)]
    windows = [at.at for policy in context.policies.all if (at := policy.cutoff(DataClass.CALL_LOG, context.now - ALLOWED))]
    small = aggregates.days_with_small_cells(context.session, local_date(min(windows)), SMALLEST)
    result = {
        "days": len(counted),
        "calls_counted": sum(counted.values()),
        "calls_receipted": sum(receipted.values()),
        "days_that_differ": [{"day": day, "counted": counted.get(day, 0), "receipted": receipted.get(day, 0)} for day in differ[:_MOST]],
        "smallest_cell": SMALLEST,
        "days_with_small_cells": small[:_MOST],
    }
    reason = f"{len(differ)} day(s) differ from their receipts, {len(small)} day(s) have cells under {SMALLEST}"
    return verdict(len(differ) + len(small), result, reason)


CHECKS: Mapping[str, Check] = MappingProxyType({"aggregates_agree": aggregates_agree})
