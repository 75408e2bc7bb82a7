"""Address records on their way to the carrier: what is due is done, in order, at least once, and a fault puts it off instead of losing it.

The state is the store's (`queries.emergency_outbox`): a worker that dies leaves a request that comes again when its claim ends.
"""

from __future__ import annotations

from datetime import timedelta
from threading import Event

import msgspec
import structlog
from sqlalchemy.orm import Session, sessionmaker

from dialplan.emergency.state import AddressEvent
from retention.emergency import records
from retention.emergency.carriers.carrier import Carrier, Outcome, Reply, Request
from ringfence.clock import Clock
from ringfence.emergency import AddressState, SubmissionAction, SubmissionState
from ringfence.errors import Conflict, NotFound
from ringfence.queries import emergency
from ringfence.queries import emergency_outbox as outbox
from ringfence.queries.conservation import begin_alone
from ringfence.queries.emergency import Answer

CLAIM = timedelta(minutes=10)  # longer than a carrier may take
FIRST_POLL, LONGEST = timedelta(minutes=5), timedelta(hours=1)  # between questions, and between attempts
PATIENCE = timedelta(days=30)  # for a withdrawal that nobody confirms
LIMIT = 100  # requests in a turn
_A, _E, _O, _S = SubmissionAction, AddressEvent, Outcome, SubmissionState

log = structlog.get_logger()


class Task(msgspec.Struct, frozen=True):
    """A request that this process has claimed."""

    id: int
    record_id: str
    action: SubmissionAction
    state: SubmissionState
    attempts: int  # with this one
    request: Request
    held: AddressState
    overtaken: bool  # a newer version took this one's place, so nothing is to be sent
    age: timedelta = timedelta()  # since it was asked for


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of a request, and what happened to its record."""

    state: SubmissionState
    event: AddressEvent | None = None
    wait: timedelta | None = None
    error: str | None = None


class Turned(msgspec.Struct, frozen=True):
    """How a turn went."""

    done: int = 0  # requests that the carrier said something of
    put_off: int = 0
    failed: int = 0  # a person must look
    more: bool = False  # some may be due still


def turn(sessions: sessionmaker[Session], clock: Clock, carrier: Carrier, stop: Event, limit: int = LIMIT) -> Turned:
    """Do what is due, one request after the other. A fault ends the turn: the next request would most likely meet it too."""
    done = put_off = failed = 0
    more = True
    while more and not stop.is_set() and done + failed < limit and not put_off:
        task = take(sessions, clock)
        if task is None:
            more = False
            continue
        reply = None if task.overtaken else ask(carrier, task)
        verdict = decide(task, reply)
        settle(sessions, clock, carrier.name, task, verdict, reply)
        put_off += reply is not None and reply.outcome is _O.LATER
        failed += verdict.state is _S.FAILED
        done += verdict.state is not _S.FAILED and not (reply is not None and reply.outcome is _O.LATER)
    carrier.finish()
    if put_off:
        log.warning("emergency_put_off", carrier=carrier.name, code=verdict.error)
    return Turned(done, put_off, failed, more and not put_off)


def take(sessions: sessionmaker[Session], clock: Clock) -> Task | None:
    """Claim the next request that is due; None when there is none."""
    now = clock.now()
    with sessions.begin() as session:
        begin_alone(session)
        for row in outbox.due(session, now, limit=10):
            state = row.state
            if not outbox.claim(session, row, now + CLAIM):
                continue  # another worker was quicker
            try:
                record = emergency.get_record(session, row.record_id)
            except NotFound:  # its window ended: there is nothing to send any more
                outbox.settle(session, clock, row, _S.DROPPED, error="record_gone")
                continue
            renew = record.state is AddressState.REPORTED_MISSING
            request = Request(row.e164, emergency.address_of(record), row.idempotency_key, renew)
            overtaken = row.action is _A.SUBMIT and record.superseded_at is not None
            return Task(row.id, row.record_id, row.action, state, row.attempts, request, record.state, overtaken, now - row.made_at)
    return None


def ask(carrier: Carrier, task: Task) -> Reply:
    """Ask the carrier what the task needs."""
    if task.state is _S.WAITING:
        return carrier.poll(task.request)
    return carrier.submit(task.request) if task.action is _A.SUBMIT else carrier.withdraw(task.request)


def decide(task: Task, reply: Reply | None) -> Verdict:
    """Return what a carrier's answer means for a request; None = it was not asked. Pure."""
    if reply is None:
        return Verdict(_S.DROPPED)
    if reply.outcome is _O.LATER:
        return Verdict(task.state, None, max(timedelta(seconds=reply.after), _backoff(task.attempts, timedelta(minutes=1))), reply.code)
    if task.action is _A.WITHDRAW:
        return _of_withdrawal(task, reply)
    poll = _backoff(task.attempts, FIRST_POLL)
    match reply.outcome:
        case _O.ACCEPTED:
            return Verdict(_S.DONE, _E.ACCEPTED)
        case _O.PENDING_REVIEW:
            return Verdict(_S.WAITING, None if task.held is AddressState.PENDING_REVIEW else _E.REVIEWED, poll)
        case _O.SUBMITTED:
            sent = task.state is _S.QUEUED or task.held is AddressState.DRAFT
            return Verdict(_S.WAITING, _E.SENT if sent else None, poll)
        case _O.REJECTED:
            return Verdict(_S.FAILED, _E.REJECTED, error=reply.code)
        case _:  # the carrier does not have it, or not this one: send it again
            lost = reply.code == "no_record" and task.held is not AddressState.DRAFT
            return Verdict(_S.QUEUED, _E.REPORTED_MISSING if lost else None, poll, reply.code or reply.outcome.value)


def settle(sessions: sessionmaker[Session], clock: Clock, carrier: str, task: Task, verdict: Verdict, reply: Reply | None) -> None:
    """Write down how a request went, with what happened to its record, in one transaction."""
    answer = Answer(carrier=carrier, refusal=(reply.words or reply.code) if reply is not None else None)
    try:
        with sessions.begin() as session:
            begin_alone(session)
            if verdict.event is not None:
                records.happened(session, clock, task.record_id, verdict.event, answer, held=task.held)
            _write(session, clock, task, verdict)
    except Conflict:  # the record was overtaken while the carrier was asked: look again
        with sessions.begin() as session:
            begin_alone(session)
            _write(session, clock, task, Verdict(task.state, None, timedelta(minutes=1), "overtaken"))


def _of_withdrawal(task: Task, reply: Reply) -> Verdict:
    if reply.outcome is _O.WITHDRAWN or (reply.outcome is _O.MISSING and reply.code == "no_record"):
        return Verdict(_S.DONE, _E.WITHDRAWN)
    if reply.outcome in {_O.REJECTED, _O.MISSING}:
        return Verdict(_S.FAILED, error=reply.code or "not_withdrawn")
    if task.age > PATIENCE:
        return Verdict(_S.FAILED, error="no_answer")
    return Verdict(_S.WAITING, None, _backoff(task.attempts, FIRST_POLL))


def _backoff(attempts: int, first: timedelta) -> timedelta:
    """Return how long to wait after so many attempts: twice as long each time, up to an hour."""
    return min(LONGEST, first * (1 << min(max(attempts - 1, 0), 10)))


def _write(session: Session, clock: Clock, task: Task, verdict: Verdict) -> None:
    row = outbox.get(session, task.id)
    later = clock.now() + verdict.wait if verdict.wait is not None else None
    outbox.settle(session, clock, row, verdict.state, next_at=later, error=verdict.error)
