"""Accounts, numbers, trunks and endpoints in the store, on both engines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from ringfence.clock import FixedClock
from ringfence.errors import Conflict, Invalid, NotFound, Refused
from ringfence.queries import accounts, nodes, numbering, trunks
from ringfence.queries.numbering import Owned
from ringfence.values import E164, AccountState, DidState, NumberClass, PlanTarget, TargetKind, TrunkDirection

START = datetime(2026, 3, 29, 0, 30, 0, 123456, tzinfo=UTC)
DID, OTHER = E164("+442079460123"), E164("+442079460456")
MOBILE = PlanTarget(1, TargetKind.MOBILE, "+447700900123", 25)
HA1 = "0" * 32


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START)


@pytest.fixture
def stocked(session: Session, clock: FixedClock) -> Session:
    """Two accounts, one with a number and a phone."""
    accounts.add_account(session, clock, "ACME", "Acme Plumbing Ltd", 10)
    accounts.add_account(session, clock, "OTHER", "Other Ltd", None)
    numbering.add_did(session, clock, DID, NumberClass.GEOGRAPHIC)
    numbering.assign_did(session, clock, DID, "ACME")
    accounts.add_endpoint(session, clock, "desk-1", "ACME", caller_did=DID, ha1=HA1)
    session.commit()
    return session


def test_an_account_is_found_by_its_reference_only(stocked: Session) -> None:
    assert accounts.get_account(stocked, "ACME").name == "Acme Plumbing Ltd"
    with pytest.raises(NotFound) as missing:
        accounts.get_account(stocked, "AMCE")
    assert "did you mean ACME?" in missing.value.hint


def test_a_reference_is_given_once(stocked: Session, clock: FixedClock) -> None:
    with pytest.raises(Conflict):
        accounts.add_account(stocked, clock, "ACME", "Acme Two", None)


def test_accounts_are_listed_with_how_many_numbers_they_have(stocked: Session) -> None:
    assert [(one.ref, count) for one, count in accounts.list_accounts(stocked)] == [("ACME", 1), ("OTHER", 0)]
    assert accounts.list_accounts(stocked, state=AccountState.CLOSED) == []


def test_what_is_set_on_an_account_stays(stocked: Session, clock: FixedClock) -> None:
    accounts.set_account(stocked, clock, "ACME", concurrency_limit=None)
    accounts.set_account_state(stocked, clock, "ACME", AccountState.SUSPENDED)
    stocked.commit()
    one = accounts.get_account(stocked, "ACME")
    assert (one.name, one.concurrency_limit, one.state, one.created_at) == ("Acme Plumbing Ltd", None, AccountState.SUSPENDED, START)


def test_ownership_has_a_history(stocked: Session, clock: FixedClock) -> None:
    clock.set(START + timedelta(days=30))
    numbering.release_dids(stocked, clock, [DID])
    clock.set(START + timedelta(days=200))
    numbering.assign_did(stocked, clock, DID, "OTHER", end_quarantine=True)
    stocked.commit()
    assert numbering.history(stocked, DID) == [
        Owned("ACME", START, START + timedelta(days=30)),
        Owned("OTHER", START + timedelta(days=200), None),
    ]


def test_a_released_number_takes_nothing_of_its_owner_along(stocked: Session, clock: FixedClock) -> None:
    numbering.replace_targets(stocked, clock, DID, [MOBILE])
    numbering.release_dids(stocked, clock, [DID])
    stocked.commit()
    line = next(numbering.find_dids(stocked, [DID]))
    assert (line.account, line.state, line.targets) == (None, DidState.QUARANTINED, ())
    assert accounts.get_endpoint(stocked, "desk-1").caller_did is None


def test_a_number_is_not_given_away_twice_nor_out_of_quarantine(stocked: Session, clock: FixedClock) -> None:
    with pytest.raises(Conflict, match="account ACME's"):
        numbering.assign_did(stocked, clock, DID, "OTHER")
    numbering.release_dids(stocked, clock, [DID])
    with pytest.raises(Conflict, match="quarantine"):
        numbering.assign_did(stocked, clock, DID, "OTHER")
    with pytest.raises(Conflict, match="no owner"):
        numbering.release_dids(stocked, clock, [DID])


def test_an_unknown_number_is_named_masked(stocked: Session, clock: FixedClock) -> None:
    with pytest.raises(NotFound) as missing:
        numbering.assign_did(stocked, clock, OTHER, "ACME")
    assert OTHER not in missing.value.message
    assert "•••" in missing.value.message


def test_targets_are_replaced_as_a_whole_and_keep_their_order(stocked: Session, clock: FixedClock) -> None:
    first = [MOBILE, PlanTarget(1, TargetKind.ENDPOINT, "desk-1", 30), PlanTarget(2, TargetKind.LANDLINE, "+441174960456", 20)]
    numbering.replace_targets(stocked, clock, DID, first)
    assert next(numbering.find_dids(stocked, [DID])).targets == tuple(first)
    numbering.replace_targets(stocked, clock, DID, first[2:])
    assert next(numbering.find_dids(stocked, [DID])).targets == tuple(first[2:])
    numbering.replace_targets(stocked, clock, DID, [])
    assert next(numbering.find_dids(stocked, [DID])).targets == ()


def test_calls_cannot_be_sent_round_in_a_loop(stocked: Session, clock: FixedClock) -> None:
    with pytest.raises(Refused, match="loop"):
        numbering.replace_targets(stocked, clock, DID, [PlanTarget(1, TargetKind.LANDLINE, DID, 25)])
    numbering.replace_targets(stocked, clock, DID, [PlanTarget(1, TargetKind.LANDLINE, OTHER, 25)])
    with pytest.raises(Conflict, match="loop"):
        numbering.add_did(stocked, clock, OTHER, NumberClass.GEOGRAPHIC)


def test_a_number_rings_phones_of_its_own_account_only(stocked: Session, clock: FixedClock) -> None:
    accounts.add_endpoint(stocked, clock, "theirs", "OTHER", caller_did=None, ha1=HA1)
    with pytest.raises(Refused, match="no endpoint theirs"):
        numbering.replace_targets(stocked, clock, DID, [PlanTarget(1, TargetKind.ENDPOINT, "theirs", 25)])
    with pytest.raises(Refused, match="not one of account OTHER"):
        accounts.set_endpoint(stocked, clock, "theirs", caller_did=DID)


def test_a_number_without_an_owner_forwards_nowhere(stocked: Session, clock: FixedClock) -> None:
    numbering.add_did(stocked, clock, OTHER, NumberClass.GEOGRAPHIC)
    with pytest.raises(Conflict, match="no owner"):
        numbering.replace_targets(stocked, clock, OTHER, [MOBILE])


def test_closing_an_account_ends_everything_of_it(stocked: Session, clock: FixedClock) -> None:
    clock.set(START + timedelta(days=1))
    numbering.close_account(stocked, clock, "ACME")
    stocked.commit()
    one = accounts.get_account(stocked, "ACME")
    assert (one.state, one.closed_at) == (AccountState.CLOSED, START + timedelta(days=1))
    assert next(numbering.find_dids(stocked, [DID])).state is DidState.QUARANTINED
    assert not accounts.get_endpoint(stocked, "desk-1").enabled
    for change in (
        lambda: accounts.set_account(stocked, clock, "ACME", name="x"),
        lambda: accounts.set_account_state(stocked, clock, "ACME", AccountState.ACTIVE),
        lambda: numbering.close_account(stocked, clock, "ACME"),
        lambda: numbering.assign_did(stocked, clock, DID, "ACME", end_quarantine=True),
        lambda: accounts.add_endpoint(stocked, clock, "desk-2", "ACME", caller_did=None, ha1=HA1),
    ):
        with pytest.raises(Conflict, match="closed"):
            change()


def test_numbers_are_listed_in_order_and_filtered(stocked: Session, clock: FixedClock) -> None:
    for number in ("+441174960001", "+445612345678"):
        numbering.add_did(stocked, clock, E164(number), NumberClass.GEOGRAPHIC)
    numbering.replace_targets(stocked, clock, DID, [MOBILE, PlanTarget(2, TargetKind.LANDLINE, "+441174960456", 20)])
    acme = accounts.get_account(stocked, "ACME").id
    assert [line.e164 for line in numbering.list_dids(stocked)] == ["+441174960001", DID, "+445612345678"]
    assert [line.e164 for line in numbering.list_dids(stocked, limit=2)] == ["+441174960001", DID]
    assert [line.e164 for line in numbering.list_dids(stocked, account_id=acme)] == [DID]
    assert [line.e164 for line in numbering.list_dids(stocked, state=DidState.INACTIVE, prefix="+4456")] == ["+445612345678"]
    assert list(numbering.list_dids(stocked, prefix="%")) == []


def test_a_name_belongs_to_one_trunk_or_endpoint(stocked: Session, clock: FixedClock) -> None:
    trunks.add_trunk(stocked, clock, "carrier-a", host="192.0.2.1", match=["192.0.2.1"])
    with pytest.raises(Conflict, match="by an endpoint"):
        trunks.add_trunk(stocked, clock, "desk-1", host="192.0.2.1", match=["192.0.2.1"])
    with pytest.raises(Conflict, match="by a trunk"):
        accounts.add_endpoint(stocked, clock, "carrier-a", "ACME", caller_did=None, ha1=HA1)
    with pytest.raises(Conflict, match="by a trunk"):
        trunks.add_trunk(stocked, clock, "carrier-a", host="192.0.2.1", match=["192.0.2.1"])


def test_an_endpoint_that_is_rung_stays(stocked: Session, clock: FixedClock) -> None:
    numbering.replace_targets(stocked, clock, DID, [PlanTarget(1, TargetKind.ENDPOINT, "desk-1", 25)])
    assert accounts.forwarding_to(stocked, "desk-1") == [DID]
    with pytest.raises(Conflict, match="1 number"):
        accounts.remove_endpoint(stocked, clock, "desk-1")
    numbering.replace_targets(stocked, clock, DID, [])
    accounts.remove_endpoint(stocked, clock, "desk-1")
    with pytest.raises(NotFound):
        accounts.get_endpoint(stocked, "desk-1")


def test_trunks_are_listed_in_the_order_they_are_tried(stocked: Session, clock: FixedClock) -> None:
    trunks.add_trunk(stocked, clock, "c", host="192.0.2.3", direction=TrunkDirection.OUTBOUND, priority=20)
    trunks.add_trunk(stocked, clock, "b", host="192.0.2.2", direction=TrunkDirection.OUTBOUND, weight=200)
    trunks.add_trunk(stocked, clock, "a", host="192.0.2.1", direction=TrunkDirection.OUTBOUND, causes={"404": "transient"})
    assert [trunk.name for trunk in trunks.list_trunks(stocked)] == ["b", "a", "c"]
    trunks.set_trunk(stocked, clock, "a", enabled=False, priority=1)
    assert [(trunk.name, trunk.enabled) for trunk in trunks.list_trunks(stocked)] == [("a", False), ("b", True), ("c", True)]
    trunks.remove_trunk(stocked, clock, "a")
    with pytest.raises(NotFound):
        trunks.get_trunk(stocked, "a")


@pytest.mark.parametrize(
    "values",
    [
        {"host": "192.0.2.1", "direction": TrunkDirection.BOTH},
        {"host": "192.0.2.1", "direction": TrunkDirection.OUTBOUND, "register": True},
        {"host": "192.0.2.1", "direction": TrunkDirection.OUTBOUND, "username": "us"},
        {"host": "192.0.2.1", "direction": TrunkDirection.OUTBOUND, "password_file": "/etc/x"},
    ],
)
def test_a_trunk_must_make_sense_as_a_whole(session: Session, clock: FixedClock, values: trunks.TrunkValues) -> None:
    with pytest.raises(Invalid):
        trunks.add_trunk(session, clock, "carrier-a", **values)


def test_a_node_tells_about_itself_in_parts(session: Session) -> None:
    nodes.report_node(session, "node1", app_seen_at=START, plan_version=7)
    nodes.report_node(session, "node1", booker_seen_at=START)
    nodes.report_node(session, "node0")
    session.commit()
    one = nodes.get_node(session, "node1")
    assert (one.plan_version, one.app_seen_at, one.booker_seen_at, one.astdb_version) == (7, START, START, None)
    assert [node.name for node in nodes.list_nodes(session)] == ["node0", "node1"]
    with pytest.raises(NotFound):
        nodes.get_node(session, "node2")


def test_what_is_refused_leaves_nothing_behind(stocked: Session, clock: FixedClock) -> None:
    before = list(numbering.list_dids(stocked))
    numbering.add_did(stocked, clock, OTHER, NumberClass.GEOGRAPHIC)
    with pytest.raises(NotFound):
        numbering.assign_did(stocked, clock, OTHER, "NOBODY")
    stocked.rollback()
    assert list(numbering.list_dids(stocked)) == before
