"""The checks on what deletion leaves behind, on card numbers, and on the installation: one violation turns exactly those promises red that rest on it."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from operator import methodcaller
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from retention.checks import cards, installation, remains
from retention.claims.checking import Status
from ringfence.models import Base, Endpoint, FileTombstone, Incident, Trunk
from ringfence.settings import Asterisk, Controller, Settings
from ringfence.values import CallerIdMode, NumberFormat, Transport, TrunkDirection
from tests.database.claiming import by_hand, checked, evidence, orderly, red, resting_on
from tests.database.lived import lived, settings
from tests.database.purging import NOW

__all__ = ["lived", "settings"]
CARDS, PLAIN = {"ON-2.1b", "VF-8"}, {"ON-8a", "VO-9a"}


def test_an_orderly_installation_passes(lived: Engine, settings: Settings) -> None:
    results = checked(lived, settings)
    assert red(results) == set()
    for subject in (cards, installation, remains):
        for name in subject.CHECKS:
            found = evidence(results, name)
            postgresql = lived.dialect.name == "postgresql" and name == "purged_unfindable"
            assert found.status is (Status.NOT_CHECKABLE if postgresql else Status.PASS), found
            assert found.query
    if lived.dialect.name == "sqlite":
        left = evidence(results, "purged_unfindable").result
        assert (left["secure_delete"], left["with_remains"]) == (True, 0)
    scanned = evidence(results, "no_card_numbers").result
    assert {"account.name", "call.caller", "leg.address", "legal_hold.reason"} <= set(scanned["columns"])
    assert "call.disposition" not in scanned["columns"]


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("account", "name", "Acme 4111 1111 1111 1111"),
        ("call", "caller", "4111111111111111"),
        ("legal_hold", "reason", "paid by 378282246310005"),
        ("leg", "address", "5555-5555-5555-4444"),
    ],
)
def test_a_card_number_anywhere(lived: Engine, settings: Settings, table: str, column: str, value: str) -> None:
    key = next(iter(Base.metadata.tables[table].primary_key.columns)).name
    change = by_hand(f"UPDATE {table} SET {column} = '{value}' WHERE {key} = (SELECT max({key}) FROM {table})")
    results = checked(lived, settings, seed=change)
    assert red(results) == resting_on("no_card_numbers") == CARDS
    assert [each["column"] for each in evidence(results, "no_card_numbers").result["found"]] == [f"{table}.{column}"]


def test_a_foreign_caller_without_a_plus_is_no_card(lived: Engine, settings: Settings) -> None:
    assert red(checked(lived, settings, seed=by_hand("UPDATE call SET caller = '378282246310005'"))) == set()


@pytest.mark.parametrize("field", ["name", "privacy_contact", "support_contact"])
def test_a_controller_without_contacts(lived: Engine, settings: Settings, field: str) -> None:
    nobody: Controller = msgspec.structs.replace(settings.controller, **{field: " "})
    results = checked(lived, msgspec.structs.replace(settings, controller=nobody))
    assert red(results) == resting_on("controller_contacts") == {"ON-1"}
    assert evidence(results, "controller_contacts").reason == f"not set: controller.{field}"


@pytest.mark.parametrize(
    ("host", "transport", "enabled", "plain"),
    [
        ("sip.example.com", Transport.UDP, True, True),
        ("192.0.2.7", Transport.TCP, True, True),
        ("sip.example.com", Transport.TLS, True, False),
        ("sip.example.com", Transport.UDP, False, False),
        ("127.0.0.1", Transport.UDP, True, False),
    ],
)
def test_a_trunk_in_plain(lived: Engine, settings: Settings, host: str, transport: Transport, enabled: bool, plain: bool) -> None:
    results = checked(lived, settings, seed=methodcaller("add", _trunk(host, transport, enabled=enabled)))
    assert red(results) == (PLAIN if plain else set()) <= resting_on("transport_protected")


def test_phones_on_an_open_address(lived: Engine, settings: Settings) -> None:
    def phone(session: Session) -> None:
        session.add(Endpoint(name="desk-1", account_id=1, receive_only=False, ha1="0" * 32, enabled=True, created_at=NOW))

    outside = msgspec.structs.replace(settings, asterisk=Asterisk(sip_host="192.0.2.1"))
    assert red(checked(lived, outside)) == set()
    assert red(checked(lived, settings, seed=phone)) == set()
    assert red(checked(lived, outside, seed=phone)) == PLAIN


def test_a_file_that_was_given_up_and_is_still_there(lived: Engine, settings: Settings) -> None:
    for hours, expected in ((30, {"VO-11b"}), (5, set())):
        given: dict[str, Any] = {
            "node": "n2",
            "run_id": "0" * 32,
            "data_class": "ledger",
            "folder": "log",
            "path": "ledger.json.1",
            "bytes": 1,
            "newest_at": NOW,
        }
        row = FileTombstone(**given, made_at=NOW - timedelta(hours=hours))
        assert red(checked(lived, settings, seed=methodcaller("add", row))) == expected <= resting_on("purged_unfindable")


def test_remains_of_deleted_rows(engine: Engine, store_settings: Settings) -> None:
    """Rows deleted by somebody whose SQLite does not overwrite, or on a PostgreSQL that never clears away."""
    settings = orderly(store_settings)
    if engine.dialect.name == "postgresql":
        results = checked(engine, settings, seed=by_hand("ALTER TABLE incident SET (autovacuum_enabled = false)"))
        assert evidence(results, "purged_unfindable").result["tables_without_vacuum"] == ["incident"]
    else:
        with Session(engine) as session, session.begin():
            session.add_all(Incident(id=f"{n:032}", cause="x", detail="y" * 400, opened_at=NOW, closed_at=NOW) for n in range(200))
        engine.dispose()
        careless = sqlite3.connect(settings.home_path / "ringfence.db")
        careless.execute("PRAGMA secure_delete = OFF")
        careless.execute("DELETE FROM incident")
        careless.commit()
        careless.close()
        results = checked(engine, settings)
        assert evidence(results, "purged_unfindable").result["with_remains"] > 0
    assert red(results) == resting_on("purged_unfindable") == {"VO-11b"}


def _trunk(host: str, transport: Transport, *, enabled: bool) -> Trunk:
    return Trunk(
        name="carrier-a",
        host=host,
        port=5060,
        transport=transport,
        match=["192.0.2.0/28"],
        register=False,
        direction=TrunkDirection.BOTH,
        enabled=enabled,
        priority=10,
        weight=1,
        caller_id_mode=CallerIdMode.DID,
        number_format=NumberFormat.E164_PLUS,
        causes={},
        created_at=NOW,
    )
