"""Policy changes as acts: proposed, approved by a second operator, announced; accounts put under a policy. Each with its audit entry, in one transaction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from retention.policies import change
from retention.policies.change import Proposal, State
from retention.policies.load import parse, shipped
from retention.policies.model import Policy
from retention.purge import barrier
from retention.purge.governing import digest, governs, in_force, proposal_of, read_version
from ringfence.audit import log, shapes
from ringfence.clock import Clock
from ringfence.errors import Conflict, Misconfigured, NotFound, Refused
from ringfence.models import PolicyVersion
from ringfence.queries import policies as stored


def before(session: Session, new: Policy, clock: Clock) -> Policy | None:
    """Return the newest version in force of a policy, that a new one is to follow; None when the policy is new."""
    known = [policy for policy in (*shipped().values(), *in_force(session, clock.now())) if policy.key == new.key and policy.version < new.version]
    return max(known, key=lambda policy: policy.version, default=None)


def propose(session: Session, clock: Clock, text: bytes, file: str, *, by: str) -> PolicyVersion:
    """Store a version that somebody wants in force. One that was not announced yet is replaced, and its approval is void.

    Args:
        session: on SQLite with the write lock.
        clock: the clock.
        text: the policy's file.
        file: its name, for the key.
        by: the operator who wants it.

    Raises:
        Misconfigured: the file says something that cannot be.
        Conflict: its version is not the next one.
        Refused: its day comes before the notice is over.
    """
    new = parse(text, file)
    if not shapes.word(new.key):
        raise Misconfigured(f"{new.key!r} is no key that the audit log takes", hint="begin it with a letter, and leave out dates and long numbers")
    old = before(session, new, clock)
    announced = [row.version for row in stored.list_versions(session) if row.policy == new.key and row.announced_at is not None]
    following = max([old.version if old else 0, *announced]) + 1
    if new.version != following:
        raise Conflict(f"{file} is version {new.version}; the next one is {following}", hint=f"write version = {following}")
    earliest = max(change.earliest_day(clock.now(), policy.notice) for policy in (old or new, new))
    if new.effective < earliest:
        longest = " or ".join(dict.fromkeys(policy.notice.words for policy in (old or new, new)))
        raise Refused(f"it cannot take effect on {new.effective.isoformat()}: notice is {longest}", hint=f"write effective = {earliest.isoformat()} or later")
    row = stored.find_version(session, new.key, new.version, lock=True) or PolicyVersion(policy=new.key, version=new.version)
    row.sha256, row.text, row.document, row.digest, row.effective = new.sha256, text.decode(), new.document(), digest(new), new.effective
    row.proposed_by, row.proposed_at, row.approved_by, row.approved_at, row.announced_at = by, clock.now(), "", None, None
    stored.add_version(session, row)
    _tell(session, clock, "policy.proposed", row)
    return row


def approve(session: Session, clock: Clock, key: str, version: int, *, sha256: str, by: str) -> PolicyVersion:
    """Approve a proposal, as a second operator who saw the text with this SHA-256.

    Raises:
        NotFound: nobody proposed it.
        Refused: it is the operator who proposed it, another text, or nobody acted in time.
        Conflict: it is approved already.
    """
    row, new = _proposed(session, key, version)
    if weighed(session, row, clock) is State.EXPIRED:
        raise Refused(f"the proposal of {key} version {version} expired", hint="preview it and propose it again")
    approved = change.approve(proposal_of(row), by=by, sha256=sha256, now=clock.now(), expires=new.approval_expires)
    row.approved_by, row.approved_at = approved.approved_by, approved.approved_at
    _tell(session, clock, "policy.approved", row)
    return row


def announce(session: Session, clock: Clock, key: str, version: int) -> PolicyVersion:
    """Note that customers were told. From now on nothing but time keeps the version from taking effect.

    Raises:
        NotFound: nobody proposed it.
        Refused: nobody approved it, the approval expired, or its day comes before the notice is over.
        Conflict: it is announced already.
    """
    row, new = _proposed(session, key, version)
    announced: Proposal = proposal_of(row)
    for policy in (before(session, new, clock) or new, new):
        announced = change.announce(proposal_of(row), now=clock.now(), notice=policy.notice, expires=policy.approval_expires)
    row.announced_at = announced.announced_at
    _tell(session, clock, "policy.announced", row)
    return row


def weighed(session: Session, row: PolicyVersion, clock: Clock) -> State:
    """Return how far a stored version came, weighed anew.

    Raises:
        Conflict: its text is not the one that was proposed.
    """
    new = _read(row)
    return change.weighed(proposal_of(row), before(session, new, clock), new, clock.now())


def assign(session: Session, clock: Clock, account_id: int, key: str | None, default: str) -> None:
    """Put an account under a policy of its own; None = the operator's default. What it makes due goes at the next run, and is shown to nobody at once.

    Raises:
        NotFound: no version of that policy is in force.
        Conflict: the account is under it already.
    """
    now = clock.now()
    known = {policy.key for policy in (*shipped().values(), *in_force(session, now))}
    if key is not None and key not in known:
        raise NotFound(f"no version of a policy {key!r} is in force", hint="'ringfence policy list' shows them")
    if stored.policy_of(session, account_id) == key:
        raise Conflict(f"the account is under {key or default} already", hint="nothing to do")
    stored.assign(session, account_id, key, now)
    barrier.write_ahead(session, governs(session, default), now)
    log.append(session, clock, "policy.assigned", actor="operator", policy=key)


def starts(session: Session, clock: Clock, row: PolicyVersion) -> datetime:
    """Return when an announced version takes effect: its day, or the end of the longer notice."""
    new = _read(row)
    old = before(session, new, clock)
    return max(change.in_force_from(proposal_of(row), policy.notice) for policy in (old or new, new))


def _proposed(session: Session, key: str, version: int) -> tuple[PolicyVersion, Policy]:
    row = stored.find_version(session, key, version, lock=True)
    if row is None or not row.text:
        raise NotFound(f"nobody proposed version {version} of {key}", hint="'ringfence policy list' shows the proposals")
    return row, _read(row)


def _read(row: PolicyVersion) -> Policy:
    policy = read_version(row)
    if policy is None:
        raise Conflict(f"the stored text of {row.policy} version {row.version} is not the one that was proposed", hint="propose it again")
    return policy


def _tell(session: Session, clock: Clock, kind: str, row: PolicyVersion) -> None:
    session.flush()
    log.append(session, clock, kind, actor="operator", policy=row.policy, policy_version=row.version, policy_digest=row.digest)
