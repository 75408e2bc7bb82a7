"""Address records in the store, on both engines: versions, states, what leaves with a number, and that nothing about a person is audited."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from itertools import product

import msgspec
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from dialplan.emergency.matrix import judge
from dialplan.emergency.state import AddressEvent, AddressState, move
from retention.emergency import records
from ringfence.clock import FixedClock
from ringfence.emergency import AT_CARRIER, Confirmation, LocationClass, SubmissionAction, SubmissionState
from ringfence.errors import Conflict, Invalid, NotFound, Refused
from ringfence.models import EmergencySubmission
from ringfence.queries import accounts, emergency, numbering
from ringfence.queries import emergency_outbox as outbox
from ringfence.queries import plan as plan_queries
from ringfence.queries.emergency import Answer
from ringfence.values import E164
from tests.database.addressing import ADDRESS, DID, OTHER, START, clock, enter, happen, stocked

__all__ = ["clock", "stocked"]

E, S = AddressEvent, AddressState


def audited(session: Session) -> list[tuple[str, dict[str, object]]]:
    return [(kind, json.loads(body)) for kind, body in session.execute(text("SELECT kind, body FROM audit_entry ORDER BY seq"))]


def phone(session: Session, name: str = "desk-1") -> tuple[AddressState, str]:
    record = next(plan_queries.load_endpoints(session, [name])).record
    return record.state, judge(record).blocks


def requests(session: Session, e164: str = DID) -> list[tuple[SubmissionAction, SubmissionState]]:
    rows = session.query(EmergencySubmission).filter_by(e164=e164).order_by(EmergencySubmission.id)
    return [(row.action, row.state) for row in rows]


def test_an_address_begins_as_a_draft_that_is_queued_and_lets_nobody_call(stocked: Session, clock: FixedClock) -> None:
    assert phone(stocked) == (S.MISSING, "emergency_address_missing")
    record = enter(stocked, clock)
    assert (record.version, record.state, record.location, record.postcode) == (1, S.DRAFT, LocationClass.FIXED, "S9 5AD")
    assert (record.confirmed_by, record.confirmed_how, record.confirmed_at) == ("Ada Example", "phone", START)
    assert emergency.address_of(record) == records.parse_wish(DID, LocationClass.FIXED, ADDRESS, confirmed=None, acknowledged=False).version.address
    assert requests(stocked) == [(SubmissionAction.SUBMIT, SubmissionState.QUEUED)]
    assert phone(stocked) == (S.DRAFT, "emergency_address_missing")


def test_once_a_carrier_has_it_calls_go_out_and_every_process_learns_of_it(stocked: Session, clock: FixedClock) -> None:
    record = enter(stocked, clock)
    before = plan_queries.current_version(stocked)
    clock.set(clock.now() + timedelta(seconds=3600))
    happen(stocked, clock, record, E.SENT, reference="ref-1")
    assert phone(stocked) == (S.SUBMITTED, "")
    changes = plan_queries.changes_since(stocked, before)
    assert changes is not None
    assert ("endpoint", "desk-1") in [(kind.value, key) for kind, key in changes]
    version = plan_queries.current_version(stocked)
    happen(stocked, clock, record, E.REVIEWED, E.ACCEPTED)
    assert plan_queries.current_version(stocked) == version  # nobody's calls go otherwise than before
    assert (record.submitted_at, record.accepted_at, record.uncovered_since) == (START + timedelta(hours=1), START + timedelta(hours=1), None)
    assert (record.carrier, record.carrier_ref) == ("test", "ref-1")
    happen(stocked, clock, record, E.REJECTED, refusal="no such street")
    assert (phone(stocked), record.refusal, record.uncovered_since) == ((S.REJECTED, "emergency_address_rejected"), "no such street", clock.now())


def test_every_version_is_kept_and_who_had_an_address_keeps_calling(stocked: Session, clock: FixedClock) -> None:
    first = happen(stocked, clock, enter(stocked, clock), E.SENT, E.ACCEPTED)
    clock.set(clock.now() + timedelta(seconds=60))
    second = enter(stocked, clock, premises="106")
    assert (first.superseded_at, first.state, second.version, second.state, second.standing) == (clock.now(), S.ACCEPTED, 2, S.DRAFT, True)
    assert (second.uncovered_since, second.carrier) == (clock.now(), "test")
    assert phone(stocked) == (S.DRAFT, "")
    happen(stocked, clock, second, E.REJECTED, refusal="x")
    assert phone(stocked) == (S.REJECTED, "")  # the carrier still has the first
    third = enter(stocked, clock, premises="108")
    assert third.standing
    happen(stocked, clock, third, E.SENT)
    assert not third.standing
    happen(stocked, clock, third, E.REJECTED, refusal="x")
    assert phone(stocked) == (S.REJECTED, "emergency_address_rejected")
    assert [(one.version, one.premises) for one in emergency.versions(stocked, DID)] == [(3, "108"), (2, "106"), (1, "104")]
    assert requests(stocked)[1][1] is SubmissionState.DROPPED


def test_a_number_that_leaves_takes_no_address_with_it(stocked: Session, clock: FixedClock) -> None:
    record = happen(stocked, clock, enter(stocked, clock), E.SENT, E.ACCEPTED)
    numbering.release_dids(stocked, clock, [DID])
    stocked.commit()
    assert (record.state, record.superseded_at, emergency.current(stocked, DID)) == (S.WITHDRAWING, START, None)
    assert requests(stocked)[-1] == (SubmissionAction.WITHDRAW, SubmissionState.QUEUED)
    numbering.assign_did(stocked, clock, DID, "OTHER", end_quarantine=True)
    accounts.add_endpoint(stocked, clock, "theirs", "OTHER", caller_did=DID, ha1="0" * 32)
    stocked.commit()
    assert phone(stocked, "theirs") == (S.MISSING, "emergency_address_missing")
    again = enter(stocked, clock)
    assert (again.version, again.standing, again.carrier) == (2, False, None)
    happen(stocked, clock, record, E.WITHDRAWN)
    assert (record.state, again.state) == (S.WITHDRAWN, S.DRAFT)


def test_what_no_carrier_has_is_withdrawn_at_once_but_what_may_have_got_there_is_not(stocked: Session, clock: FixedClock) -> None:
    never, perhaps = enter(stocked, clock, DID), enter(stocked, clock, OTHER)
    (request,) = [one for one in outbox.due(stocked, clock.now()) if one.e164 == OTHER]
    assert outbox.claim(stocked, request, clock.now() + timedelta(minutes=1))
    stocked.commit()
    accounts_before = numbering.numbers_of(stocked, accounts.get_account(stocked, "ACME").id)
    numbering.close_account(stocked, clock, "ACME")
    stocked.commit()
    assert accounts_before == [DID, OTHER]
    assert (never.state, perhaps.state) == (S.WITHDRAWN, S.WITHDRAWING)
    assert requests(stocked, DID) == [(SubmissionAction.SUBMIT, SubmissionState.DROPPED)]
    assert requests(stocked, OTHER) == [(SubmissionAction.SUBMIT, SubmissionState.QUEUED), (SubmissionAction.WITHDRAW, SubmissionState.QUEUED)]
    clock.set(clock.now() + timedelta(seconds=120))
    assert [(one.e164, one.action) for one in outbox.due(stocked, clock.now())] == [(OTHER, SubmissionAction.SUBMIT)]  # the older one first


@pytest.mark.parametrize(("state", "standing"), list(product([state for state in S if state not in {S.MISSING, S.WITHDRAWING, S.WITHDRAWN}], [False, True])))
def test_leaving_is_what_the_state_machine_says(stocked: Session, clock: FixedClock, state: AddressState, *, standing: bool) -> None:
    record = enter(stocked, clock)
    stocked.execute(text("UPDATE emergency_address SET state = :state, standing = :standing"), {"state": state.value, "standing": standing})
    stocked.commit()
    emergency.leave(stocked, clock, [DID])
    stocked.commit()
    assert record.state is move(state, E.LEFT, standing=standing).after
    assert (state in AT_CARRIER or standing) is (record.state is S.WITHDRAWING)


def test_a_class_without_an_address_withdraws_the_one_that_was_there(stocked: Session, clock: FixedClock) -> None:
    first = happen(stocked, clock, enter(stocked, clock), E.SENT, E.ACCEPTED)
    plain = enter(stocked, clock, location=LocationClass.FORWARD_ONLY)
    assert (first.state, plain.state, plain.standing, plain.postcode) == (S.WITHDRAWING, S.MISSING, False, "")
    assert requests(stocked)[-1] == (SubmissionAction.WITHDRAW, SubmissionState.QUEUED)
    assert phone(stocked) == (S.MISSING, "forward_only_number")
    abroad = enter(stocked, clock, location=LocationClass.OUTSIDE_UK)
    assert (phone(stocked), abroad.acknowledged_at) == ((S.MISSING, ""), START)


def test_a_decision_that_came_too_late_changes_nothing(stocked: Session, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    record = enter(stocked, clock)
    stale = msgspec.structs.replace(move(S.SUBMITTED, E.ACCEPTED))
    with pytest.raises(Conflict, match="changed meanwhile"):
        emergency.apply_step(stocked, clock, record, stale, Answer(), actor="worker", reroutes=False)
    stocked.rollback()
    with pytest.raises(Conflict, match="draft cannot be withdrawn"):
        records.happened(stocked, clock, record.id, E.WITHDRAWN)
    stocked.rollback()
    with sessions() as other, pytest.raises(NotFound):
        records.happened(other, clock, "f" * 32, E.SENT)
    assert record.state is S.DRAFT


def test_the_store_holds_one_version_of_a_number_at_a_time(stocked: Session, clock: FixedClock) -> None:
    enter(stocked, clock)
    enter(stocked, clock, premises="106")
    with pytest.raises(IntegrityError):
        stocked.execute(text("UPDATE emergency_address SET superseded_at = NULL WHERE version = 1"))
    stocked.rollback()


def test_nothing_about_a_person_is_audited_and_every_change_is(stocked: Session, clock: FixedClock) -> None:
    record = happen(stocked, clock, enter(stocked, clock), E.SENT, E.SENT, E.ACCEPTED)
    records.confirm(stocked, clock, DID, Confirmation("Ada Example", "visit"))
    stocked.commit()
    numbering.release_dids(stocked, clock, [DID])
    stocked.commit()
    entries = [(kind, body) for kind, body in audited(stocked) if kind.startswith("emergency.")]
    states = [(body["before"], body["after"]) for kind, body in entries if kind == "emergency.changed"]
    assert states == [("missing", "draft"), ("draft", "submitted"), ("submitted", "accepted"), ("accepted", "withdrawing")]
    assert ("emergency.confirmed", {"record": record.id}) in entries
    written = json.dumps(entries)
    assert not any(word in written for word in ("7946", "Example", "King", "S9", "ACME", "Sheffield"))


def test_an_act_that_fails_leaves_no_entry(stocked: Session, clock: FixedClock) -> None:
    before = len(audited(stocked))
    for act in _failing(stocked, clock):
        with pytest.raises((NotFound, Conflict, Refused, Invalid)):
            act()
        stocked.rollback()
    assert len(audited(stocked)) == before


def _failing(session: Session, clock: FixedClock) -> list[Callable[[], object]]:
    def wish(e164: str, location: LocationClass = LocationClass.FIXED, fields: dict[str, str] | None = None, *, aware: bool = False) -> Callable[[], object]:
        given = ADDRESS if fields is None else fields
        return lambda: records.set_address(session, clock, records.parse_wish(E164(e164), location, given, confirmed=None, acknowledged=aware))

    return [
        wish("+442079460999"),  # not ours
        wish("+441481960000"),  # Guernsey
        wish(DID, LocationClass.FORWARD_ONLY),  # with an address
        wish(DID, LocationClass.OUTSIDE_UK, {}),  # nobody knows that 999 does not work
        wish(DID, fields={**ADDRESS, "postcode": "JE2 3AB"}),
        lambda: records.confirm(session, clock, DID, Confirmation("Ada Example", "phone")),
        lambda: records.check_confirmation("Ada", None),
        lambda: records.check_confirmation("Ada", "dream"),
        lambda: records.check_confirmation("A" * 61, "phone"),
    ]


def test_a_request_is_taken_by_one_process_and_comes_again_when_it_dies(engine: Engine, stocked: Session, clock: FixedClock) -> None:
    enter(stocked, clock)
    (mine,) = outbox.due(stocked, clock.now())
    with Session(engine) as other:
        (theirs,) = outbox.due(other, clock.now())
        key = mine.idempotency_key
        assert outbox.claim(stocked, mine, clock.now() + timedelta(minutes=1))
        stocked.commit()
        assert not outbox.claim(other, theirs, clock.now() + timedelta(minutes=1))
        other.rollback()
    assert outbox.due(stocked, clock.now()) == []
    clock.set(clock.now() + timedelta(seconds=61))
    (again,) = outbox.due(stocked, clock.now())
    assert (again.attempts, again.idempotency_key) == (1, key)
    outbox.settle(stocked, clock, again, SubmissionState.WAITING, next_at=clock.now() + timedelta(hours=1), error="timeout")
    stocked.commit()
    assert (outbox.due(stocked, clock.now()), again.last_error, again.finished_at) == ([], "timeout", None)
    outbox.settle(stocked, clock, again, SubmissionState.DONE)
    stocked.commit()
    assert (outbox.counts(stocked), again.finished_at) == ({SubmissionState.DONE: 1}, clock.now())
    outbox.settle(stocked, clock, again, SubmissionState.QUEUED)  # a late word changes nothing
    stocked.commit()
    assert again.state is SubmissionState.DONE
