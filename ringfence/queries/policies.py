"""Policies in the store: versions, their approvals, and the accounts that have their own."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from ringfence.models import AccountPolicy, PolicyVersion


def list_versions(session: Session) -> list[PolicyVersion]:
    """Return the versions that somebody proposed, by policy and version; those that come with the product are not among them."""
    query = select(PolicyVersion).where(PolicyVersion.text != "").order_by(PolicyVersion.policy, PolicyVersion.version)
    return list(session.scalars(query.execution_options(populate_existing=True)))


def find_version(session: Session, policy: str, version: int, *, lock: bool = False) -> PolicyVersion | None:
    """Return a version that is stored, or None; with `lock` nobody else changes it until the transaction ends."""
    query = select(PolicyVersion).where(PolicyVersion.policy == policy, PolicyVersion.version == version)
    return session.scalar((query.with_for_update() if lock else query).execution_options(populate_existing=True))


def policy_of(session: Session, account_id: int) -> str | None:
    """Return the policy that an account has of its own; None = the operator's."""
    return session.scalar(select(AccountPolicy.policy).where(AccountPolicy.account_id == account_id))


def count_accounts(session: Session) -> dict[str, int]:
    """Return how many accounts are under each policy of their own."""
    return {row[0]: row[1] for row in session.execute(select(AccountPolicy.policy, func.count()).group_by(AccountPolicy.policy))}


def list_adopted(session: Session) -> list[PolicyVersion]:
    """Return every version that ever took effect here: what receipts are checked against."""
    return list(session.scalars(select(PolicyVersion).where(PolicyVersion.adopted_at.is_not(None)).order_by(PolicyVersion.policy, PolicyVersion.version)))


def add_version(session: Session, version: PolicyVersion) -> None:
    """Write a version."""
    session.add(version)
    session.flush()


def is_adopted(session: Session, policy: str, version: int) -> bool:
    """Tell whether a version took effect here."""
    found = session.scalar(select(PolicyVersion.adopted_at).where(PolicyVersion.policy == policy, PolicyVersion.version == version))
    return found is not None


def mark_adopted(session: Session, policy: str, version: int, now: datetime) -> bool:
    """Note that a stored version took effect; False when it is not stored."""
    done = session.execute(update(PolicyVersion).where(PolicyVersion.policy == policy, PolicyVersion.version == version).values(adopted_at=now))
    return bool(done.rowcount)  # type: ignore[attr-defined]


def assigned_policies(session: Session) -> set[str]:
    """Return the policies that accounts have of their own."""
    return set(session.scalars(select(AccountPolicy.policy).distinct()))


def assign(session: Session, account_id: int, policy: str | None, now: datetime) -> None:
    """Put an account under a policy; None = the operator's."""
    if policy is None:
        session.execute(delete(AccountPolicy).where(AccountPolicy.account_id == account_id))
        return
    make = postgresql.insert(AccountPolicy) if session.get_bind().dialect.name == "postgresql" else sqlite.insert(AccountPolicy)
    values = {"policy": policy, "since": now}
    session.execute(make.values(account_id=account_id, **values).on_conflict_do_update(index_elements=["account_id"], set_=values))
