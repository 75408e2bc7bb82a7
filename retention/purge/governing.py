"""Which policy governs which data at a moment: what the store says of accounts and approved versions, upon what comes with the product."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from datetime import datetime
from functools import lru_cache

import msgspec
from sqlalchemy.orm import Session

from retention.calendar import midnight
from retention.evidence import policy_digest
from retention.policies.change import Proposal, State, resolve, weighed
from retention.policies.load import parse, shipped
from retention.policies.model import Policy
from retention.verify.format import Adopted
from ringfence.audit import log
from ringfence.audit.canonical import moment
from ringfence.clock import Clock
from ringfence.errors import Misconfigured
from ringfence.models import PolicyVersion
from ringfence.queries import policies as stored


class Governing(msgspec.Struct, frozen=True):
    """The policies in force."""

    default: Policy
    others: tuple[Policy, ...]  # of accounts that have their own

    @property
    def all(self) -> tuple[Policy, ...]:
        """Each of them, the default first."""
        return (self.default, *self.others)


def governing(session: Session, default: str, now: datetime) -> Governing:
    """Return the policies in force at `now`.

    Raises:
        Misconfigured: an account is under a policy that nobody knows. Nothing may be deleted then: not even the default can be told.
    """
    return governs(session, default)(now)


def governs(session: Session, default: str) -> Callable[[datetime], Governing]:
    """Return what gives the policies in force at a moment, as far as that is known now; it raises what `governing` raises."""
    versions, assigned = stored.list_versions(session), stored.assigned_policies(session)
    return lambda at: _governing(versions, assigned, default, at)


def in_force(session: Session, now: datetime) -> list[Policy]:
    """Return the stored versions whose approval, notice and day allow it at `now`, weighed anew."""
    return _in_force(stored.list_versions(session), now)


def _governing(stored_versions: Sequence[PolicyVersion], assigned: Set[str], default: str, now: datetime) -> Governing:
    versions = [*shipped().values(), *_in_force(stored_versions, now)]
    known = {policy.key for policy in versions}
    unknown = sorted((assigned | {default}) - known)
    if unknown:
        raise Misconfigured(f"there is no policy {', '.join(unknown)}", hint="'ringfence policy list' shows those there are")
    others = (resolve(key, default, versions, now) for key in sorted(assigned - {default}))
    return Governing(resolve(None, default, versions, now), tuple(others))


def _in_force(versions: Sequence[PolicyVersion], now: datetime) -> list[Policy]:
    before, found = shipped(), []
    for row in versions:
        if row.announced_at is None:
            continue
        policy = read_version(row)
        if policy is not None and weighed(proposal_of(row), before.get(policy.key), policy, now) is State.IN_FORCE:
            before[policy.key] = policy
            found.append(policy)
    return found


def read_version(row: PolicyVersion) -> Policy | None:
    """Return the policy that a stored version's text says; None when the text is not the one that was proposed."""
    policy = _parsed(row.text, f"{row.policy}.toml")
    return policy if (policy.version, policy.sha256, policy.effective) == (row.version, row.sha256, row.effective) else None


@lru_cache(maxsize=64)
def _parsed(text: str, file: str) -> Policy:
    return parse(text.encode(), file)


def proposal_of(row: PolicyVersion) -> Proposal:
    """Return a stored version as the proposal it is."""
    return Proposal(
        policy=row.policy,
        version=row.version,
        sha256=row.sha256,
        effective=row.effective,
        proposed_by=row.proposed_by,
        proposed_at=row.proposed_at,
        approved_by=row.approved_by,
        approved_at=row.approved_at,
        announced_at=row.announced_at,
    )


def digest(policy: Policy) -> str:
    """Return what receipts name a policy by."""
    return policy_digest(policy.document())


def adopt(session: Session, clock: Clock, policies: Governing, now: datetime) -> None:
    """Write into the audit log which versions are in force, the first time each is used."""
    for policy in policies.all:
        if stored.is_adopted(session, policy.key, policy.version):
            continue
        if not stored.mark_adopted(session, policy.key, policy.version, now):
            stored.add_version(session, _row(policy, now))
        effective = min(midnight(policy.effective), now)
        log.append(
            session,
            clock,
            Adopted.KIND,
            actor="worker",
            policy=policy.key,
            policy_version=policy.version,
            policy_digest=digest(policy),
            effective_at=moment(effective),
        )


def _row(policy: Policy, now: datetime) -> PolicyVersion:
    """Return a policy that comes with the product, as the store keeps it."""
    return PolicyVersion(
        policy=policy.key,
        version=policy.version,
        sha256=policy.sha256,
        text="",
        document=policy.document(),
        digest=digest(policy),
        effective=policy.effective,
        proposed_by="",
        proposed_at=now,
        approved_by="",
        adopted_at=now,
    )
