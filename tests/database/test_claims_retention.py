"""The checks on what retention does: a store that was purged passes, and one violation turns exactly those promises red that rest on it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from retention import holds
from retention.calendar import Period
from retention.checks import accountability, kept_counts, minimums, windows
from retention.checks import holds as hold_checks
from retention.claims.checking import Status
from retention.policies.load import parse, shipped_policy
from retention.purge.governing import Governing, digest
from ringfence.audit import log
from ringfence.clock import FixedClock
from ringfence.models import LegalHold, PolicyVersion
from ringfence.models.base import DataClass
from ringfence.queries import ledger, runs
from ringfence.queries.holds import Scope
from ringfence.queries.ledger import Booking
from ringfence.settings import Settings
from tests.database.claiming import Seed, by_hand, checked, evidence, red, resting_on
from tests.database.lived import lived, settings
from tests.database.purging import CUTOFF, NOW, booking, scalar

__all__ = ["lived", "settings"]
CALLS = {"ON-6c"}


def booked(*bookings: Booking) -> Seed:
    """Return what the booker does."""

    def seed(session: Session) -> None:
        ledger.begin_booking(session, "n1")
        ledger.insert_bookings(session, bookings)

    return seed


def receipted(data_class: str, table: str, policy: str, newest: datetime | None) -> Seed:
    """Return the receipt of a row that went."""
    return lambda session: _receipt(session, data_class, table, policy, newest)


def test_a_store_that_was_purged_passes(lived: Engine, settings: Settings) -> None:
    results = checked(lived, settings)
    assert red(results) == set()
    for subject in (windows, minimums, kept_counts, hold_checks, accountability):
        for name in subject.CHECKS:
            found = evidence(results, name)
            assert found.status is Status.PASS, found
            assert found.query
            assert found.result
    counted = evidence(results, "aggregates_agree").result
    assert (counted["calls_counted"], counted["calls_receipted"]) == (200, 200)
    assert evidence(results, "kept_with_reason").result["kept_by_holds_at_the_last_run"] == {"call_log (recommended)": 3}
    assert evidence(results, "minimums_kept").result["rows_receipted"]["call_log"] == 400
    assert evidence(results, "call_log_window").result["oldest_call"] == "2025-11-10T23:58:00Z"


def test_a_call_past_its_window(lived: Engine, settings: Settings) -> None:
    results = checked(lived, settings, seed=booked(booking(1, CUTOFF - timedelta(days=2))))
    assert red(results) == resting_on("call_log_window", "kept_with_reason") == {"ON-6c", "VO-11a"}
    late = evidence(results, "call_log_window").result["calls_past_the_window"]
    assert [(each["table"], each["rows"], each["policy"]) for each in late] == [("call", 1, "recommended")]


def test_a_call_that_became_due_this_midnight_is_not_late_yet(lived: Engine, settings: Settings) -> None:
    due = booked(booking(1, CUTOFF - timedelta(hours=2)))
    assert red(checked(lived, settings, seed=due)) == set()
    assert red(checked(lived, settings, FixedClock(NOW + timedelta(days=1)), seed=due)) >= CALLS


def test_a_leg_that_lost_its_call(lived: Engine, settings: Settings) -> None:
    results = checked(
        lived,
        settings,
        seed=by_hand(
            "INSERT INTO leg (call_id, started_at, number, attempt, kind, address, disposition)"
            " SELECT 'n1-1.1', started_at, 1, 1, 'mobile', '+447700900123', 'answered' FROM call WHERE did = '+442079460099' ORDER BY started_at LIMIT 1"
        ),
    )
    assert red(results) == CALLS
    assert evidence(results, "call_log_window").result["legs_without_a_call"] == 1


@pytest.mark.parametrize("name", ["asterisk/log/cdr-custom/ledger.json.1", "journal/decisions-2026-01-01-ari.jsonl", "exports/calls.csv"])
def test_a_copy_past_its_window(lived: Engine, settings: Settings, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, ((NOW - timedelta(days=200)).timestamp(),) * 2)
    results = checked(lived, settings)
    assert red(results) == CALLS
    assert evidence(results, "call_log_window").result["files_past_the_window"] == 1


def test_a_call_deleted_by_hand(lived: Engine, settings: Settings) -> None:
    results = checked(lived, settings, seed=by_hand("DELETE FROM call WHERE call_id = (SELECT max(call_id) FROM call)"))
    assert red(results) == CALLS
    assert evidence(results, "call_log_window").result["days_that_do_not_balance"] == ["call_log of 2025-12-09: 1 row(s) are gone without a receipt"]


def test_a_call_whose_receipt_says_that_it_was_not_due(lived: Engine, settings: Settings) -> None:
    assert (
        red(checked(lived, settings, seed=by_hand("UPDATE purge_receipt SET newest_at = cutoff_at WHERE table_name = 'call' AND reason = 'window'"))) == CALLS
    )


def test_a_run_with_a_cutoff_later_than_its_window(lived: Engine, settings: Settings) -> None:
    assert red(checked(lived, settings, seed=by_hand("UPDATE purge_run_class SET period = 'P24M' WHERE data_class = 'call_log'"))) == CALLS


def test_an_invoice_line_deleted_by_hand(lived: Engine, settings: Settings) -> None:
    assert (
        red(checked(lived, settings, seed=by_hand("DELETE FROM invoice_line WHERE id = (SELECT max(id) FROM invoice_line)")))
        == resting_on("billing_minimum", "minimums_kept")
        == {"ON-3.3a", "VF-17"}
    )


def test_a_policy_that_would_let_bills_go_early(lived: Engine, settings: Settings) -> None:
    policy = shipped_policy("recommended")
    rule = msgspec.structs.replace(policy.rules[DataClass.BILLING], minimum=Period(months=60))
    shorter = Governing(msgspec.structs.replace(policy, rules={**policy.rules, DataClass.BILLING: rule}), ())
    assert red(checked(lived, settings, policies=shorter)) == resting_on("billing_minimum") == {"ON-3.3a"}


def test_a_bill_that_went_within_six_years(lived: Engine, settings: Settings) -> None:
    assert red(checked(lived, settings, seed=receipted("billing", "invoice_line", "recommended", NOW - timedelta(days=5 * 365)))) == {"ON-3.3a", "VF-17"}


@pytest.mark.parametrize(("days", "expected"), [(100, {"VF-17"}), (800, set())])
def test_a_number_s_history_that_went_before_its_minimum(lived: Engine, settings: Settings, days: int, expected: set[str]) -> None:
    assert (
        red(checked(lived, settings, seed=receipted("numbering", "did_ownership", "voipfone", NOW - timedelta(days=days))))
        == expected
        <= resting_on("minimums_kept")
    )


def test_an_account_that_vanished(lived: Engine, settings: Settings) -> None:
    results = checked(lived, settings, seed=by_hand("DELETE FROM account WHERE id = 1"))
    assert red(results) == resting_on("active_accounts_kept") == {"ON-6a"}
    assert evidence(results, "active_accounts_kept").result["billed_lately_and_gone"] == [1]


def test_an_account_that_went_without_having_been_closed(lived: Engine, settings: Settings) -> None:
    assert red(checked(lived, settings, seed=receipted("account", "account", "recommended", None))) == {"ON-6a"}


def test_a_closed_account_past_its_window(lived: Engine, settings: Settings) -> None:
    assert (
        red(checked(lived, settings, seed=by_hand("UPDATE account SET closed_at = '2019-05-01 00:00:00.000000' WHERE id = 2")))
        == resting_on("closed_accounts_window", "kept_with_reason")
        == {"ON-6b", "VO-11a"}
    )


def test_something_else_that_nothing_keeps(lived: Engine, settings: Settings) -> None:
    results = checked(lived, settings, seed=by_hand("UPDATE plan_change SET changed_at = '2026-09-01 00:00:00.000000' WHERE key = '+442079460001'"))
    assert red(results) == resting_on("kept_with_reason") == {"VO-11a"}
    assert evidence(results, "kept_with_reason").result["kept_without_a_reason"][0]["table"] == "plan_change"


def test_a_voicemail_file_past_its_window(lived: Engine, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "asterisk/spool/voicemail/default/100/INBOX/msg0000.wav"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"RIFF")
    for days, expected in ((10, set()), (60, {"VF-14"})):
        os.utime(path, ((NOW - timedelta(days=days)).timestamp(),) * 2)
        results = checked(lived, settings)
        assert red(results) == expected <= resting_on("voicemail_window")
        assert evidence(results, "voicemail_window").status is (Status.FAIL if expected else Status.PASS)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE call_aggregate SET calls = calls + 1 WHERE day = (SELECT min(day) FROM call_aggregate)",
        "DELETE FROM call_aggregate WHERE day = (SELECT min(day) FROM call_aggregate)",
        "UPDATE purge_receipt_day SET rows = rows - 1 WHERE day = (SELECT min(day) FROM purge_receipt_day)",
    ],
)
def test_aggregates_that_are_not_what_went(lived: Engine, settings: Settings, change: str) -> None:
    results = checked(lived, settings, seed=by_hand(change))
    assert red(results) >= resting_on("aggregates_agree") == {"ON-3.2b", "VF-5"}
    assert red(results) - CALLS == {"ON-3.2b", "VF-5"}
    assert len(evidence(results, "aggregates_agree").result["days_that_differ"]) == 1


def test_a_cell_that_shows_too_few(lived: Engine, settings: Settings) -> None:
    """Two calls to one kind of number, in a day whose total is right."""
    results = checked(
        lived,
        settings,
        seed=by_hand(
            "UPDATE call_aggregate SET calls = calls - 2 WHERE day = (SELECT min(day) FROM call_aggregate)",
            "INSERT INTO call_aggregate (day, hour, trunk, destination, calls, answered, billable_seconds)"
            " SELECT min(day), 9, 'trunk-a', 'landline', 2, 2, 60 FROM call_aggregate",
        ),
    )
    assert red(results) == {"ON-3.2b", "VF-5"}
    found = evidence(results, "aggregates_agree").result
    assert (len(found["days_with_small_cells"]), found["days_that_differ"]) == (1, [])


def test_a_secret_hold_shows_nowhere_until_something_tells_of_it(lived: Engine, settings: Settings) -> None:
    clock, review_by = FixedClock(NOW), (NOW + timedelta(days=30)).date()

    def placed(session: Session) -> LegalHold:
        return holds.place(session, clock, Scope(account_id=1), reason="a warrant", owner="keeper", review_by=review_by, secret=True)

    def told(session: Session) -> None:
        log.append(session, clock, "legal_hold.reviewed", actor="operator", hold=placed(session).id)

    def versioned(session: Session) -> None:
        placed(session).placed_version = 2

    before = evidence(checked(lived, settings), "secret_holds_hidden")
    results = checked(lived, settings, seed=placed)
    assert red(results) == set()
    assert evidence(results, "secret_holds_hidden") == before
    for leak in (told, versioned):
        assert red(checked(lived, settings, seed=leak)) == resting_on("secret_holds_hidden") == {"VF-4"}


def test_a_policy_that_took_effect_before_its_notice_ended(lived: Engine, settings: Settings) -> None:
    for announced, expected in ((NOW - timedelta(days=60), set()), (NOW - timedelta(days=20), {"ON-10", "VO-12"})):
        assert red(checked(lived, settings, seed=partial(_adopt, announced=announced))) == expected <= resting_on("policy_versions")


def test_an_audit_log_that_was_edited(lived: Engine, settings: Settings) -> None:
    results = checked(lived, settings, seed=by_hand("UPDATE audit_entry SET actor = 'node:n2' WHERE seq = 3"))
    assert red(results) == resting_on("audit_chain") == {"VO-9a"}
    assert evidence(results, "audit_chain").result["problems"] == ["entry 3: it is not the entry that its hash was made of"]


def test_an_audit_log_without_a_key_cannot_be_checked(lived: Engine, settings: Settings) -> None:
    settings.audit_key_path.unlink()
    assert evidence(checked(lived, settings), "audit_chain").status is Status.NOT_CHECKABLE


def test_checks_write_nothing(lived: Engine, settings: Settings) -> None:
    before = [scalar(lived, f"SELECT count(*) FROM {name}") for name in ("call", "leg", "audit_entry", "purge_receipt", "legal_hold")]
    checked(lived, settings)
    assert [scalar(lived, f"SELECT count(*) FROM {name}") for name in ("call", "leg", "audit_entry", "purge_receipt", "legal_hold")] == before


def _receipt(session: Session, data_class: str, table: str, policy: str, newest: datetime | None) -> None:
    values = {
        "run_id": "0" * 32,
        "token": 1,
        "at": NOW,
        "data_class": data_class,
        "table_name": table,
        "reason": "window",
        "policy": policy,
        "policy_version": 1,
        "policy_digest": "0" * 64,
        "cutoff_at": NOW,
        "lo_at": "",
        "lo_key": "",
        "hi_at": "x",
        "hi_key": "",
        "rows": 1,
        "oldest_at": newest,
        "newest_at": newest,
        "hold_version": 1,
        "commitment": "0" * 64,
    }
    runs.add_receipts(session, [(values, ())])


def _adopt(session: Session, announced: datetime) -> None:
    text = (Path(__file__).parents[2] / "retention/policies/recommended.toml").read_text(encoding="utf-8").replace("version = 1", "version = 2", 1)
    policy = parse(text.encode(), "recommended.toml")
    version = PolicyVersion(
        policy=policy.key,
        version=2,
        sha256=policy.sha256,
        text=text,
        document=policy.document(),
        digest=digest(policy),
        effective=datetime(2026, 11, 10, tzinfo=UTC).date(),
        proposed_by="op-1",
        proposed_at=announced - timedelta(days=2),
        approved_by="op-2",
        approved_at=announced - timedelta(days=1),
        announced_at=announced,
        adopted_at=NOW - timedelta(days=1),
    )
    session.add(version)
