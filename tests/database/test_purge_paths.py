"""Every path that deletes: each table of the catalogue is purged when it is due and heeds legal holds, and nothing else deletes what a person is in."""

from __future__ import annotations

import ast
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.types import JSON, Boolean, Date, DateTime, Integer, LargeBinary, Numeric, TypeDecorator

from retention import holds
from retention.classes import CLASSES
from retention.policies.load import shipped
from retention.purge.catalogue import CATALOGUE, OTHERWISE
from retention.purge.outcome import Outcome
from retention.purge.planner import items_of
from ringfence.clock import FixedClock
from ringfence.models import Base
from ringfence.models.base import DataClass
from ringfence.queries.due import CLOSED, Source
from ringfence.queries.holds import Scope
from ringfence.settings import Settings
from tests.architecture.sources import calls, sources
from tests.database.purging import DID, NOW, book, booking, purge, scalar

ANCIENT = NOW - timedelta(days=366 * 12)
SOURCES = [(data_class, kept.source) for data_class, tables in CATALOGUE.items() for kept in tables]
# Who may delete rows, and why no legal hold is asked there.
DELETES = {
    "ringfence/queries/purge.py": "the purge: asks holds for every row",
    "ringfence/queries/purge_calls.py": "the purge of calls on PostgreSQL: asks holds for every row",
    "ringfence/queries/barrier.py": "up to when rows may be shown; says nothing of anybody",
    "ringfence/queries/aggregates.py": "counts that identify nobody",
    "ringfence/queries/policies.py": "which policy governs an account; says nothing else",
    "ringfence/queries/accounts.py": "provisioning: a phone that a customer gave up",
    "ringfence/queries/numbering.py": "provisioning: where a number forwards to now",
    "ringfence/queries/plan.py": "versions of the plan that every process has followed",
    "ringfence/queries/trunks.py": "provisioning: the operator's own carriers",
    "ringfence/queries/registrations.py": "provisioning: from where a phone registered that a customer gave up",
    "ringfence/queries/emergency_tests.py": "what a node has in place for 999, once no phone of it calls",
}


@pytest.mark.parametrize(("data_class", "source"), SOURCES, ids=[source.table for _, source in SOURCES])
def test_every_table_goes_when_it_is_due_and_heeds_a_hold(
    engine: Engine, sessions: sessionmaker[Session], store_settings: Settings, data_class: DataClass, source: Source
) -> None:
    clock = FixedClock(NOW)
    _fill(engine, source)
    count = f"SELECT count(*) FROM {source.table}" + ("" if source.time == CLOSED else f" WHERE {source.time} < '2020-01-01'")
    assert scalar(engine, count) == 1
    with sessions.begin() as session:
        hold = holds.place(session, clock, Scope(data_class=data_class.value), reason="a claim", owner="kim", review_by=date(2027, 1, 1)).id
    report = purge(engine, store_settings, clock).run(only=[data_class])
    assert report is not None
    assert (scalar(engine, count), [result.outcome for result in report.results]) == (1, [Outcome.HELD])
    with sessions.begin() as session:
        holds.release(session, clock, hold, by="kim")
    report = purge(engine, store_settings, clock).run(only=[data_class])
    assert report is not None
    assert (scalar(engine, count), [result.outcome for result in report.results]) == (0, [Outcome.DONE])


def test_every_table_about_a_person_has_an_end() -> None:
    """A table whose class ends by age is in the catalogue, or named with the reason why not."""
    purged = {source.table: data_class for data_class, source in SOURCES}
    for table in Base.metadata.sorted_tables:
        classes = {column.info["data_class"] for column in table.columns if CLASSES[column.info["data_class"]].personal}
        if classes and table.name not in OTHERWISE:
            assert purged.get(table.name) in classes, f"nothing purges {table.name}"
    assert not set(purged) & set(OTHERWISE)


def test_the_policy_of_an_account_outlives_all_that_it_governs() -> None:
    """Every table with rows of accounts stands among what the account's own policy waits for."""
    (policy,) = [source for _, source in SOURCES if source.table == "account_policy"]
    governed = {f"{source.table}.{source.account}" for _, source in SOURCES if source.account and source.table != "account_policy"}
    assert governed <= set(policy.unless)


def test_every_shipped_policy_finds_its_start_events() -> None:
    for policy in shipped().values():
        items = list(items_of(policy, NOW, default=True))
        assert {item.data_class for item in items} == {data_class for data_class, rule in policy.rules.items() if rule.window}


def test_nobody_else_deletes() -> None:
    found = {path for path, tree in sources().items() for owner, function, _ in calls(tree) if function == "delete" and not path.startswith("migrations/")}
    raw = {
        path
        for path, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.upper().lstrip().startswith(("DELETE FROM", "TRUNCATE "))
    }
    assert {path for path in found if path.startswith(("ringfence/", "retention/"))} - set(DELETES) == set()
    assert {path for path in raw if not path.startswith("migrations/")} <= {"ringfence/queries/ledger.py"}  # its own temporary table


def _fill(engine: Engine, source: Source) -> None:
    """Put one row into a table, as old as can be, and what it refers to."""
    if source.table in {"call", "invoice_line"}:
        book(engine, [booking(1, ANCIENT)])
        return
    with engine.begin() as connection:
        connection.execute(insert(Base.metadata.tables["node"]).values(name="n1", app_seen_at=NOW))
        if source.account and source.time == CLOSED and source.table != "account":
            connection.execute(insert(Base.metadata.tables["account"]).values(**_row("account")))
        if source.table in {"did_ownership", "emergency_address"}:
            connection.execute(insert(Base.metadata.tables["account"]).values(**_row("account")))
            connection.execute(insert(Base.metadata.tables["did"]).values(**{**_row("did"), "account_id": None}))
        connection.execute(insert(source.of).values(**_row(source.table)))


def _row(table: str) -> dict[str, Any]:
    """Return a row of a table whose every moment is long ago."""
    fixed: dict[str, Any] = {"number_class": "voip", "e164": DID, "caller_did": None, "emergency_did": None, "policy": "recommended"}
    fixed["state"] = {"account": "closed", "emergency_address": "withdrawn", "emergency_submission": "done"}.get(table, "inactive")
    fixed |= {"location": "fixed", "action": "submit"}
    values = {}
    for column in Base.metadata.tables[table].columns:
        if not (column.name == "id" and column.autoincrement is True):
            values[column.name] = fixed[column.name] if column.name in fixed else 1 if column.name in {"account_id", "id"} else _value(column.type)
    return values


def _value(kind: Any) -> Any:
    real = kind.impl if isinstance(kind, TypeDecorator) else kind
    of: dict[type, Any] = {DateTime: ANCIENT, Date: ANCIENT.date(), Boolean: False, Integer: 0, Numeric: 0, LargeBinary: b"", JSON: {}}
    return next((value for type_, value in of.items() if isinstance(real, type_)), "x")
