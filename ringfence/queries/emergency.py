"""Address records for 999: versions, their states, and what becomes of them when their number leaves. Each change has its audit entry.

What may follow what is decided elsewhere (`dialplan.emergency.state`): the functions here apply a change only if the record still is in
the state that the decision was made for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session

from ringfence.audit import log
from ringfence.batches import batched
from ringfence.clock import Clock
from ringfence.emergency import (
    AT_CARRIER,
    NOTHING_KNOWN,
    SUFFICIENT,
    AddressState,
    Confirmation,
    EmergencyAddress,
    LocationClass,
    RecordFacts,
    SubmissionAction,
)
from ringfence.errors import Conflict, NotFound
from ringfence.masking import mask
from ringfence.models import Account, Did, EmergencyRecord, Endpoint
from ringfence.queries import emergency_outbox as outbox
from ringfence.queries.plan import Change, ChangeKind, begin_change, note_changes

_KEYS = 500  # keys in one IN (...)
_FIELDS = EmergencyAddress.__struct_fields__


class Step(Protocol):
    """A decided change of state (`dialplan.emergency.state.Move`)."""

    @property
    def before(self) -> AddressState:
        """The state that it was decided for."""
        ...

    @property
    def after(self) -> AddressState:
        """The state that follows."""
        ...


class Version(msgspec.Struct, frozen=True):
    """What a new version of a record says."""

    location: LocationClass
    address: EmergencyAddress | None  # None for a class of which the 999 database takes none
    confirmed: Confirmation | None = None
    acknowledged: bool = False  # the customer knows that 999 does not work from it


class Answer(msgspec.Struct, frozen=True):
    """What a carrier said with a change of state."""

    carrier: str | None = None
    reference: str | None = None
    refusal: str | None = None  # why it refused, in its words; up to 200 characters are kept


def current(session: Session, e164: str, *, lock: bool = False) -> EmergencyRecord | None:
    """Return the version that holds, or None; with `lock` nobody else changes it until the transaction ends."""
    chosen = select(EmergencyRecord).where(EmergencyRecord.e164 == e164, EmergencyRecord.superseded_at.is_(None))
    return session.scalar(chosen.with_for_update() if lock else chosen)


def currents(session: Session, numbers: Iterable[str]) -> dict[str, EmergencyRecord]:
    """Return the versions that hold of these numbers, by number."""
    found: dict[str, EmergencyRecord] = {}
    for batch in batched(numbers, _KEYS):
        chosen = select(EmergencyRecord).where(EmergencyRecord.e164.in_(batch), EmergencyRecord.superseded_at.is_(None))
        found.update((record.e164, record) for record in session.scalars(chosen))
    return found


def owners_of(session: Session, numbers: Iterable[str]) -> dict[str, int | None]:
    """Return the account of each of the numbers that are ours; None for one without an owner."""
    found: dict[str, int | None] = {}
    for batch in batched(numbers, _KEYS):
        found.update((row[0], row[1]) for row in session.execute(select(Did.e164, Did.account_id).where(Did.e164.in_(batch))))
    return found


def get_record(session: Session, record_id: str) -> EmergencyRecord:
    """Return a version by its id, as the store has it now.

    Raises:
        NotFound: there is none.
    """
    record = session.get(EmergencyRecord, record_id, populate_existing=True)
    if record is None:
        raise NotFound("there is no such address record", hint="'ringfence emergency address history NUMBER' lists a number's")
    return record


def versions(session: Session, e164: str) -> list[EmergencyRecord]:
    """Return every version that is still kept, newest first."""
    return list(session.scalars(select(EmergencyRecord).where(EmergencyRecord.e164 == e164).order_by(EmergencyRecord.version.desc())))


def address_of(record: EmergencyRecord) -> EmergencyAddress:
    """Return a version's address."""
    return EmergencyAddress(*(getattr(record, field) for field in _FIELDS))


def facts_of(record: EmergencyRecord | None) -> RecordFacts:
    """Return what decisions need to know of a version; of none, that nothing is known."""
    if record is None:
        return NOTHING_KNOWN
    return RecordFacts(record.location, record.state, record.standing, record.acknowledged_at is not None)


def add_version(session: Session, clock: Clock, e164: str, version: Version) -> EmergencyRecord:
    """Write one new version, as `add_versions`."""
    return add_versions(session, clock, {e164: version})[0]


def add_versions(session: Session, clock: Clock, wanted: Mapping[str, Version]) -> list[EmergencyRecord]:
    """Write new versions in place of those that hold, and queue what carriers must be told.

    Takes the plan's lock first. A version with an address begins as a draft, one without is `missing`: there is nothing to submit, and what a
    carrier has from before is withdrawn.

    Args:
        session: an open transaction that has changed nothing yet.
        clock: the clock.
        wanted: number -> what is to be held of it; at least one.

    Raises:
        NotFound: a number is not ours.
        Conflict: a number has no owner.
    """
    plan_version = begin_change(session, clock)
    made: list[EmergencyRecord] = []
    changes: list[Change] = []
    for batch in batched(sorted(wanted), _KEYS):
        owners = _owners(session, batch)
        before = {record.e164: record for record in _locked(session, batch)}
        rows = select(EmergencyRecord.e164, func.max(EmergencyRecord.version)).where(EmergencyRecord.e164.in_(batch)).group_by(EmergencyRecord.e164)
        newest = {row[0]: row[1] for row in session.execute(rows)}
        fresh = [_made(clock, e164, owners[e164], newest.get(e164, 0) + 1, wanted[e164], before.get(e164)) for e164 in batch]
        states = {e164: record.state for e164, record in before.items()}
        for leaving in (True, False):
            _close(session, clock, [one for one in before.values() if (wanted[one.e164].address is None) is leaving], leaving=leaving)
        session.add_all(fresh)
        session.flush()
        outbox.enqueue_all(session, clock, [record for record in fresh if wanted[record.e164].address is not None], SubmissionAction.SUBMIT)
        _log(session, clock, "operator", ((record, states.get(record.e164, AddressState.MISSING), record.state) for record in fresh))
        changes.extend(_changes(session, batch))
        made.extend(fresh)
    note_changes(session, clock, plan_version, changes)
    return made


def apply_step(session: Session, clock: Clock, record: EmergencyRecord, step: Step, answer: Answer, *, actor: str, reroutes: bool) -> None:
    """Put a record into the state that was decided.

    Args:
        session: an open transaction; with `reroutes` it has changed nothing yet.
        clock: the clock.
        record: the version, as it was when the decision was made.
        step: the decision.
        answer: what the carrier said.
        actor: for the audit log.
        reroutes: the number's ordinary calls are refused before and not after, or the other way round: the plan's version is raised.

    Raises:
        Conflict: the record is no longer in the state that the decision was made for.
    """
    plan_version = begin_change(session, clock) if reroutes else 0
    mine = (EmergencyRecord.id == record.id, EmergencyRecord.state == step.before)
    changed = update(EmergencyRecord).where(*mine).values(**_after(clock, record, step, answer)).returning(EmergencyRecord.id)
    if session.scalar(changed.execution_options(synchronize_session=False)) is None:
        raise Conflict("the address record was changed meanwhile", hint="look at it again, and repeat what should still be done")
    session.expire(record)
    if reroutes:
        note_changes(session, clock, plan_version, _changes(session, [record.e164]))
    if step.before is not step.after:
        _log(session, clock, actor, [(record, step.before, step.after)])


def confirm(session: Session, clock: Clock, record: EmergencyRecord, confirmation: Confirmation) -> None:
    """Write down that somebody said the address is right, now."""
    record.confirmed_by, record.confirmed_how, record.confirmed_at = confirmation.by, confirmation.how, clock.now()
    session.flush()
    log.append(session, clock, "emergency.confirmed", actor="operator", record=record.id)


def note_report(session: Session, clock: Clock, record: EmergencyRecord, key: str) -> None:
    """Write down that a 999 operator was reported to lack a record, and which report that was."""
    record.reported_at, record.report_key = clock.now(), key
    session.flush()


def reported(session: Session, *, limit: int | None = None) -> list[tuple[EmergencyRecord, str]]:
    """Return the versions that hold of which a 999 operator was reported to lack the record, each with its account's reference, the newest report first."""
    mine = (EmergencyRecord.reported_at.is_not(None), EmergencyRecord.superseded_at.is_(None))
    rows = select(EmergencyRecord, Account.ref).join(Account, Account.id == EmergencyRecord.account_id).where(*mine)
    return [(row[0], row[1]) for row in session.execute(rows.order_by(EmergencyRecord.reported_at.desc(), EmergencyRecord.e164).limit(limit))]


def leave(session: Session, clock: Clock, numbers: Iterable[str]) -> None:
    """End the records of numbers that leave their owner; what a carrier has is queued to be withdrawn. The caller holds the plan."""
    for batch in batched(numbers, _KEYS):
        _close(session, clock, _locked(session, batch), leaving=True)


def presenting(session: Session, e164: str) -> list[str]:
    """Return the phones that present a number, on all calls or on those to 999."""
    mine = or_(Endpoint.caller_did == e164, Endpoint.emergency_did == e164)
    return list(session.scalars(select(Endpoint.name).where(mine).order_by(Endpoint.name)))


def phones_of_site(session: Session, e164: str) -> list[str]:
    """Return the enabled phones that present a number to 999: as the number of their site or, without one, of all their calls."""
    theirs = or_(Endpoint.emergency_did == e164, and_(Endpoint.emergency_did.is_(None), Endpoint.caller_did == e164))
    return list(session.scalars(select(Endpoint.name).where(theirs, Endpoint.enabled.is_(True)).order_by(Endpoint.name)))


def exported(session: Session, *, account_id: int | None = None) -> Iterator[tuple[EmergencyRecord, str]]:
    """Yield the versions that hold, each with its account's reference, by number and in constant memory."""
    rows = select(EmergencyRecord, Account.ref).join(Account, Account.id == EmergencyRecord.account_id).where(EmergencyRecord.superseded_at.is_(None))
    if account_id is not None:
        rows = rows.where(EmergencyRecord.account_id == account_id)
    for row in session.execute(rows.order_by(EmergencyRecord.e164).execution_options(yield_per=1_000)):
        yield row[0], row[1]


def _locked(session: Session, numbers: Sequence[str]) -> list[EmergencyRecord]:
    """Return the versions that hold, as the store has them, and keep others from changing them until the transaction ends."""
    chosen = select(EmergencyRecord).where(EmergencyRecord.e164.in_(numbers), EmergencyRecord.superseded_at.is_(None)).order_by(EmergencyRecord.e164)
    return list(session.scalars(chosen.with_for_update().execution_options(populate_existing=True)))


def _made(clock: Clock, e164: str, account_id: int, number: int, version: Version, before: EmergencyRecord | None) -> EmergencyRecord:
    now = clock.now()
    address = version.address or EmergencyAddress()
    covered = before is not None and before.state is AddressState.ACCEPTED
    mine = before is not None and before.account_id == account_id and version.address is not None
    return EmergencyRecord(
        id=log.new_id(),
        e164=e164,
        version=number,
        account_id=account_id,
        location=version.location,
        **{field: getattr(address, field) for field in _FIELDS},
        state=AddressState.MISSING if version.address is None else AddressState.DRAFT,
        state_at=now,
        standing=mine and before is not None and (before.standing or before.state in SUFFICIENT),
        uncovered_since=now if before is None or covered else before.uncovered_since or now,
        carrier=before.carrier if mine and before is not None else None,
        confirmed_by=version.confirmed.by if version.confirmed else None,
        confirmed_how=version.confirmed.how if version.confirmed else None,
        confirmed_at=now if version.confirmed else None,
        acknowledged_at=now if version.acknowledged else None,
        reported_at=before.reported_at if mine and before is not None else None,
        report_key=before.report_key if mine and before is not None else None,
        made_at=now,
    )


def _close(session: Session, clock: Clock, records: Sequence[EmergencyRecord], *, leaving: bool) -> None:
    """End versions: each was overtaken, or its number leaves its owner or needs no address any more."""
    outbox.drop(session, clock, [record.id for record in records])
    sent = outbox.tried(session, [record.id for record in records]) if leaving else set()
    left: list[tuple[EmergencyRecord, AddressState, AddressState]] = []
    for record in records:
        before = record.state
        record.superseded_at = clock.now()
        if leaving and before is not AddressState.MISSING:
            there = before in AT_CARRIER or record.standing or record.id in sent
            record.state, record.state_at = AddressState.WITHDRAWING if there else AddressState.WITHDRAWN, clock.now()
            left.append((record, before, record.state))
    session.flush()
    outbox.enqueue_all(session, clock, [record for record, _, after in left if after is AddressState.WITHDRAWING], SubmissionAction.WITHDRAW)
    _log(session, clock, "system", left)


def _after(clock: Clock, record: EmergencyRecord, step: Step, answer: Answer) -> dict[str, Any]:
    now = clock.now()
    values: dict[str, Any] = {"state": step.after}
    if step.before is not step.after:
        values["state_at"] = now
    if answer.carrier:
        values["carrier"] = answer.carrier
    if answer.reference:
        values["carrier_ref"] = answer.reference[:100]
    if step.after in SUFFICIENT:
        values |= {"standing": False, "refusal": None, "submitted_at": record.submitted_at or now}
    if step.after is AddressState.REJECTED:
        values["refusal"] = (answer.refusal or "")[:200] or None
    if step.after is AddressState.ACCEPTED:
        values |= {"uncovered_since": None, "accepted_at": record.accepted_at or now}
    elif record.uncovered_since is None:
        values["uncovered_since"] = now
    return values


def _owners(session: Session, numbers: Sequence[str]) -> dict[str, int]:
    """Return whose each number is, and refuse one that is nobody's."""
    owners, found = owners_of(session, numbers), {}
    for e164 in numbers:
        if e164 not in owners:
            raise NotFound(f"{mask(e164)} is not one of our numbers", hint="'ringfence number list' lists them")
        owner = owners[e164]
        if owner is None:
            raise Conflict("the number has no owner, so nobody calls from it", hint=f"assign it first: 'ringfence number assign {e164} ACCOUNT'")
        found[e164] = owner
    return found


def _log(session: Session, clock: Clock, actor: str, changed: Iterable[tuple[EmergencyRecord, AddressState, AddressState]]) -> None:
    drafts = [
        log.Draft("emergency.changed", {"record": record.id, "version": record.version, "before": before.value, "after": after.value}, actor)
        for record, before, after in changed
    ]
    if drafts:
        log.append_all(session, clock, drafts)


def _changes(session: Session, numbers: Sequence[str]) -> list[Change]:
    phones = session.scalars(select(Endpoint.name).where(Endpoint.caller_did.in_(numbers)).order_by(Endpoint.name))
    return [*((ChangeKind.DID, e164) for e164 in numbers), *((ChangeKind.ENDPOINT, name) for name in phones)]
