"""Checks on minimums: nothing went before the law, or the promise, lets it go. Receipts tell; where days are sealed, so do rows that have no receipt."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Any

from retention.calendar import Period, cutoff, local_date, never_shorter
from retention.claims.model import Check, Context, Finding, verdict
from retention.policies.load import shipped
from retention.policies.model import Policy
from retention.purge import conservation
from retention.purge.catalogue import CATALOGUE, COUNTED
from retention.purge.governing import in_force
from ringfence.models.base import DataClass
from ringfence.queries import proof
from ringfence.queries.proof import Youngest

BILLING = Period(months=72)  # HMRC Notice 700/21: at least 6 years
_MOST = 20  # findings that are shown


def billing_minimum(context: Context) -> Finding:
    """Look for billing rows that went within 6 years, by receipt or without one, and for policies that would let them."""
    lower = [
        policy.key for policy in context.policies.all if (minimum := policy.rules[DataClass.BILLING].minimum) is None or not never_shorter(minimum, BILLING)
    ]
    gone = proof.youngest_gone(context.session, DataClass.BILLING.value)
    early = [_told(each) for each in gone if each.newest >= cutoff(each.at, BILLING)]
    missing = _missing(context, DataClass.BILLING, local_date(cutoff(context.now, BILLING)))
    result = {
        "minimum": str(BILLING),
        "policies_with_less": lower,
        "rows_receipted": sum(each.rows for each in gone),
        "gone_early": early[:_MOST],
        "gone_without_a_receipt": missing[:_MOST],
    }
    return verdict(len(lower) + len(early) + len(missing), result, "billing rows went, or may go, within 6 years")


def minimums_kept(context: Context) -> Finding:
    """Look for rows of any class that went before the minimum of the policy that they went under."""
    known = {(policy.key, policy.version): policy for policy in (*shipped().values(), *in_force(context.session, context.now))}
    early: list[Any] = []
    receipted: dict[str, int] = {}
    for data_class in CATALOGUE:
        gone = proof.youngest_gone(context.session, data_class.value)
        receipted[data_class.value] = sum(each.rows for each in gone)
        early += [_told(each) for each in gone if any(_is_early(each, data_class, policy) for policy in _ruling(context, each, known))]
    missing = []
    for data_class in COUNTED:
        kept_from = [at.at for policy in context.policies.all if (at := policy.minimum_cutoff(data_class, context.now))]
        if kept_from:
            missing += _missing(context, data_class, local_date(max(kept_from)))
    result = {"rows_receipted": receipted, "gone_early": early[:_MOST], "gone_without_a_receipt": missing[:_MOST]}
    return verdict(len(early) + len(missing), result, f"{len(early)} deletion(s) before the minimum, {len(missing)} day(s) with rows gone without a receipt")


def active_accounts_kept(context: Context) -> Finding:
    """Look for accounts that went without having been closed, or that are gone although they were billed within the window."""
    undated = proof.undated_gone(context.session, "account")
    windows = [at.at for policy in context.policies.all if (at := policy.cutoff(DataClass.ACCOUNT, context.now))]
    vanished = proof.vanished_accounts(context.session, max(windows)) if windows else []
    gone = [each for each in proof.youngest_gone(context.session, DataClass.ACCOUNT.value) if each.table == "account"]
    result = {"accounts_receipted": sum(each.rows for each in gone), "gone_while_active": undated, "billed_lately_and_gone": vanished[:_MOST]}
    return verdict(undated + len(vanished), result, f"{undated + len(vanished)} account(s) went while active")


def _ruling(context: Context, gone: Youngest, known: Mapping[tuple[str, int], Policy]) -> tuple[Policy, ...]:
    """Return the policies whose minimum counts: the one that a receipt names; for an erasure all that are in force."""
    if gone.policy is None or gone.policy_version is None:
        return context.policies.all
    named = known.get((gone.policy, gone.policy_version)) or next((policy for (key, _), policy in known.items() if key == gone.policy), None)
    return (named or context.policies.default,)


def _is_early(gone: Youngest, data_class: DataClass, policy: Policy) -> bool:
    """Tell whether the youngest row went before a minimum that runs from the rows' own time; receipts do not tell of others."""
    minimum, start = policy.minimum_cutoff(data_class, gone.at), policy.rules[data_class].minimum_start
    if minimum is None or start is None:
        return False
    table = "call" if gone.table == "leg" else gone.table
    own = any(kept.source.table == table and kept.events.get(start) == kept.source.time for kept in CATALOGUE[data_class])
    return own and gone.newest >= minimum.at


def _missing(context: Context, data_class: DataClass, since: date) -> list[str]:
    found = conservation.imbalances([each for each in context.balances if each.data_class == data_class])
    return [str(each) for each in found if each.missing > 0 and each.day >= since]


def _told(gone: Youngest) -> dict[str, Any]:
    return {"table": gone.table, "run": gone.run, "reason": gone.reason, "policy": gone.policy, "newest": gone.newest, "at": gone.at}


CHECKS: Mapping[str, Check] = MappingProxyType(
    {"billing_minimum": billing_minimum, "minimums_kept": minimums_kept, "active_accounts_kept": active_accounts_kept}
)
