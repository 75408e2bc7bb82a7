"""The plan's version, its changes, and its readers, on both engines."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session, sessionmaker

from ringfence.clock import FixedClock
from ringfence.emergency import NOTHING_KNOWN
from ringfence.models import Did, PlanChange
from ringfence.queries import accounts, numbering, plan, trunks
from ringfence.queries.plan import ChangeKind, begin_change, bump, changes_since, current_version, note_changes
from ringfence.queries.rows import insert_rows
from ringfence.session import make_engine, make_sessions
from ringfence.settings import Database, Settings
from ringfence.values import (
    E164,
    AccountState,
    CallerIdMode,
    DidState,
    NumberClass,
    NumberFormat,
    PlanAccount,
    PlanDid,
    PlanEndpoint,
    PlanTarget,
    PlanTrunk,
    TargetKind,
    TrunkDirection,
)
from tests.postgres import PostgresServer

CLOCK = FixedClock(datetime(2026, 3, 29, tzinfo=UTC))
DID, SPARE = E164("+442079460123"), E164("+441174960456")
MOBILE = PlanTarget(1, TargetKind.MOBILE, "+447700900123", 25)


def fill(session: Session) -> None:
    accounts.add_account(session, CLOCK, "ACME", "Acme Plumbing Ltd", 10)
    for number in (DID, SPARE):
        numbering.add_did(session, CLOCK, number, NumberClass.GEOGRAPHIC)
    numbering.assign_did(session, CLOCK, DID, "ACME")
    accounts.add_endpoint(session, CLOCK, "desk-1", "ACME", caller_did=DID, ha1="0" * 32)
    numbering.replace_targets(session, CLOCK, DID, [PlanTarget(2, TargetKind.ENDPOINT, "desk-1", 30), MOBILE])
    trunks.add_trunk(session, CLOCK, "carrier-a", host="192.0.2.1", match=["192.0.2.1"], network_number=SPARE, causes={"404": "transient"})
    session.commit()


def test_the_whole_plan_is_what_was_provisioned(session: Session) -> None:
    fill(session)
    found = plan.load_all(session)
    account_id = found.accounts[0].account_id
    assert found.version == current_version(session)
    assert found.accounts == (PlanAccount(account_id, AccountState.ACTIVE, 10),)
    assert found.endpoints == (PlanEndpoint("desk-1", account_id, DID, enabled=True, record=NOTHING_KNOWN, receive_only=False),)
    assert found.trunks == (
        PlanTrunk("carrier-a", TrunkDirection.BOTH, True, 10, 100, CallerIdMode.DID, NumberFormat.E164_PLUS, SPARE, None, {"404": "transient"}),
    )
    assert list(found.dids) == [
        PlanDid(SPARE, None, DidState.INACTIVE, ()),
        PlanDid(DID, account_id, DidState.ACTIVE, (MOBILE, PlanTarget(2, TargetKind.ENDPOINT, "desk-1", 30))),
    ]


def test_parts_of_the_plan_are_read_by_key(session: Session) -> None:
    fill(session)
    whole = plan.load_all(session)
    dids = {did.e164: did for did in whole.dids}
    assert plan.load_did(session, DID) == dids[DID]
    assert plan.load_did(session, "+442079460999") is None
    assert list(plan.load_dids(session, [DID, "+442079460999", SPARE])) == [dids[SPARE], dids[DID]]
    assert list(plan.load_accounts(session, [str(whole.accounts[0].account_id), "99"])) == list(whole.accounts)
    assert list(plan.load_trunks(session, ["carrier-a", "x"])) == list(whole.trunks)
    assert list(plan.load_endpoints(session, ["desk-1"])) == list(whole.endpoints)
    assert list(plan.load_endpoints(session, [])) == []


def test_many_numbers_stream_with_their_own_targets(session: Session) -> None:
    accounts.add_account(session, CLOCK, "ACME", "Acme", None)
    version = begin_change(session, CLOCK)
    numbers = [E164(f"+4456000{index:05d}") for index in range(12_000)]
    account_id = accounts.get_account(session, "ACME").id
    row = {"number_class": NumberClass.VOIP, "state": DidState.ACTIVE, "account_id": account_id, "created_at": CLOCK.now()}
    insert_rows(session, Did, ({**row, "e164": number} for number in numbers))
    numbering.write_targets(session, {n: [PlanTarget(1, TargetKind.MOBILE, f"+44770090{n[-4:]}", 25)] * (int(n[-1]) % 3) for n in numbers})
    note_changes(session, CLOCK, version, ((ChangeKind.DID, n) for n in numbers))
    session.commit()
    found = list(plan.load_all(session).dids)
    assert [did.e164 for did in found] == numbers
    assert all(len(did.targets) == int(did.e164[-1]) % 3 and all(target.address[-4:] == did.e164[-4:] for target in did.targets) for did in found)
    assert changes_since(session, version - 1, limit=11_999) is None
    assert len(changes_since(session, version - 1, limit=12_000) or []) == 12_000


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda s: accounts.set_account(s, CLOCK, "ACME", concurrency_limit=3), ChangeKind.ACCOUNT),
        (lambda s: accounts.set_account_state(s, CLOCK, "ACME", AccountState.SUSPENDED), ChangeKind.ACCOUNT),
        (lambda s: accounts.add_account(s, CLOCK, "NEW", "New", None), ChangeKind.ACCOUNT),
        (lambda s: numbering.assign_did(s, CLOCK, SPARE, "ACME"), ChangeKind.DID),
        (lambda s: numbering.add_did(s, CLOCK, E164("+442079460999"), NumberClass.GEOGRAPHIC), ChangeKind.DID),
        (lambda s: numbering.replace_targets(s, CLOCK, DID, []), ChangeKind.DID),
        (lambda s: trunks.set_trunk(s, CLOCK, "carrier-a", weight=5), ChangeKind.TRUNK),
        (lambda s: trunks.remove_trunk(s, CLOCK, "carrier-a"), ChangeKind.TRUNK),
        (lambda s: trunks.add_trunk(s, CLOCK, "carrier-b", host="192.0.2.2", match=["192.0.2.2"]), ChangeKind.TRUNK),
        (lambda s: accounts.set_endpoint(s, CLOCK, "desk-1", enabled=False), ChangeKind.ENDPOINT),
        (lambda s: accounts.add_endpoint(s, CLOCK, "desk-2", "ACME", caller_did=None, ha1="0" * 32), ChangeKind.ENDPOINT),
    ],
)
def test_every_change_raises_the_version_and_names_its_key(session: Session, change: Callable[[Session], object], key: ChangeKind) -> None:
    fill(session)
    before = current_version(session)
    change(session)
    session.commit()
    assert current_version(session) == before + 1
    changes = changes_since(session, before)
    assert changes is not None
    assert [kind for kind, _ in changes] == [key]


def test_a_release_names_the_number_and_the_phones_that_presented_it(session: Session) -> None:
    fill(session)
    before = current_version(session)
    numbering.release_dids(session, CLOCK, [DID])
    assert set(changes_since(session, before) or []) == {(ChangeKind.DID, DID), (ChangeKind.ENDPOINT, "desk-1")}
    numbering.assign_did(session, CLOCK, DID, "ACME", end_quarantine=True)
    before = current_version(session)
    account_id = str(accounts.get_account(session, "ACME").id)
    numbering.close_account(session, CLOCK, "ACME")
    assert set(changes_since(session, before) or []) == {(ChangeKind.DID, DID), (ChangeKind.ENDPOINT, "desk-1"), (ChangeKind.ACCOUNT, account_id)}


def test_changes_are_told_once_each_or_everything_is_read_again(session: Session) -> None:
    start = current_version(session)
    for key in ("a", "b", "a"):
        bump(session, CLOCK, [(ChangeKind.TRUNK, key)])
    assert sorted(changes_since(session, start) or []) == [(ChangeKind.TRUNK, "a"), (ChangeKind.TRUNK, "b")]
    assert changes_since(session, start + 3) == []
    assert changes_since(session, start + 4) is None  # the store is older: it was restored
    assert changes_since(session, start, limit=1) is None
    session.execute(delete(PlanChange).where(PlanChange.version == start + 1))
    assert changes_since(session, start) is None
    assert changes_since(session, start + 1) is not None
    bump(session, CLOCK, [(ChangeKind.ALL, "*")])
    assert changes_since(session, start + 1) is None


def test_a_version_without_a_change_is_refused(session: Session) -> None:
    with pytest.raises(ValueError, match="needs a change"):
        bump(session, CLOCK, [])


def test_what_is_rolled_back_was_never_a_version(session: Session) -> None:
    before = current_version(session)
    bump(session, CLOCK, [(ChangeKind.ALL, "*")])
    session.rollback()
    assert current_version(session) == before
    assert session.scalars(select(PlanChange)).all() == []


def test_transactions_that_change_the_plan_run_one_after_the_other(sessions: sessionmaker[Session], engine: Engine) -> None:
    with sessions.begin() as session:
        fill(session)
    with sessions() as session:
        first = current_version(session)
    errors: list[BaseException] = []

    def raise_weight() -> None:
        try:
            for _ in range(5):
                with sessions.begin() as mine:
                    bump(mine, CLOCK, [(ChangeKind.TRUNK, "carrier-a")])
                    trunks.get_trunk(mine, "carrier-a").weight += 1
        except BaseException as error:  # noqa: BLE001  reported below
            errors.append(error)

    threads = [threading.Thread(target=raise_weight) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    with sessions() as session:
        assert trunks.get_trunk(session, "carrier-a").weight == 120  # none was lost
        assert current_version(session) == first + 20
    engine.dispose()


def test_postgresql_tells_listeners_at_the_commit(postgres_server: PostgresServer, postgres_store: str) -> None:
    engine = make_engine(Settings(database=Database(url=postgres_store)))
    with psycopg.connect(postgres_server.url("store"), autocommit=True) as listener:
        listener.execute(f"LISTEN {plan.CHANNEL}")
        with make_sessions(engine).begin() as session:
            version = bump(session, CLOCK, [(ChangeKind.TRUNK, "x")])
            assert list(listener.notifies(timeout=0.05)) == []
        told = list(listener.notifies(timeout=30, stop_after=1))
        assert [note.payload for note in told] == [str(version)]
        with make_sessions(engine)() as session:
            bump(session, CLOCK, [(ChangeKind.TRUNK, "x")])
            session.rollback()
        assert list(listener.notifies(timeout=0.05)) == []
    engine.dispose()
