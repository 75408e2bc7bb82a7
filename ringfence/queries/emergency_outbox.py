"""What is to be done at carriers with address records: queued in the transaction that makes it necessary, done by the worker, at least once.

A number's requests are sent in the order they were made. One that the carrier has and has not decided holds up nobody: the next owner's
address goes out while the last one's withdrawal is not confirmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, func, select, update
from sqlalchemy.orm import Session

from ringfence.audit.log import new_id
from ringfence.batches import batched
from ringfence.clock import Clock
from ringfence.emergency import AddressState, SubmissionAction, SubmissionState
from ringfence.models import EmergencyRecord, EmergencySubmission
from ringfence.queries.rows import insert_rows

_KEYS = 500  # keys in one IN (...)
_OPEN = (SubmissionState.QUEUED, SubmissionState.WAITING)
ERROR = 60  # characters of an error's name


def enqueue(session: Session, clock: Clock, record: EmergencyRecord, action: SubmissionAction) -> None:
    """Ask for something to be done with a version of a record at its carrier."""
    enqueue_all(session, clock, [record], action)


def enqueue_all(session: Session, clock: Clock, records: Sequence[EmergencyRecord], action: SubmissionAction) -> None:
    """Ask for the same with several versions, in order."""
    now = clock.now()
    shared = {"action": action, "state": SubmissionState.QUEUED, "attempts": 0, "next_at": now, "made_at": now}
    rows = (
        {**shared, "record_id": one.id, "e164": one.e164, "account_id": one.account_id, "carrier": one.carrier, "idempotency_key": new_id()} for one in records
    )
    insert_rows(session, EmergencySubmission, rows)


def drop(session: Session, clock: Clock, records: Sequence[str]) -> None:
    """Give up what was not begun yet for versions that were overtaken, and asking after what was sent.

    One that was begun stays, so that what is queued after it waits for its end. Whoever takes it up again finds the version superseded and
    settles the request as dropped.
    """
    begun = and_(EmergencySubmission.state == SubmissionState.QUEUED, EmergencySubmission.attempts > 0)
    mine = (EmergencySubmission.action == SubmissionAction.SUBMIT, EmergencySubmission.state.in_(_OPEN), ~begun)
    for batch in batched(records, _KEYS):
        statement = update(EmergencySubmission).where(EmergencySubmission.record_id.in_(batch), *mine)
        session.execute(statement.values(state=SubmissionState.DROPPED, finished_at=clock.now()).execution_options(synchronize_session=False))


def tried(session: Session, records: Sequence[str]) -> set[str]:
    """Return those of the versions that a carrier may have got, since a request was at least begun."""
    found: set[str] = set()
    for batch in batched(records, _KEYS):
        found.update(session.scalars(select(EmergencySubmission.record_id).where(EmergencySubmission.record_id.in_(batch), EmergencySubmission.attempts > 0)))
    return found


def hurry(session: Session, clock: Clock, numbers: Sequence[str]) -> int:
    """Make what is not finished of these numbers due now; return how many requests that is."""
    found = 0
    for batch in batched(numbers, _KEYS):
        mine = (EmergencySubmission.e164.in_(batch), EmergencySubmission.state.in_(_OPEN))
        statement = update(EmergencySubmission).where(*mine).values(next_at=clock.now()).returning(EmergencySubmission.id)
        found += len(session.scalars(statement.execution_options(synchronize_session=False)).all())
    return found


def get(session: Session, request_id: int) -> EmergencySubmission:
    """Return a request by its id, as the store has it now."""
    return session.get_one(EmergencySubmission, request_id, populate_existing=True)


def due(session: Session, now: datetime, *, limit: int = 100) -> list[EmergencySubmission]:
    """Return what is to be done now: what waits for an answer, and of each number the oldest that was not sent, if its time has come."""
    earlier = EmergencySubmission.__table__.alias("earlier")
    waits = (
        select(earlier.c.id)
        .where(earlier.c.e164 == EmergencySubmission.e164, earlier.c.id < EmergencySubmission.id, earlier.c.state == SubmissionState.QUEUED)
        .exists()
    )
    chosen = select(EmergencySubmission).where(EmergencySubmission.state.in_(_OPEN), EmergencySubmission.next_at <= now, ~waits)
    return list(session.scalars(chosen.order_by(EmergencySubmission.next_at, EmergencySubmission.id).limit(limit)))


def claim(session: Session, request: EmergencySubmission, until: datetime) -> bool:
    """Take a request for this process until a moment; return whether nobody else did. Commit before going to the carrier.

    The attempt is counted here, so that one that dies on the way is known to have been begun.
    """
    mine = (EmergencySubmission.id == request.id, EmergencySubmission.state.in_(_OPEN), EmergencySubmission.next_at == request.next_at)
    statement = update(EmergencySubmission).where(*mine).values(next_at=until, attempts=EmergencySubmission.attempts + 1).returning(EmergencySubmission.id)
    taken = session.scalar(statement.execution_options(synchronize_session=False)) is not None
    session.expire(request)
    return taken


def settle(
    session: Session, clock: Clock, request: EmergencySubmission, state: SubmissionState, *, next_at: datetime | None = None, error: str | None = None
) -> None:
    """Write down how a request went.

    Args:
        session: an open transaction.
        clock: the clock.
        request: what was claimed.
        state: what it is in now; one that was dropped meanwhile stays dropped.
        next_at: when to try or ask again, for a request that is not finished.
        error: what went wrong, in a word without personal data.
    """
    finished = None if state in _OPEN else clock.now()
    values = {"state": state, "last_error": error[:ERROR] if error else None, "finished_at": finished, "next_at": next_at or request.next_at}
    statement = update(EmergencySubmission).where(EmergencySubmission.id == request.id, EmergencySubmission.state.in_(_OPEN)).values(**values)
    session.execute(statement.execution_options(synchronize_session=False))
    session.expire(request)


def counts(session: Session) -> dict[SubmissionState, int]:
    """Return how many requests are in each state."""
    rows = session.execute(select(EmergencySubmission.state, func.count()).group_by(EmergencySubmission.state))
    return {row[0]: row[1] for row in rows}


def refused(session: Session) -> tuple[int, int]:
    """Return how many addresses that hold a carrier refused, and how many of numbers that left it did not take out and nothing replaced."""
    holds = select(func.count()).where(EmergencyRecord.state == AddressState.REJECTED, EmergencyRecord.superseded_at.is_(None))
    newer = EmergencyRecord.__table__.alias("newer")
    replaced = select(newer.c.id).where(newer.c.e164 == EmergencyRecord.e164, newer.c.superseded_at.is_(None)).exists()
    asked = select(EmergencySubmission.id).where(EmergencySubmission.record_id == EmergencyRecord.id, EmergencySubmission.state.in_(_OPEN)).exists()
    stays = select(func.count()).select_from(EmergencyRecord).where(EmergencyRecord.state == AddressState.WITHDRAWING, ~replaced, ~asked)
    return session.scalar(holds) or 0, session.scalar(stays) or 0
