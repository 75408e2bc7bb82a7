"""Numbers: who has which, who had it when, and where each forwards to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Select, delete, select, update
from sqlalchemy.orm import Session

from ringfence.batches import batched
from ringfence.clock import Clock
from ringfence.errors import Conflict, NotFound, Refused
from ringfence.masking import mask
from ringfence.models import Account, Did, DidOwnership, Endpoint, Target
from ringfence.queries import emergency
from ringfence.queries.accounts import get_open_account
from ringfence.queries.plan import Change, ChangeKind, begin_change, bump, note_changes
from ringfence.queries.rows import insert_rows
from ringfence.values import E164, AccountState, DidState, NumberClass, PlanTarget, TargetKind

KEYS = 500  # keys in one IN (...)


class DidLine(msgspec.Struct, frozen=True):
    """A number with its owner and targets, for lists, exports and imports."""

    e164: E164
    number_class: NumberClass
    state: DidState
    account: str | None  # the account's reference
    created_at: datetime
    targets: tuple[PlanTarget, ...]


class Owned(msgspec.Struct, frozen=True):
    """One period of a number's history."""

    account: str
    since: datetime
    until: datetime | None  # None = still


def add_did(session: Session, clock: Clock, e164: E164, number_class: NumberClass) -> Did:
    """Take a number into stock; it is routed once it is assigned.

    Raises:
        Conflict: it is there already, or a number forwards to it, so that calls would go round in a loop.
    """
    bump(session, clock, [(ChangeKind.DID, e164)])
    if session.get(Did, e164) is not None:
        raise Conflict("the number is there already", hint=f"'ringfence number show {e164}' shows it")
    loops = forwarding_numbers(session, [e164])
    if loops:
        raise Conflict(
            f"{len(loops)} number(s) forward to it: calls would go round in a loop",
            hint=f"change the targets of {loops[0][0]} first, with 'ringfence number forward'",
        )
    did = Did(e164=e164, number_class=number_class, state=DidState.INACTIVE, account_id=None, created_at=clock.now())
    session.add(did)
    session.flush()
    return did


def get_did(session: Session, e164: str) -> Did:
    """Return the number.

    Raises:
        NotFound: it is not one of ours.
    """
    did = session.get(Did, e164)
    if did is None:
        raise NotFound(f"{mask(e164)} is not one of our numbers", hint="'ringfence number list' lists them; 'ringfence number add' takes one into stock")
    return did


def assign_did(session: Session, clock: Clock, e164: str, ref: str, *, end_quarantine: bool = False) -> Did:
    """Give a number to an account, and activate it.

    Raises:
        NotFound: the number or the account does not exist.
        Conflict: it has an owner, is in quarantine, or the account is closed.
    """
    bump(session, clock, [(ChangeKind.DID, e164)])
    did, account = get_did(session, e164), get_open_account(session, ref)
    if did.account_id is not None:
        owner = session.get_one(Account, did.account_id).ref
        raise Conflict(f"the number is account {owner}'s", hint=f"take it back first: 'ringfence number release {e164} --commit'")
    if did.state is DidState.QUARANTINED and not end_quarantine:
        raise Conflict("the number is in quarantine: callers of its last owner may still call it", hint="add --end-quarantine to give it out all the same")
    did.account_id, did.state = account.id, DidState.ACTIVE
    session.add(DidOwnership(e164=e164, account_id=account.id, since=clock.now(), until=None))
    session.flush()
    return did


def release_dids(session: Session, clock: Clock, numbers: Sequence[str]) -> None:
    """Take numbers back from their accounts: targets are dropped, phones no longer present them, they go into quarantine.

    Raises:
        NotFound: one is not ours.
        Conflict: one has no owner.
    """
    version = begin_change(session, clock)
    for e164 in numbers:
        if get_did(session, e164).account_id is None:
            raise Conflict(f"{mask(e164)} has no owner", hint=f"'ringfence number show {e164}' shows its history")
    note_changes(session, clock, version, _release(session, clock, numbers))


def replace_targets(session: Session, clock: Clock, e164: str, targets: Sequence[PlanTarget]) -> None:
    """Set where a number forwards to, in place of what was set.

    Raises:
        NotFound: the number is not ours.
        Conflict: it has no owner.
        Refused: a target is one of our own numbers, or an endpoint that the number's account has not.
    """
    bump(session, clock, [(ChangeKind.DID, e164)])
    did = get_did(session, e164)
    if did.account_id is None:
        raise Conflict("the number has no owner", hint=f"assign it first: 'ringfence number assign {e164} ACCOUNT'")
    ours = our_numbers(session, [target.address for target in targets if target.kind is not TargetKind.ENDPOINT])
    if ours:
        raise Refused("a target is one of our own numbers: calls would go round in a loop", hint="forward to where that number forwards to")
    phones = {target.address for target in targets if target.kind is TargetKind.ENDPOINT}
    missing = phones - set(session.scalars(select(Endpoint.name).where(Endpoint.name.in_(phones), Endpoint.account_id == did.account_id)))
    if missing:
        ref = session.get_one(Account, did.account_id).ref
        raise Refused(f"account {ref} has no endpoint {min(missing)}", hint=f"'ringfence endpoint list --account {ref}' lists its endpoints")
    write_targets(session, {e164: targets})


def close_account(session: Session, clock: Clock, ref: str) -> Account:
    """Close an account for good: its numbers go into quarantine, its phones are disabled, and retention windows begin.

    Raises:
        NotFound: there is none of that reference.
        Conflict: it is closed.
    """
    version = begin_change(session, clock)
    account = get_open_account(session, ref)
    changes = _release(session, clock, numbers_of(session, account.id))
    phones = list(session.scalars(select(Endpoint.name).where(Endpoint.account_id == account.id)))
    session.execute(update(Endpoint).where(Endpoint.account_id == account.id).values(enabled=False))
    account.state, account.closed_at = AccountState.CLOSED, clock.now()
    note_changes(session, clock, version, [*changes, *((ChangeKind.ENDPOINT, name) for name in phones), (ChangeKind.ACCOUNT, str(account.id))])
    return account


def numbers_of(session: Session, account_id: int) -> list[str]:
    """Return an account's numbers."""
    return list(session.scalars(select(Did.e164).where(Did.account_id == account_id).order_by(Did.e164)))


def history(session: Session, e164: str) -> list[Owned]:
    """Return who had a number when, oldest first."""
    rows = select(Account.ref, DidOwnership.since, DidOwnership.until).join(Account, Account.id == DidOwnership.account_id).where(DidOwnership.e164 == e164)
    return [Owned(*row) for row in session.execute(rows.order_by(DidOwnership.since, DidOwnership.id))]


def list_dids(
    session: Session, *, account_id: int | None = None, state: DidState | None = None, prefix: str = "", limit: int | None = None
) -> Iterator[DidLine]:
    """Yield numbers by E.164, in constant memory.

    Args:
        session: an open transaction.
        account_id: only this account's.
        state: only those in this state.
        prefix: only those that begin so, e.g. `+4420`.
        limit: at most so many.
    """
    chosen = select(Did).order_by(Did.e164)
    if account_id is not None:
        chosen = chosen.where(Did.account_id == account_id)
    if state is not None:
        chosen = chosen.where(Did.state == state)
    if prefix:
        chosen = chosen.where(Did.e164.startswith(prefix, autoescape=True))
    return _lines(session, chosen if limit is None else chosen.limit(limit))


def find_dids(session: Session, numbers: Iterable[str]) -> Iterator[DidLine]:
    """Yield those of the numbers that are ours."""
    for batch in batched(numbers, KEYS):
        yield from _lines(session, select(Did).where(Did.e164.in_(batch)))


def our_numbers(session: Session, numbers: Iterable[str]) -> set[str]:
    """Return those of the numbers that are ours."""
    return {e164 for batch in batched(numbers, KEYS) for e164 in session.scalars(select(Did.e164).where(Did.e164.in_(batch)))}


def forwarding_numbers(session: Session, addresses: Iterable[str]) -> list[tuple[str, str]]:
    """Return (number, target) for our numbers that forward to one of these."""
    statement = select(Target.did, Target.address).where(Target.kind != TargetKind.ENDPOINT)
    return [(did, address) for batch in batched(addresses, KEYS) for did, address in session.execute(statement.where(Target.address.in_(batch)))]


def write_targets(session: Session, targets: dict[str, Sequence[PlanTarget]]) -> None:
    """Replace the targets of numbers; the caller has checked them and holds the plan."""
    for batch in batched(targets, KEYS):
        session.execute(delete(Target).where(Target.did.in_(batch)))
    rows = (
        {"did": e164, "position": target.position, "kind": target.kind, "address": target.address, "ring_seconds": target.ring_seconds}
        for e164, wanted in targets.items()
        for target in wanted
    )
    insert_rows(session, Target, rows)


def end_ownership(session: Session, clock: Clock, numbers: Sequence[str]) -> list[Change]:
    """End the owners' time with these numbers and the addresses they had for 999; return what else that changes: phones present none."""
    now = clock.now()
    changes: list[Change] = []
    emergency.leave(session, clock, numbers)
    for batch in batched(numbers, KEYS):
        session.execute(update(DidOwnership).where(DidOwnership.e164.in_(batch), DidOwnership.until.is_(None)).values(until=now))
        for column in (Endpoint.caller_did, Endpoint.emergency_did):
            phones = session.scalars(update(Endpoint).where(column.in_(batch)).values({column: None}).returning(Endpoint.name))
            changes.extend((ChangeKind.ENDPOINT, name) for name in phones)
    return changes


def _release(session: Session, clock: Clock, numbers: Sequence[str]) -> list[Change]:
    changes = end_ownership(session, clock, numbers)
    write_targets(session, dict.fromkeys(numbers, ()))
    for batch in batched(numbers, KEYS):
        session.execute(update(Did).where(Did.e164.in_(batch)).values(account_id=None, state=DidState.QUARANTINED))
    return [*((ChangeKind.DID, e164) for e164 in numbers), *changes]


def _lines(session: Session, chosen: Select[*tuple[Did]]) -> Iterator[DidLine]:
    did = chosen.subquery()
    statement = (
        select(did.c.e164, did.c.number_class, did.c.state, Account.ref, did.c.created_at, Target.position, Target.kind, Target.address, Target.ring_seconds)
        .outerjoin(Account, Account.id == did.c.account_id)
        .outerjoin(Target, Target.did == did.c.e164)
        .order_by(did.c.e164, Target.position, Target.id)
    )
    line: tuple[E164, NumberClass, DidState, str | None, datetime] | None = None
    targets: list[PlanTarget] = []
    for e164, number_class, state, ref, created_at, position, kind, address, ring_seconds in session.execute(statement.execution_options(yield_per=1_000)):
        if line is None or line[0] != e164:
            if line is not None:
                yield DidLine(*line, tuple(targets))
            line, targets = (E164(e164), number_class, state, ref, created_at), []
        if position is not None:
            targets.append(PlanTarget(position, kind, address, ring_seconds))
    if line is not None:
        yield DidLine(*line, tuple(targets))
