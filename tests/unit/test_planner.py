"""What each class of a policy has to do at a moment, without a store."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import msgspec
import pytest

from retention.calendar import midnight, parse_period
from retention.classes import StartEvent
from retention.policies.load import shipped_policy
from retention.purge.batch import days_of
from retention.purge.governing import Governing, digest
from retention.purge.planner import items_of
from ringfence.errors import Misconfigured
from ringfence.models.base import DataClass
from ringfence.queries.due import CLOSED

NOW = datetime(2026, 11, 20, 3, 30, tzinfo=UTC)


def test_the_cutoff_of_a_table_is_that_of_its_class() -> None:
    item = next(item for item in items_of(shipped_policy("recommended"), NOW, default=True) if item.data_class is DataClass.CALL_LOG)
    assert item.cutoff.at == datetime(2025, 11, 20, tzinfo=UTC)
    assert [(table.source.table, table.cutoff, table.event, table.minimum) for table in item.sources] == [("call", item.cutoff.at, "started_at", None)]


def test_a_minimum_is_weighed_by_its_own_event() -> None:
    """OfficeNumber keeps bills 6 years from the closure of the account, and at least 6 years from the bill."""
    item = next(item for item in items_of(shipped_policy("officenumber"), NOW, default=True) if item.data_class is DataClass.BILLING)
    table = item.sources[0]
    assert (table.event, table.minimum_event, table.cutoff, table.minimum) == (
        CLOSED,
        "started_at",
        datetime(2020, 11, 20, tzinfo=UTC),
        datetime(2020, 11, 20, tzinfo=UTC),
    )


def test_another_policy_than_the_default_has_only_what_belongs_to_accounts() -> None:
    tables = {table.source.table for item in items_of(shipped_policy("voipfone"), NOW, default=False) for table in item.sources}
    assert {"call", "invoice_line", "account", "endpoint"} <= tables
    assert not tables & {"purge_receipt", "plan_change", "incident"}


def test_an_event_that_a_table_does_not_know_is_refused() -> None:
    policy = shipped_policy("recommended")
    rule = msgspec.structs.replace(policy.rules[DataClass.CALL_LOG], start=StartEvent.BILLED)
    odd = msgspec.structs.replace(policy, rules={**policy.rules, DataClass.CALL_LOG: rule})
    with pytest.raises(Misconfigured, match="call does not say when billed happened"):
        list(items_of(odd, NOW, default=True))


def test_a_document_says_what_the_verifier_needs_and_its_digest_changes_with_it() -> None:
    policy = shipped_policy("recommended")
    said = policy.document()
    assert {key: said["classes"]["call_log"][key] for key in ("period", "year_end", "minimum")} == {"period": "P12M", "year_end": None, "minimum": None}
    assert {key: said["classes"]["billing"][key] for key in ("period", "year_end", "minimum")} == {"period": "P75M", "year_end": "03-31", "minimum": "P6Y"}
    assert "operational" not in said["classes"]
    rule = msgspec.structs.replace(policy.rules[DataClass.CALL_LOG], window=parse_period("P6M"))
    shorter = msgspec.structs.replace(policy, rules={**policy.rules, DataClass.CALL_LOG: rule})
    assert digest(shorter) != digest(policy)
    assert digest(msgspec.structs.replace(policy, sha256="0" * 64)) == digest(policy)  # another comment is not another policy


def test_the_default_comes_first() -> None:
    policies = Governing(shipped_policy("recommended"), (shipped_policy("voipfone"),))
    assert [policy.key for policy in policies.all] == ["recommended", "voipfone"]


@pytest.mark.parametrize(("day", "clock"), [((3, 29), [0, *range(2, 24)]), ((10, 25), [0, 1, 1, *range(2, 24)]), ((6, 1), list(range(24)))])
def test_hours_of_a_day_are_those_of_the_clock_in_london(day: tuple[int, int], clock: list[int]) -> None:
    begins = midnight(date(2026, *day))
    days = days_of(begins, begins + timedelta(hours=3))
    assert [name for name in days.hour_names if name[0] == date(2026, *day)] == [(date(2026, *day), hour) for hour in clock]
    assert days.hours[0] == begins
    assert {later - earlier for earlier, later in pairwise(days.hours)} == {timedelta(hours=1)}


def test_days_of_a_window_are_those_of_london() -> None:
    days = days_of(datetime(2026, 3, 28, 23, 30, tzinfo=UTC), datetime(2026, 3, 29, 23, 30, tzinfo=UTC))
    assert [day.isoformat() for day in days.names] == ["2026-03-28", "2026-03-29", "2026-03-30"]
    assert days.of(datetime(2026, 3, 29, 22, 59, tzinfo=UTC)).isoformat() == "2026-03-29"
    assert days.of(datetime(2026, 3, 29, 23, 0, tzinfo=UTC)).isoformat() == "2026-03-30"  # summer time began
