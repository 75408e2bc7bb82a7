"""The routing plan: raising its version with every change, and reading it whole or in parts.

Every transaction that changes routing begins with `begin_change`. That locks the one row of `plan_state` until the commit, on SQLite
and PostgreSQL alike: provisioning transactions run one after the other, what they read before they write is true when they
commit, and versions become visible in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Select, String, and_, func, select, type_coerce, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from ringfence.batches import batched
from ringfence.clock import Clock
from ringfence.emergency import NOTHING_KNOWN, AddressState, LocationClass, RecordFacts
from ringfence.models import Account, Did, EmergencyRecord, Endpoint, PlanChange, PlanState, Target, Trunk
from ringfence.queries.rows import insert_rows
from ringfence.values import E164, AccountState, DidState, PlanAccount, PlanDid, PlanEndpoint, PlanTarget, PlanTrunk, TargetKind

CHANNEL = "ringfence_plan"  # PostgreSQL NOTIFY; the payload is the version
_BATCH = 5_000  # rows fetched at once
_KEYS = 500  # keys in one IN (...)
_STATES = {state.value: state for state in DidState}
_KINDS = {kind.value: kind for kind in TargetKind}


class ChangeKind(StrEnum):
    """What a change of the plan is about; each change has a key."""

    DID = "did"  # key: E.164
    ACCOUNT = "account"  # key: the account's id as text
    TRUNK = "trunk"  # key: name
    ENDPOINT = "endpoint"  # key: name
    ALL = "all"  # key: '*': read everything again


Change = tuple[ChangeKind, str]


class Snapshot(msgspec.Struct, frozen=True):
    """The whole plan, at least as new as `version`. `dids` is a stream: use it up before the session ends."""

    version: int
    accounts: tuple[PlanAccount, ...]
    trunks: tuple[PlanTrunk, ...]
    endpoints: tuple[PlanEndpoint, ...]
    dids: Iterator[PlanDid]


def begin_change(session: Session, clock: Clock) -> int:
    """Raise the plan's version and return it; holds the lock on the plan until the transaction ends."""
    raise_version = update(PlanState).where(PlanState.id == 1).values(version=PlanState.version + 1, changed_at=clock.now()).returning(PlanState.version)
    version = session.scalar(raise_version.execution_options(synchronize_session=False))
    if version is None:
        first = postgresql.insert(PlanState) if _is_postgresql(session) else sqlite.insert(PlanState)
        session.execute(first.values(id=1, version=0, changed_at=clock.now()).on_conflict_do_nothing())
        version = session.scalars(raise_version.execution_options(synchronize_session=False)).one()
    return version


def note_changes(session: Session, clock: Clock, version: int, changes: Iterable[Change]) -> None:
    """Write down what `version` changes, and wake whoever listens when the transaction commits.

    Raises:
        ValueError: there is no change; then the version should not have been raised.
    """
    session.flush()
    now = clock.now()
    rows = ({"version": version, "kind": kind, "key": key, "changed_at": now} for kind, key in dict.fromkeys(changes))
    if not insert_rows(session, PlanChange, rows):
        raise ValueError("a version of the plan needs a change")
    if _is_postgresql(session):
        session.execute(select(func.pg_notify(CHANNEL, str(version))))


def bump(session: Session, clock: Clock, changes: Sequence[Change]) -> int:
    """Begin a change whose keys are known beforehand; return the new version. Call it before reading what will be changed."""
    version = begin_change(session, clock)
    note_changes(session, clock, version, changes)
    return version


def current_version(session: Session) -> int:
    """Return the newest version; 0 in a store that never had a plan."""
    return session.scalar(select(PlanState.version).where(PlanState.id == 1)) or 0


def changes_since(session: Session, version: int, *, limit: int = 50_000) -> list[Change] | None:
    """Return what changed after `version`, or None when the whole plan must be read again.

    That is so when the changes are no longer all there, when the store is older than `version` (it was restored), when one
    says 'all', and when there are more than `limit`. Take `current_version` before this, and go on from there: what is committed
    in between comes again, which does no harm.
    """
    current = current_version(session)
    if version == current:
        return []
    oldest = session.scalar(select(func.min(PlanChange.version)))
    if version > current or oldest is None or oldest > version + 1:
        return None
    rows = session.execute(select(PlanChange.kind, PlanChange.key).where(PlanChange.version > version).distinct().limit(limit + 1)).all()
    changes = [(ChangeKind(kind), key) for kind, key in rows]
    return None if len(changes) > limit or any(kind is ChangeKind.ALL for kind, _ in changes) else changes


def load_all(session: Session) -> Snapshot:
    """Return the whole plan. A change committed meanwhile may be in it or not; `changes_since(version)` has it."""
    version = current_version(session)
    return Snapshot(version, tuple(load_accounts(session)), tuple(load_trunks(session)), tuple(load_endpoints(session)), stream_dids(session))


def stream_dids(session: Session) -> Iterator[PlanDid]:
    """Yield every DID with its targets, ordered by E.164, in constant memory and from one statement, so from one moment."""
    return _merge(session.execute(_dids().execution_options(yield_per=_BATCH)))


def load_dids(session: Session, keys: Iterable[str]) -> Iterator[PlanDid]:
    """Yield the DIDs with these keys; those that are not there are left out."""
    for batch in batched(keys, _KEYS):
        yield from _merge(session.execute(_dids().where(Did.e164.in_(batch))))


def load_did(session: Session, e164: str) -> PlanDid | None:
    """Return one DID with its targets, or None."""
    return next(load_dids(session, (e164,)), None)


def load_accounts(session: Session, keys: Iterable[str] | None = None) -> Iterator[PlanAccount]:
    """Yield accounts: those with these keys (ids as text), or all."""
    columns = select(Account.id, Account.state, Account.concurrency_limit).order_by(Account.id)
    ids = None if keys is None else [int(key) for key in keys]
    for row in _rows(session, columns, Account.id, ids):
        yield PlanAccount(account_id=row[0], state=AccountState(row[1]), concurrency_limit=row[2])


def load_trunks(session: Session, keys: Iterable[str] | None = None) -> Iterator[PlanTrunk]:
    """Yield trunks, enabled or not: those with these names, or all. Emergency trunks are not among them: no rule may ever choose one."""
    columns = select(
        Trunk.name,
        Trunk.direction,
        Trunk.enabled,
        Trunk.priority,
        Trunk.weight,
        Trunk.caller_id_mode,
        Trunk.number_format,
        Trunk.network_number,
        Trunk.capacity,
        Trunk.causes,
    )
    columns = columns.where(Trunk.emergency.is_(None)).order_by(Trunk.name)
    for row in _rows(session, columns, Trunk.name, keys):
        yield PlanTrunk(*row)


def load_endpoints(session: Session, keys: Iterable[str] | None = None) -> Iterator[PlanEndpoint]:
    """Yield customers' phones, enabled or not: those with these names, or all."""
    held = and_(EmergencyRecord.e164 == Endpoint.caller_did, EmergencyRecord.account_id == Endpoint.account_id, EmergencyRecord.superseded_at.is_(None))
    known = (type_coerce(EmergencyRecord.location, String), type_coerce(EmergencyRecord.state, String), EmergencyRecord.standing)
    columns = (
        select(
            Endpoint.name,
            Endpoint.account_id,
            Endpoint.caller_did,
            Endpoint.enabled,
            Endpoint.receive_only,
            *known,
            EmergencyRecord.acknowledged_at.is_not(None),
        )
        .outerjoin(EmergencyRecord, held)
        .order_by(Endpoint.name)
    )
    for row in _rows(session, columns, Endpoint.name, keys):
        yield PlanEndpoint(row[0], row[1], row[2], enabled=row[3], receive_only=row[4], record=_facts(*row[5:]))


def _rows(session: Session, columns: Select[*tuple[Any, ...]], key: Any, keys: Iterable[Any] | None) -> Iterator[Any]:
    if keys is None:
        yield from session.execute(columns.execution_options(yield_per=_BATCH))
        return
    for batch in batched(keys, _KEYS):
        yield from session.execute(columns.where(key.in_(batch)))


@lru_cache(maxsize=256)
def _facts(location: str | None, state: str | None, standing: bool | None, acknowledged: bool) -> RecordFacts:
    """Return what is held of a number for 999; the few values that there can be are made once."""
    if location is None or state is None:
        return NOTHING_KNOWN
    return RecordFacts(LocationClass(location), AddressState(state), bool(standing), acknowledged)


def _dids() -> Select[*tuple[Any, ...]]:
    """Select one row a target, with enums as plain text: turning text into members by hand halves the time of a million."""
    return (
        select(
            Did.e164,
            Did.account_id,
            type_coerce(Did.state, String),
            Target.position,
            type_coerce(Target.kind, String),
            Target.address,
            Target.ring_seconds,
        )
        .outerjoin(Target, Target.did == Did.e164)
        .order_by(Did.e164, Target.position, Target.id)
    )


def _merge(rows: Iterable[Any]) -> Iterator[PlanDid]:
    """Gather the rows of a DID, which follow each other, into one value."""
    previous: tuple[str, int | None, str] | None = None
    targets: list[PlanTarget] = []
    for e164, account_id, state, position, kind, address, ring_seconds in rows:
        if previous is None or previous[0] != e164:
            if previous is not None:
                yield PlanDid(E164(previous[0]), previous[1], _STATES[previous[2]], tuple(targets))
            previous, targets = (e164, account_id, state), []
        if position is not None:
            targets.append(PlanTarget(position, _KINDS[kind], address, ring_seconds))
    if previous is not None:
        yield PlanDid(E164(previous[0]), previous[1], _STATES[previous[2]], tuple(targets))


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"
