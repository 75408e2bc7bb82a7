"""Many numbers at once: what a file would change, checked as a whole, and the change, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ringfence.batches import batched
from ringfence.clock import Clock
from ringfence.models import Account, Did, DidOwnership, Endpoint
from ringfence.provisioning import DidWish, not_found
from ringfence.queries.numbering import DidLine, end_ownership, find_dids, forwarding_numbers, our_numbers, write_targets
from ringfence.queries.plan import ChangeKind, note_changes
from ringfence.queries.rows import insert_rows
from ringfence.values import E164, AccountState, DidState, NumberClass, PlanTarget, TargetKind

_BATCH = 5_000
_SUGGESTIONS = 20  # looking for near misses is slow


class Effect(StrEnum):
    """What an import does to a number."""

    NEW = "new"
    ASSIGNED = "assigned"  # was ours, had no owner
    MOVED = "moved"  # from one account to another
    CHANGED = "changed"  # forwards elsewhere


class DidChange(msgspec.Struct, frozen=True):
    """What changes for one number."""

    e164: E164
    number_class: NumberClass
    effect: Effect
    account_before: str | None
    account: str | None
    account_id: int | None
    targets_before: tuple[PlanTarget, ...]
    targets: tuple[PlanTarget, ...]


class Problem(msgspec.Struct, frozen=True):
    """Why a row cannot be taken."""

    line: int
    message: str


class ImportPlan(msgspec.Struct, frozen=True):
    """What an import would do; with a problem it does nothing."""

    changes: tuple[DidChange, ...]
    unchanged: int
    problems: tuple[Problem, ...]

    def count(self, effect: Effect) -> int:
        """Return how many numbers it does this to."""
        return sum(1 for change in self.changes if change.effect is effect)


class _Known(msgspec.Struct, frozen=True):
    """What the store holds that the rows speak of."""

    accounts: Mapping[str, tuple[int, AccountState]]
    unknown: Mapping[str, str]  # reference of no account -> what to say
    dids: Mapping[str, DidLine]
    loops: frozenset[str]  # targets that are our own numbers, before or after
    forwarded_to: frozenset[str]  # numbers that others of ours, not in the file, forward to
    phones: frozenset[tuple[str, str]]  # (account, endpoint)


def plan_import(session: Session, wishes: Sequence[tuple[int, DidWish]]) -> ImportPlan:
    """Return what the rows would change, and every reason against it. Changes nothing.

    Args:
        session: an open transaction; hold the plan (`begin_change`) when the import is applied in it.
        wishes: (line, what it wants).
    """
    known = _look_up(session, [wish for _, wish in wishes])
    lines: dict[str, int] = {}
    changes: list[DidChange] = []
    problems: list[Problem] = []
    for line, wish in wishes:
        change = _change(wish, known)
        messages = _problems(wish, change, known)
        if wish.e164 in lines:
            messages.insert(0, f"the number is in line {lines[wish.e164]} already")
        lines.setdefault(wish.e164, line)
        problems.extend(Problem(line, message) for message in messages)
        if not messages and not _is_same(change, known.dids.get(wish.e164)):
            changes.append(change)
    return ImportPlan(tuple(changes), len(wishes) - len(changes) - len({problem.line for problem in problems}), tuple(problems))


def apply_import(session: Session, clock: Clock, version: int, changes: Sequence[DidChange]) -> None:
    """Make the changes of a plan that was made in this transaction, under the plan's lock.

    Args:
        session: the transaction in which `begin_change` returned `version` and the plan was made.
        clock: the clock.
        version: the plan's version.
        changes: at least one.
    """
    now = clock.now()
    new = [change for change in changes if change.effect is Effect.NEW]
    given = [change for change in changes if change.account_before != change.account]
    state = {True: DidState.ACTIVE, False: DidState.INACTIVE}
    insert_rows(
        session,
        Did,
        (
            {"e164": c.e164, "number_class": c.number_class, "state": state[c.account_id is not None], "account_id": c.account_id, "created_at": now}
            for c in new
        ),
    )
    phones = end_ownership(session, clock, [change.e164 for change in given if change.account_before is not None])
    for batch in batched((change for change in given if change.effect is not Effect.NEW), _BATCH):
        session.execute(update(Did), [{"e164": change.e164, "account_id": change.account_id, "state": DidState.ACTIVE} for change in batch])
    insert_rows(session, DidOwnership, ({"e164": c.e164, "account_id": c.account_id, "since": now, "until": None} for c in given if c.account_id is not None))
    write_targets(session, {change.e164: change.targets for change in changes if change.targets != change.targets_before})
    note_changes(session, clock, version, [*((ChangeKind.DID, change.e164) for change in changes), *phones])


def _look_up(session: Session, wishes: Sequence[DidWish]) -> _Known:
    accounts = {ref: (account_id, state) for ref, account_id, state in session.execute(select(Account.ref, Account.id, Account.state))}
    refs = {account_id: ref for ref, (account_id, _) in accounts.items()}
    numbers = {wish.e164 for wish in wishes}
    unknown = sorted({wish.account for wish in wishes if wish.account} - accounts.keys())
    dids: dict[str, DidLine] = {line.e164: line for line in find_dids(session, sorted(numbers))}
    addresses = {target.address for wish in wishes for target in wish.targets or () if target.kind is not TargetKind.ENDPOINT}
    replaced = {wish.e164 for wish in wishes if wish.targets is not None}
    others = {address for did, address in forwarding_numbers(session, sorted(numbers - dids.keys())) if did not in replaced}
    return _Known(
        accounts=accounts,
        unknown={ref: _unknown(ref, list(accounts)[:1000] if index < _SUGGESTIONS else []) for index, ref in enumerate(unknown)},
        dids=dids,
        loops=frozenset((addresses & numbers) | our_numbers(session, sorted(addresses - numbers))),
        forwarded_to=frozenset(others),
        phones=frozenset((refs[account_id], name) for name, account_id in session.execute(select(Endpoint.name, Endpoint.account_id))),
    )


def _change(wish: DidWish, known: _Known) -> DidChange:
    line = known.dids.get(wish.e164)
    before = line.account if line else None
    account = before if wish.account is None else (wish.account or None)
    targets_before = line.targets if line else ()
    kept = targets_before if account == before else ()  # a new owner never inherits where the last one was reached
    effect = Effect.NEW if line is None else Effect.CHANGED if account == before else Effect.ASSIGNED if before is None else Effect.MOVED
    return DidChange(
        e164=wish.e164,
        number_class=wish.number_class,
        effect=effect,
        account_before=before,
        account=account,
        account_id=known.accounts[account][0] if account is not None and account in known.accounts else None,
        targets_before=targets_before,
        targets=kept if wish.targets is None else wish.targets,
    )


def _is_same(change: DidChange, line: DidLine | None) -> bool:
    return line is not None and change.account == change.account_before and change.targets == change.targets_before


def _problems(wish: DidWish, change: DidChange, known: _Known) -> list[str]:
    line = known.dids.get(wish.e164)
    found = []
    if change.account is not None and change.account not in known.accounts:
        found.append(known.unknown[change.account])
    elif change.account is not None and change.account != change.account_before and known.accounts[change.account][1] is AccountState.CLOSED:
        found.append(f"account {change.account} is closed")
    if change.account is None and change.account_before is not None:
        found.append(f"it would take the number away from account {change.account_before}; 'ringfence number release' does that")
    if change.account is None and change.targets:
        found.append("it has targets but no account")
    if line is not None and line.state is DidState.QUARANTINED and change.account is not None:
        found.append("the number is in quarantine; 'ringfence number assign --end-quarantine' gives it out all the same")
    if line is None and wish.e164 in known.forwarded_to:
        found.append("another number forwards to it: calls would go round in a loop")
    found.extend("a target is one of our own numbers: calls would go round in a loop" for target in wish.targets or () if target.address in known.loops)
    phones = (target.address for target in wish.targets or () if target.kind is TargetKind.ENDPOINT)
    found.extend(f"account {change.account} has no endpoint {name}" for name in phones if (change.account, name) not in known.phones)
    return found


def _unknown(ref: str, candidates: list[str]) -> str:
    error = not_found("account", ref, candidates, "ringfence account list")
    return f"{error.message}; {error.hint}"
