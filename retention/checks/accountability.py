"""Checks on how the rules themselves are kept: versions of policies, and the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from retention.claims.model import Check, Context, Finding, Status, verdict
from retention.policies.change import State, state
from retention.policies.load import parse
from retention.purge.governing import proposal_of
from ringfence.audit.check import check_log
from ringfence.audit.keys import load_signer
from ringfence.models import PolicyVersion
from ringfence.queries import proof

_MOST = 20  # findings that are shown


def policy_versions(context: Context) -> Finding:
    """Look for versions of policies that took effect without approval, or before their notice ended."""
    versions = proof.adopted_versions(context.session)
    shown = [{"policy": each.policy, "version": each.version, "announced": each.announced_at, "effective": each.effective} for each in versions]
    early = [f"{each.policy} {each.version}" for each in versions if not _was_in_force(each)]
    in_force = [f"{each.key} {each.version}, from {each.effective.isoformat()}" for each in context.policies.all]
    return verdict(len(early), {"in_force": in_force, "changed": shown, "too_early": early}, f"{', '.join(early)}: in force before approval and notice")


def audit_chain(context: Context) -> Finding:
    """Verify the audit log from its first entry to its last, and every checkpoint against it."""
    if not context.settings.audit_key_path.exists():
        return Finding(Status.NOT_CHECKABLE, None, "the log has no key yet: run 'ringfence audit key new'")
    checked = check_log(context.session, load_signer(context.settings).verifier_key, context.settings.audit_dir)
    context.looked("checkpoints published outside the store", folder=str(context.settings.audit_dir))
    problems = [f"{each.where}: {each.what}" for each in checked.problems[:_MOST]]
    result = {"entries": checked.size, "root": checked.root, "checkpoints": checked.checkpoints, "published": checked.published, "problems": problems}
    return verdict(len(checked.problems), result, f"the audit log does not hold: {len(checked.problems)} problem(s)")


def _was_in_force(row: PolicyVersion) -> bool:
    """Tell whether a version was to be in force when it was adopted, by the rules, whatever is stored."""
    policy = parse(row.text.encode(), f"{row.policy}.toml")
    if row.adopted_at is None or (policy.version, policy.sha256) != (row.version, row.sha256):
        return False
    return state(proposal_of(row), now=row.adopted_at, notice=policy.notice, expires=policy.approval_expires) is State.IN_FORCE


CHECKS: Mapping[str, Check] = MappingProxyType({"policy_versions": policy_versions, "audit_chain": audit_chain})
