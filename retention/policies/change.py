"""How policies change: what differs, who may approve it, when it takes effect, and which policy holds for an account. Pure.

proposed   an operator previewed a new version and wants it in force
approved   a second operator saw the same text
announced  customers were told
in force   the notice is over, and the effective day is here
expired    nobody acted on the proposal, or on the approval, within `approval_expires`
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum

import msgspec

from retention.calendar import Period, Relation, compare, deletable_at, local_date, midnight
from retention.policies.model import Policy, Rule
from ringfence.errors import Conflict, NotFound, Refused
from ringfence.models.base import DataClass


class Effect(StrEnum):
    """What a change does to what is held."""

    SHORTER = "shorter"  # something goes earlier: rows may be deleted at once
    LONGER = "longer"  # something is kept longer than was promised
    EITHER = "either"  # one or the other, by the day or by the event
    NONE = "none"  # how long it is kept stays


class Change(msgspec.Struct, frozen=True):
    """One difference between two versions, for one class."""

    data_class: DataClass
    key: str  # window, from, action, minimum, minimum_from, legal, ...
    old: str
    new: str
    effect: Effect


class Proposal(msgspec.Struct, frozen=True):
    """A version that somebody wants in force, and how far it came. Stored as it is; changed only by the functions below."""

    policy: str  # the policy's key
    version: int
    sha256: str  # of the file that was previewed
    effective: date  # London day from which it is to hold
    proposed_by: str  # operator
    proposed_at: datetime
    approved_by: str = ""
    approved_at: datetime | None = None
    announced_at: datetime | None = None  # when the last notice to customers went out


class State(StrEnum):
    """How far a proposal came."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    ANNOUNCED = "announced"
    IN_FORCE = "in_force"
    EXPIRED = "expired"


def diff(old: Policy, new: Policy) -> list[Change]:
    """Return what changes between two versions, class by class, with its effect on how long things are kept."""
    changes: list[Change] = []
    for data_class in DataClass:
        before, after = old.rules[data_class], new.rules[data_class]
        if before != after:
            changes += _rule_changes(data_class, before, after)
        if old.year_end != new.year_end and any(policy.year_end_for(start) for policy in (old, new) for start in (before.start, before.minimum_start)):
            changes.append(Change(data_class, "financial_year_end", str(old.year_end), str(new.year_end), Effect.EITHER))
    return changes


def approve(proposal: Proposal, *, by: str, sha256: str, now: datetime, expires: Period) -> Proposal:
    """Return the proposal as approved.

    Args:
        proposal: what was proposed.
        by: the operator who approves.
        sha256: of the file that this operator saw.
        now: aware.
        expires: the policy's `approval_expires`.

    Raises:
        Refused: it is the operator who proposed it, the file changed since, or nobody acted in time.
        Conflict: it is approved already.
    """
    if proposal.approved_at is not None:
        raise Conflict(f"version {proposal.version} of {proposal.policy} is approved already", hint="see 'ringfence policy show'")
    if _expired(proposal.proposed_at, expires, now):
        raise Refused(f"the proposal of {proposal.policy} version {proposal.version} expired after {expires.words}", hint="preview it and propose it again")
    if _same_person(by, proposal.proposed_by):
        raise Refused("whoever proposes a policy cannot approve it", hint="ask a second operator")
    if sha256 != proposal.sha256:
        raise Refused("the policy's text is not the one that was proposed", hint="preview the new text and propose it again")
    return msgspec.structs.replace(proposal, approved_by=by, approved_at=now)


def announce(proposal: Proposal, *, now: datetime, notice: Period, expires: Period) -> Proposal:
    """Return the proposal as announced to customers at `now`.

    Raises:
        Refused: nobody approved it, the approval expired, or its effective day comes before the notice is over.
        Conflict: it is announced already.
    """
    if proposal.announced_at is not None:
        raise Conflict(f"version {proposal.version} of {proposal.policy} is announced already", hint="see 'ringfence policy show'")
    if proposal.approved_at is None:
        raise Refused("no second operator approved it", hint="ask one to run 'ringfence policy approve'")
    if _expired(proposal.approved_at, expires, now):
        raise Refused(f"the approval expired after {expires.words}", hint="preview it and propose it again")
    earliest = earliest_day(now, notice)
    if proposal.effective < earliest:
        hint = f"propose it for {earliest.isoformat()} or later"
        raise Refused(f"it cannot take effect on {proposal.effective.isoformat()}: notice is {notice.words}", hint=hint)
    return msgspec.structs.replace(proposal, announced_at=now)


def state(proposal: Proposal, *, now: datetime, notice: Period, expires: Period) -> State:
    """Return how far a proposal came at `now`. The rules are weighed again, whatever is stored: without approval and notice nothing is in force."""
    if proposal.approved_at is None or _same_person(proposal.approved_by, proposal.proposed_by):
        return State.EXPIRED if _expired(proposal.proposed_at, expires, now) else State.PROPOSED
    if proposal.announced_at is None:
        return State.EXPIRED if _expired(proposal.approved_at, expires, now) else State.APPROVED
    return State.IN_FORCE if now >= in_force_from(proposal, notice) else State.ANNOUNCED


def weighed(proposal: Proposal, old: Policy | None, new: Policy, now: datetime) -> State:
    """Return how far a proposal came by the rules of both versions: the notice that was promised counts, not only the one that the new text grants itself.

    Args:
        proposal: what was proposed.
        old: the version before; None = the policy is new.
        new: the version that the proposal is about.
        now: aware.
    """
    found = {state(proposal, now=now, notice=policy.notice, expires=policy.approval_expires) for policy in (old or new, new)}
    return next(each for each in (State.EXPIRED, State.PROPOSED, State.APPROVED, State.ANNOUNCED, State.IN_FORCE) if each in found)


def earliest_day(announced_at: datetime, notice: Period) -> date:
    """Return the first London day that lies wholly after the notice."""
    return local_date(deletable_at(announced_at, notice))


def in_force_from(proposal: Proposal, notice: Period) -> datetime:
    """Return when an announced proposal takes effect (UTC): its effective day, or the end of the notice if that is later.

    Raises:
        Conflict: it is not announced.
    """
    if proposal.announced_at is None:
        raise Conflict("it is not announced", hint="announce it first")
    return midnight(max(proposal.effective, earliest_day(proposal.announced_at, notice)))


def resolve(account_policy: str | None, default: str, versions: Iterable[Policy], now: datetime) -> Policy:
    """Return the policy that holds for an account: its own, else the operator's default, in the version in force at `now`.

    Args:
        account_policy: the key of the account's own policy; None = the default.
        default: the key of the operator's policy.
        versions: approved and announced versions of any policies.
        now: aware.

    Raises:
        NotFound: there is no version of that policy.
    """
    wanted = account_policy or default
    known = sorted((policy for policy in versions if policy.key == wanted), key=lambda policy: policy.version)
    if not known:
        raise NotFound(f"there is no policy {wanted!r}", hint="'ringfence policy list' shows them")
    today = local_date(now)
    # The first version holds from the beginning: data that is older than the policy has an end too.
    return next((policy for policy in reversed(known) if policy.effective <= today), known[0])


def _rule_changes(data_class: DataClass, old: Rule, new: Rule) -> Iterable[Change]:
    values = (
        ("window", old.window, new.window, _length(old.window, new.window)),
        ("minimum", old.minimum, new.minimum, _length(old.minimum or Period(), new.minimum or Period())),
        ("from", old.start, new.start, Effect.EITHER),
        ("minimum_from", old.minimum_start, new.minimum_start, Effect.EITHER),
        ("action", old.action, new.action, Effect.EITHER),
        ("legal", old.legal, new.legal, Effect.NONE),
        ("minimum_legal", old.minimum_legal, new.minimum_legal, Effect.NONE),
        ("needs", ", ".join(old.needs), ", ".join(new.needs), Effect.NONE),
        ("claims", ", ".join(old.claims), ", ".join(new.claims), Effect.NONE),
    )
    return (Change(data_class, key, str(before or ""), str(after or ""), effect) for key, before, after, effect in values if before != after)


def _length(old: Period | None, new: Period | None) -> Effect:
    if old is None or new is None:  # no window: kept
        return Effect.NONE if old == new else Effect.SHORTER if old is None else Effect.LONGER
    return {Relation.SHORTER: Effect.SHORTER, Relation.LONGER: Effect.LONGER, Relation.SAME: Effect.NONE, Relation.MIXED: Effect.EITHER}[compare(new, old)]


def _expired(since: datetime, expires: Period, now: datetime) -> bool:
    return now >= deletable_at(since, expires)


def _same_person(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()
