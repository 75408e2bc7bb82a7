"""Coverage on both engines: what SQL counts as covered is what the decision matrix says, for whatever can be held of a number."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import msgspec
from sqlalchemy.orm import Session

from ari_app.configuration.verify_addresses import verify_addresses
from dialplan.emergency.matrix import judge
from dialplan.emergency.state import AddressEvent
from dialplan.node_conf import PhoneConf
from retention.emergency import coverage as covering
from retention.report.gather import gather
from retention.report.sections.emergency import emergency
from retention.report.span import parse_span
from ringfence.clock import FixedClock
from ringfence.emergency import AddressState, LocationClass, RecordFacts
from ringfence.models import Account, Did, EmergencyRecord, Endpoint
from ringfence.queries import accounts, emergency_coverage, numbering
from ringfence.queries import plan as plan_queries
from ringfence.settings import Settings
from ringfence.values import AccountState, DidState, NumberClass
from tests.database.addressing import DID, OTHER, START, clock, enter, happen, stocked

__all__ = ["clock", "stocked"]

DAY = timedelta(days=1)


def test_a_number_that_no_phone_presents_is_not_asked_about(stocked: Session, clock: FixedClock) -> None:
    assert covering.coverage(stocked) == covering.Coverage(1, 0, {"missing": 1}, {"emergency_address_missing": 1})
    accounts.add_endpoint(stocked, clock, "desk-2", "ACME", caller_did=DID, ha1="0" * 32)  # two phones, one number
    assert covering.coverage(stocked).can_call == 1
    accounts.add_endpoint(stocked, clock, "desk-3", "ACME", caller_did=OTHER, ha1="0" * 32)
    assert covering.coverage(stocked).can_call == 2
    accounts.set_account_state(stocked, clock, "ACME", AccountState.SUSPENDED)
    assert covering.coverage(stocked).can_call == 2  # 999 goes out all the same
    numbering.release_dids(stocked, clock, [DID])
    assert covering.coverage(stocked).can_call == 1


def test_a_number_shown_to_999_alone_needs_an_address_and_a_phone_that_makes_no_calls_does_not(stocked: Session, clock: FixedClock) -> None:
    accounts.add_endpoint(stocked, clock, "desk-2", "ACME", caller_did=DID, emergency_did=OTHER, ha1="0" * 32)
    assert {gap.number: gap.since for gap in covering.gaps(stocked, clock.now())} == {DID: START, OTHER: START}
    accounts.set_endpoint(stocked, clock, "desk-1", emergency_did=DID)
    assert covering.coverage(stocked).can_call == 2  # each once, however often it is presented
    for name in ("desk-1", "desk-2"):
        accounts.set_endpoint(stocked, clock, name, receive_only=True)
    assert covering.coverage(stocked) == covering.Coverage(0, 0, {}, {})


def test_each_gap_has_its_age_its_owner_and_its_alarms(stocked: Session, clock: FixedClock) -> None:
    accounts.add_endpoint(stocked, clock, "desk-3", "ACME", caller_did=OTHER, ha1="0" * 32)
    clock.set(START + DAY)
    enter(stocked, clock, OTHER)
    clock.set(START + 3 * DAY)
    (first, second) = covering.gaps(stocked, clock.now())
    assert (first.number, first.account, first.state, first.since, first.age_hours, first.alarm) == (DID, "ACME", AddressState.MISSING, START, 72.0, 2)
    assert (second.number, second.location, second.state, second.age_hours, second.alarm, second.blocked) == (OTHER, "fixed", "draft", 48.0, 1, True)
    assert [gap.number for gap in covering.gaps(stocked, clock.now(), limit=1)] == [DID]
    assert list(covering.gaps(stocked, clock.now(), account_id=accounts.get_account(stocked, "OTHER").id)) == []


def test_a_gap_closes_with_acceptance_and_opens_again_when_999_saw_no_record(stocked: Session, clock: FixedClock) -> None:
    record = happen(stocked, clock, enter(stocked, clock), AddressEvent.SENT)
    assert covering.coverage(stocked) == covering.Coverage(1, 0, {"submitted": 1}, {})
    happen(stocked, clock, record, AddressEvent.ACCEPTED)
    assert covering.coverage(stocked) == covering.Coverage(1, 1, {}, {})
    clock.set(START + DAY)
    happen(stocked, clock, record, AddressEvent.REPORTED_MISSING)
    (gap,) = covering.gaps(stocked, clock.now())
    assert (gap.since, gap.blocked, gap.carrier) == (clock.now(), False, "test")


def test_sql_and_the_matrix_agree_on_everything_that_can_be_held(session: Session) -> None:
    cases = list(product([None, *LocationClass], AddressState, [False, True], [False, True]))
    account = Account(ref="ACME", name="Acme", state=AccountState.ACTIVE, concurrency_limit=None, created_at=START)
    session.add(account)
    session.flush()
    expected: dict[str, RecordFacts] = {}
    for number, (location, state, standing, acknowledged) in enumerate(cases):
        e164 = f"+442079460{number:03}"
        expected[e164] = RecordFacts(location, state, standing, acknowledged) if location else RecordFacts()
        session.add(Did(e164=e164, number_class=NumberClass.GEOGRAPHIC, state=DidState.ACTIVE, account_id=account.id, created_at=START))
        session.flush()
        session.add(Endpoint(name=f"desk-{number}", account_id=account.id, caller_did=e164, receive_only=False, ha1="0" * 32, enabled=True, created_at=START))
        if location:
            session.add(held(number, e164, account.id, expected[e164]))
    session.flush()
    assert {gap.e164: gap.facts for gap in emergency_coverage.gaps(session)} == {e164: facts for e164, facts in expected.items() if not judge(facts).covered}
    counts, listed = covering.survey(session, START + DAY)
    assert counts == covering.coverage(session)
    assert listed == list(covering.gaps(session, START + DAY))
    assert covering.survey(session, START + DAY, limit=7) == (counts, listed[:7])
    assert covering.survey(session, START + DAY, account_id=account.id + 1) == (counts, [])
    assert (counts.can_call, counts.gaps) == (len(cases), sum(not judge(facts).covered for facts in expected.values()))
    assert sum(counts.blocked.values()) == sum(bool(judge(facts).blocks) for facts in expected.values())
    assert {phone.caller_did: phone.record for phone in plan_queries.load_endpoints(session)} == expected  # routing sees the same


def held(number: int, e164: str, account_id: int, facts: RecordFacts) -> EmergencyRecord:
    assert facts.location
    texts = dict.fromkeys(("title", "forename", "name", "honours", "bussuffix", "premises", "thoroughfare", "locality", "postcode"), "")
    known = {"state_at": START, "made_at": START, "acknowledged_at": START if facts.acknowledged else None}
    kept = {"id": f"{number:032x}", "e164": e164, "version": 1, "account_id": account_id, "location": facts.location, "state": facts.state}
    return EmergencyRecord(**kept, **texts, **known, standing=facts.standing)


def test_the_report_tells_each_gap_without_saying_who_it_is(stocked: Session, store_settings: Settings, clock: FixedClock) -> None:
    clock.set(START + 3 * DAY)
    span = parse_span(None, clock.now())
    with Session(stocked.get_bind()) as fresh:
        report = gather(fresh, store_settings, clock, span, sections=(emergency,))
    (row,) = report.table("emergency", "gaps").rows
    assert (row["ends_in"], row["status"], row["state"], row["age"], row["calls_refused"]) == ("123", "overdue", "missing", 3 * 86_400, "yes")
    assert report.section("emergency").blocks[0].values == {"can_call": 1, "covered": 0, "gaps": 1, "blocked": 1, "to_confirm": 0}  # type: ignore[union-attr]
    assert "1 number(s)" in report.section("emergency").exceptions[0]
    assert not any(word in str([dict(each) for each in report.table("emergency", "gaps").rows]) for word in (DID, "7946", "ACME"))
    happen(stocked, clock, enter(stocked, clock), AddressEvent.SENT, AddressEvent.ACCEPTED)
    with Session(stocked.get_bind()) as fresh:
        report = gather(fresh, store_settings, clock, span, sections=(emergency,))
    assert (report.table("emergency", "gaps").rows, report.section("emergency").exceptions) == ((), ())
    assert report.section("emergency").asked


def test_a_number_that_only_999_is_shown_counts_from_when_its_phone_was_made(stocked: Session, clock: FixedClock) -> None:
    clock.set(START + 2 * DAY)
    accounts.add_endpoint(stocked, clock, "desk-2", "ACME", caller_did=DID, emergency_did=OTHER, ha1="0" * 32)
    assert {gap.number: (gap.since, gap.alarm) for gap in covering.gaps(stocked, clock.now())} == {DID: (START, 1), OTHER: (START + 2 * DAY, 0)}


def test_config_verify_tells_of_a_phone_that_shows_999_a_number_without_an_address_for_a_day(stocked: Session, clock: FixedClock) -> None:
    accounts.add_endpoint(stocked, clock, "desk-2", "ACME", caller_did=DID, emergency_did=OTHER, ha1="0" * 32)
    phones = [PhoneConf("desk-1", "0" * 32, 1, DID, receive_only=False), PhoneConf("desk-2", "0" * 32, 1, OTHER, receive_only=False)]
    assert verify_addresses(stocked, phones, START + DAY - timedelta(seconds=1)) == ""
    assert "shown by desk-1, desk-2: see" in verify_addresses(stocked, phones, START + DAY)
    silent = [phones[0], msgspec.structs.replace(phones[1], receive_only=True)]
    assert "shown by desk-1: see" in verify_addresses(stocked, silent, START + DAY)
    happen(stocked, clock, enter(stocked, clock), AddressEvent.SENT, AddressEvent.ACCEPTED)
    assert "shown by desk-2: see" in verify_addresses(stocked, phones, START + DAY)
    clock.set(START + DAY)
    record = happen(stocked, clock, enter(stocked, clock, OTHER), AddressEvent.SENT)
    assert verify_addresses(stocked, phones, START + DAY) == ""  # as coverage counts it: since the address was entered
    assert "desk-2" in verify_addresses(stocked, phones, START + 2 * DAY)
    happen(stocked, clock, record, AddressEvent.ACCEPTED)
    assert verify_addresses(stocked, phones, START + 9 * DAY) == ""
    happen(stocked, clock, record, AddressEvent.REPORTED_MISSING)
    assert verify_addresses(stocked, phones, START + 2 * DAY - timedelta(seconds=1)) == ""
    assert "desk-2" in verify_addresses(stocked, phones, START + 2 * DAY)
