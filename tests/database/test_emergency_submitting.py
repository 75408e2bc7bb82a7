"""Addresses on their way to a carrier, on both engines: sent once, asked after, put off by faults, resumed after a death, overtaken, withdrawn."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import product
from pathlib import Path
from threading import Event

import msgspec
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from dialplan.emergency.state import move
from retention.emergency import alarms
from retention.emergency.carriers.batch import Batch
from retention.emergency.carriers.carrier import Outcome, Reply, Request, later, rejected
from retention.emergency.submitting import CLAIM, LONGEST, Task, decide, take, turn
from retention.worker import jobs
from ringfence.clock import FixedClock
from ringfence.emergency import AddressState, EmergencyAddress, SubmissionAction, SubmissionState
from ringfence.errors import RingfenceError
from ringfence.queries import emergency, numbering
from ringfence.settings import Emergency, Settings
from tests.database.addressing import DID, OTHER, clock, enter, sessions
from tests.database.workers import incidents_of, worker

__all__ = ["clock", "sessions"]

A, X, R, S = SubmissionAction, Outcome, AddressState, SubmissionState
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class Told:
    """A carrier that answers as it is told, and remembers what it was asked."""

    name = "told"

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[str, Request]] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def _next(self, what: str, request: Request) -> Reply:
        self.asked.append((what, request))
        self.meanwhile()
        return self.replies.pop(0)

    def submit(self, request: Request) -> Reply:
        return self._next("submit", request)

    def poll(self, request: Request) -> Reply:
        return self._next("poll", request)

    def withdraw(self, request: Request) -> Reply:
        return self._next("withdraw", request)

    def finish(self) -> None:
        pass


def go(sessions: sessionmaker[Session], clock: FixedClock, carrier: Told | Batch, after: timedelta = timedelta()) -> None:
    clock.set(clock.now() + after)
    turn(sessions, clock, carrier, Event())


def state(sessions: sessionmaker[Session], e164: str = DID) -> AddressState | None:
    with sessions() as session:
        record = emergency.current(session, e164)
        return record.state if record else None


def requests(engine: Engine) -> list[tuple[str, str, int, str | None]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT action, state, attempts, last_error FROM emergency_submission ORDER BY id"))]


def test_a_record_is_submitted_asked_after_and_accepted(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    carrier = Told(Reply(X.SUBMITTED), Reply(X.PENDING_REVIEW), Reply(X.PENDING_REVIEW), Reply(X.ACCEPTED))
    go(sessions, clock, carrier)
    assert state(sessions) is R.SUBMITTED
    go(sessions, clock, carrier, MINUTE)  # not due yet
    assert len(carrier.asked) == 1
    for expected in (R.PENDING_REVIEW, R.PENDING_REVIEW, R.ACCEPTED):
        go(sessions, clock, carrier, HOUR)
        assert state(sessions) is expected
    assert [what for what, _ in carrier.asked] == ["submit", "poll", "poll", "poll"]
    assert len({request.key for _, request in carrier.asked}) == 1
    assert carrier.asked[0][1].address.postcode == "S9 5AD"
    assert requests(engine) == [("submit", "done", 4, None)]
    go(sessions, clock, carrier, HOUR)  # and nothing is left to do


def test_faults_put_it_off_ever_longer_and_lose_nothing(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    carrier = Told(*[later("unreachable")] * 4, later("busy", 7_200), Reply(X.SUBMITTED))
    for wait in (0, 1, 2, 4, 8):
        go(sessions, clock, carrier, wait * MINUTE)
        go(sessions, clock, carrier, timedelta(seconds=30))  # too early
        clock.set(clock.now() - timedelta(seconds=30))
    assert len(carrier.asked) == 5
    assert requests(engine) == [("submit", "queued", 5, "busy")]
    go(sessions, clock, carrier, HOUR)  # the carrier asked for two
    assert len(carrier.asked) == 5
    go(sessions, clock, carrier, HOUR)
    assert (state(sessions), requests(engine)[0][1:]) == (R.SUBMITTED, ("waiting", 6, None))


def test_a_fault_ends_the_turn(sessions: sessionmaker[Session], clock: FixedClock) -> None:
    with sessions() as session:
        enter(session, clock, OTHER)
    carrier = Told(later("timeout"))
    turned = turn(sessions, clock, carrier, Event())
    assert (turned.put_off, turned.more, len(carrier.asked)) == (1, False, 1)


def test_a_refusal_is_final_and_said(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    go(sessions, clock, Told(rejected("validate_4", "Postcode not found")))
    assert requests(engine) == [("submit", "failed", 1, "validate_4")]
    with sessions() as session:
        record = emergency.current(session, DID)
        assert record is not None
        assert (record.state, record.refusal, record.carrier) == (R.REJECTED, "Postcode not found", "told")


def test_what_a_worker_died_over_comes_again_with_the_same_key(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    died = take(sessions, clock)
    assert died is not None
    carrier = Told(Reply(X.SUBMITTED))
    go(sessions, clock, carrier)
    assert carrier.asked == []  # it is claimed
    go(sessions, clock, carrier, CLAIM)
    assert [request.key for _, request in carrier.asked] == [died.request.key]
    assert requests(engine) == [("submit", "waiting", 2, None)]


def test_a_record_that_the_carrier_does_not_have_is_submitted_again(sessions: sessionmaker[Session], clock: FixedClock) -> None:
    carrier = Told(Reply(X.SUBMITTED), Reply(X.MISSING, "no_record"), Reply(X.SUBMITTED), Reply(X.MISSING, "differs"), Reply(X.ACCEPTED))
    for expected in (R.SUBMITTED, R.REPORTED_MISSING, R.SUBMITTED, R.SUBMITTED, R.ACCEPTED):
        go(sessions, clock, carrier, HOUR)
        assert state(sessions) is expected
    assert [what for what, _ in carrier.asked] == ["submit", "poll", "submit", "poll", "submit"]


def test_a_version_that_is_overtaken_is_not_sent(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    carrier = Told(later("timeout"), Reply(X.ACCEPTED))
    go(sessions, clock, carrier)
    with sessions() as session:
        enter(session, clock, premises="105")
    go(sessions, clock, carrier, HOUR)
    assert [request.address.premises for _, request in carrier.asked] == ["104", "105"]
    assert [row[1] for row in requests(engine)] == ["dropped", "done"]


def test_a_number_that_leaves_while_the_carrier_is_asked_is_withdrawn(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    def leave() -> None:
        carrier.meanwhile = lambda: None
        with sessions.begin() as session:
            numbering.release_dids(session, clock, [DID])

    carrier = Told(Reply(X.SUBMITTED), Reply(X.WITHDRAWN))
    carrier.meanwhile = leave
    go(sessions, clock, carrier)
    go(sessions, clock, carrier, HOUR)
    go(sessions, clock, carrier, HOUR)
    assert [what for what, _ in carrier.asked] == ["submit", "withdraw"]
    assert [row[:2] for row in requests(engine)] == [("submit", "dropped"), ("withdraw", "done")]
    with sessions() as session:
        assert emergency.versions(session, DID)[0].state is R.WITHDRAWN


def test_a_withdrawal_that_nobody_confirms_holds_up_no_owner(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    carrier = Told(Reply(X.ACCEPTED), Reply(X.SUBMITTED), Reply(X.SUBMITTED))
    go(sessions, clock, carrier)
    with sessions.begin() as session:
        numbering.release_dids(session, clock, [DID])
    go(sessions, clock, carrier)
    with sessions.begin() as session:
        numbering.assign_did(session, clock, DID, "OTHER", end_quarantine=True)
    with sessions() as session:
        enter(session, clock, name="Newcomer")
    go(sessions, clock, carrier)
    assert [(what, request.address.name) for what, request in carrier.asked] == [("submit", "Example"), ("withdraw", "Example"), ("submit", "Newcomer")]
    assert [row[:2] for row in requests(engine)] == [("submit", "done"), ("withdraw", "waiting"), ("submit", "waiting")]


def test_a_withdrawal_that_nobody_confirms_in_a_month_is_for_a_person(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    carrier = Told(Reply(X.ACCEPTED), *[Reply(X.SUBMITTED)] * 3)
    go(sessions, clock, carrier)
    with sessions.begin() as session:
        numbering.release_dids(session, clock, [DID])
    for after in (0, 29, 2):
        go(sessions, clock, carrier, after * 24 * HOUR)
    assert requests(engine)[1] == ("withdraw", "failed", 3, "no_answer")
    assert {alarm.cause: alarm.count for alarm in alarms.review(sessions, clock)}[alarms.REFUSED] == 1


def test_a_request_whose_record_has_gone_holds_up_nobody(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM emergency_address"))
    with sessions() as session:
        enter(session, clock, OTHER)
    carrier = Told(Reply(X.ACCEPTED))
    go(sessions, clock, carrier)
    assert [row[1:] for row in requests(engine)] == [("dropped", 1, "record_gone"), ("done", 1, None)]


def test_files_carry_it_from_the_address_to_the_acceptance(sessions: sessionmaker[Session], clock: FixedClock, tmp_path: Path) -> None:
    batch = Batch(tmp_path, clock)
    go(sessions, clock, batch)
    (made,) = tmp_path.glob("batch-*.csv")
    reference = made.read_text(encoding="utf-8").splitlines()[1].split(",")[0]
    (tmp_path / "answers" / "1.csv").write_text(f"reference,status\n{reference},accepted\n", encoding="utf-8")
    go(sessions, clock, batch, HOUR)
    assert state(sessions) is R.ACCEPTED


def test_the_worker_does_it_when_its_node_has_the_carrier(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock, tmp_path: Path) -> None:
    assert jobs.to_carrier(worker(engine, Settings(home=str(tmp_path)), clock)) is None
    assert state(sessions) is R.DRAFT
    assert jobs.to_carrier(worker(engine, Settings(home=str(tmp_path), emergency=Emergency(carrier="batch")), clock)) is None
    assert state(sessions) is R.SUBMITTED
    assert len(list((tmp_path / "emergency").glob("batch-*.csv"))) == 1


def test_a_number_without_an_accepted_address_is_an_incident_after_one_day_and_three(
    engine: Engine, sessions: sessionmaker[Session], clock: FixedClock
) -> None:
    at = worker(engine, Settings(), clock)
    day, both = ["emergency_24h"], ["emergency_24h", "emergency_72h"]
    for hours, opened in ((23, []), (1, day), (47, day), (1, both)):
        clock.set(clock.now() + hours * HOUR)
        jobs.watch_coverage(at)
        assert [cause for cause, outcome, _ in incidents_of(engine) if outcome is None] == opened
    assert [alarm.count for alarm in alarms.review(sessions, clock)] == [1, 1, 0, 0, 0]
    go(sessions, clock, Told(Reply(X.ACCEPTED)))
    jobs.watch_coverage(at)
    assert incidents_of(engine) == [("emergency_24h", "mended", "worker"), ("emergency_72h", "mended", "worker")]
    with engine.connect() as connection:
        assert not [detail for (detail,) in connection.execute(text("SELECT detail FROM incident")) if DID[-6:] in detail]


def test_what_the_carrier_refused_is_an_incident_until_it_is_mended(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    def seen() -> list[tuple[str, str | None]]:
        alarms.review(sessions, clock)
        return [(cause, outcome) for cause, outcome, _ in incidents_of(engine)]

    carrier = Told(rejected("refused", "Postcode"), Reply(X.ACCEPTED), rejected("by_hand"), Reply(X.ACCEPTED))
    go(sessions, clock, carrier)
    assert seen() == [("emergency_refused", None)]
    with sessions() as session:
        enter(session, clock, postcode="M1 1AE")
    assert seen() == [("emergency_refused", "mended")]
    go(sessions, clock, carrier)
    with sessions.begin() as session:
        numbering.release_dids(session, clock, [DID])
    assert len(seen()) == 1  # the carrier has not been asked yet
    go(sessions, clock, carrier, MINUTE)
    assert seen()[1:] == [("emergency_refused", None)]
    with sessions.begin() as session:
        numbering.assign_did(session, clock, DID, "OTHER", end_quarantine=True)
    with sessions() as session:
        enter(session, clock, name="Newcomer")  # takes the place of what was there
    go(sessions, clock, carrier, MINUTE)
    assert seen()[1:] == [("emergency_refused", "mended")]


def test_every_answer_has_a_meaning_that_the_record_can_take() -> None:
    replies = [Reply(outcome, code, after=90 if outcome is X.LATER else 0) for outcome, code in product(X, ("", "no_record", "by_hand"))]
    held = (R.DRAFT, R.SUBMITTED, R.PENDING_REVIEW, R.ACCEPTED, R.REJECTED, R.REPORTED_MISSING)
    for action, sent, attempts, reply in product(A, (S.QUEUED, S.WAITING), (1, 3, 60), replies):
        for state_held in held if action is A.SUBMIT else (R.WITHDRAWING,):
            task = Task(1, "r", action, sent, attempts, Request(DID, EmergencyAddress(), "k"), state_held, overtaken=False)
            verdict = decide(task, reply)
            assert (verdict.wait is not None) is (verdict.state in {S.QUEUED, S.WAITING})
            assert verdict.wait is None or MINUTE <= verdict.wait <= LONGEST
            if verdict.event is not None:
                try:
                    move(state_held, verdict.event)
                except RingfenceError as error:
                    pytest.fail(f"{state_held} {reply}: {error}")
            assert decide(msgspec.structs.replace(task, overtaken=True), None).state is S.DROPPED
