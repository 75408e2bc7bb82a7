from __future__ import annotations

import json
import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge

import cli
from ari_app import status
from ari_app.configuration.stale import ConfigurationStanding
from ari_app.private.ports import free_ports
from ari_app.status import Condition, PurgeStanding, Stored
from ringfence import health, migrate
from ringfence.clock import SystemClock
from ringfence.commands.installation import Installation
from ringfence.errors import Misconfigured, Unavailable
from ringfence.ledgerfile import file_identity
from ringfence.models import Incident
from ringfence.queries import incidents, ledger, nodes, runs
from ringfence.queries.ledger import Position, SetAside
from ringfence.settings import Ami, Ari, Health, Settings
from ringfence.values import RoutedBy

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ZERO = dict.fromkeys(RoutedBy, 0)
NEVER = PurgeStanding(finished_at=None, incidents=0)
NOTHING = Stored(
    plan_version=7, plan_changed_at=NOW - timedelta(minutes=1), nodes=(), positions={}, set_aside_today=0, last_hour=ZERO, last_day=ZERO, purge=NEVER
)


def settings(home: Path, **changes: object) -> Settings:
    closed = free_ports(7)
    values: dict[str, object] = {
        "home": str(home),
        "ari": Ari(port=closed[0]),
        "ami": Ami(port=closed[1]),
        "health": Health(ari=closed[2], agi=closed[3], ledger=closed[4], ami=closed[5], worker=closed[6]),
    }
    return Settings(**(values | changes))  # type: ignore[arg-type]


def conditions(found: status.Status) -> dict[str, Condition]:
    return {part.name: part.condition for part in found.parts}


@contextmanager
def manager(banner: bytes) -> Iterator[int]:
    class Greets(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(banner)

    with socketserver.TCPServer(("127.0.0.1", 0), Greets) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_everything_away_is_told_part_by_part(tmp_path: Path) -> None:
    def away() -> Stored:
        raise Unavailable("the store does not answer: OperationalError")

    found = status.look(settings(tmp_path), NOW, away, tuple)
    assert set(found.down) == {"asterisk", "ari application", "manager", "ari app", "route server", "booker", "astdb keeper", "worker", "store"}
    assert conditions(found)["plan"] is Condition.UNKNOWN
    assert (found.ledger.bytes_behind, found.routed_last_hour, found.nodes) == (None, None, None)


def test_a_driver_that_breaks_is_a_store_that_is_away(tmp_path: Path) -> None:
    found = status.look(settings(tmp_path), NOW, lambda: 1 / 0, tuple)  # type: ignore[arg-type,return-value]
    assert next(part.detail for part in found.parts if part.name == "store") == "the store does not answer: ZeroDivisionError"


def test_daemons_tell_by_their_health_pages(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    Gauge("ringfence_plan_version", "…", registry=registry).set(7)
    Gauge("ringfence_plan_age_seconds", "…", registry=registry).set(0.25)
    Gauge("other", "…", ["label"], registry=registry).labels("x").set(1)
    ports = free_ports(2)
    ready = health.serve("127.0.0.1", ports[0], registry, {}, {"plan": lambda: ""})
    failing = health.serve("127.0.0.1", ports[1], CollectorRegistry(), {}, {"plan": lambda: "", "store": lambda: "the store is away"})
    try:
        found = status.look(settings(tmp_path, health=Health(ari=ports[0], agi=0, ledger=ports[1], ami=0)), NOW, lambda: NOTHING, tuple)
    finally:
        ready.close()
        failing.close()
    seen = {part.name: (part.condition, part.detail) for part in found.parts}
    assert seen["ari app"] == (Condition.UP, "ready (plan)")
    assert seen["booker"] == (Condition.DOWN, "store: the store is away")
    assert seen["route server"][0] is Condition.UNKNOWN
    assert seen["plan"] == (Condition.UP, "the app routes by version 7")
    assert (found.plan.app_version, found.plan.app_age_seconds, found.plan.agi_version) == (7, 0.25, None)


@pytest.mark.parametrize(("changed", "condition"), [(timedelta(seconds=1), Condition.UP), (timedelta(seconds=10), Condition.DOWN)])
def test_an_app_that_does_not_follow_the_plan_is_a_fault_after_a_moment(tmp_path: Path, changed: timedelta, condition: Condition) -> None:
    registry = CollectorRegistry()
    Gauge("ringfence_plan_version", "…", registry=registry).set(6)
    (port,) = free_ports(1)
    server = health.serve("127.0.0.1", port, registry, {}, {})
    try:
        store = Stored(**{field: getattr(NOTHING, field) for field in NOTHING.__struct_fields__} | {"plan_changed_at": NOW - changed})
        found = status.look(settings(tmp_path, health=Health(ari=port, agi=0, ledger=0, ami=0)), NOW, lambda: store, tuple)
    finally:
        server.close()
    assert conditions(found)["plan"] is condition


@pytest.mark.parametrize(
    ("banner", "condition"), [(b"Asterisk Call Manager/11.0.0\r\n", Condition.UP), (b"220 mail\r\n", Condition.DOWN), (b"", Condition.DOWN)]
)
def test_the_manager_is_known_by_its_greeting(tmp_path: Path, banner: bytes, condition: Condition) -> None:
    with manager(banner) as port:
        found = status.look(settings(tmp_path, ami=Ami(port=port)), NOW, lambda: NOTHING, tuple)
    assert conditions(found)["manager"] is condition


def test_what_is_not_booked_is_counted_over_all_ledger_files(tmp_path: Path) -> None:
    own = settings(tmp_path)
    own.ledger_path.parent.mkdir(parents=True)
    line = b'{"linkedid":"node1-1795302588.1"}\n'
    rotated, live = line * 3, line.replace(b".1", b".2") * 2
    own.ledger_path.with_name("ledger.json.1").write_bytes(rotated)
    own.ledger_path.with_name("ledger.json.2").write_bytes(rotated)  # a copy
    own.ledger_path.write_bytes(live)
    file_id = file_identity(rotated)
    assert file_id is not None
    store = Stored(**{field: getattr(NOTHING, field) for field in NOTHING.__struct_fields__} | {"positions": {file_id: len(line)}})
    found = status.look(own, NOW, lambda: store, tuple)
    assert (found.ledger.files, found.ledger.bytes_behind) == (2, 2 * len(line) + len(live))


def test_the_store_tells_of_nodes_shares_and_lines_set_aside(tmp_path: Path) -> None:
    installation = made(tmp_path)
    with installation.changing() as session:
        nodes.report_node(session, "node1", app_seen_at=NOW, plan_version=4)
        nodes.report_node(session, "node1", booker_seen_at=NOW, worker_seen_at=NOW, astdb_version=3)
        nodes.report_node(session, "node2", app_seen_at=NOW - timedelta(minutes=1), plan_version=2)
        ledger.insert_set_aside(session, "node1", [SetAside("f", 0, 9, "torn"), SetAside("f", 9, 9, "torn")], NOW - timedelta(hours=2))
        ledger.upsert_positions(session, "node1", [Position("f", "ledger", "ledger.json", 18, 2)], NOW)
    with installation.reading() as session:
        found = status.stored(session, "node1", NOW)
    assert [(node.name, node.silent, node.plan_version, node.astdb_version) for node in found.nodes] == [("node1", False, 4, 3), ("node2", True, 2, None)]
    assert [node.worker_seen_at for node in found.nodes] == [NOW, None]
    assert (found.positions, found.set_aside_today, found.last_hour, found.purge) == ({"f": 18}, 2, ZERO, NEVER)
    installation.engine.dispose()


def test_the_store_tells_when_it_was_purged_and_how_many_incidents_are_open(tmp_path: Path) -> None:
    installation = made(tmp_path)
    with installation.changing() as session:
        row: dict[str, Any] = {"token": 1, "as_of": NOW, "hold_version": 0, "receipts": 0, "rows": 0, "commitment_key": None}
        ends: list[dict[str, Any]] = [{"finished_at": NOW}, {"finished_at": NOW, "stopped": "volume"}, {"finished_at": None}]
        for number, changes in enumerate(ends):
            runs.begin_run(session, {**row, "id": str(number), "started_at": NOW - timedelta(minutes=3 - number), "stopped": None, **changes}, [])
        incidents.add(session, Incident(id="1", cause="volume", detail="5 rows", opened_at=NOW))
        incidents.add(session, Incident(id="2", cause="late", detail="5 rows", opened_at=NOW, closed_at=NOW))
    with installation.reading() as session:
        assert status.stored(session, "node1", NOW).purge == PurgeStanding(finished_at=NOW, incidents=1)
    installation.engine.dispose()


def made(home: Path) -> Installation:
    installation = Installation(None)
    installation.clock = SystemClock()
    installation.__dict__["settings"] = settings(home)
    migrate.upgrade(installation.engine)
    return installation


def test_the_command_prints_all_of_it_and_ends_with_69_when_something_is_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    installation = made(tmp_path)
    capsys.readouterr()
    assert cli.run(["node", "status", "--json"], installation=installation) == 69
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert set(found) == {"node", "at", "parts", "plan", "ledger", "routed_last_hour", "routed_last_day", "nodes", "purge", "tests", "configuration", "down"}
    assert found["down"]
    assert "is not well" in shown.err
    assert cli.run(["node", "status"], installation=installation) == 69
    page = capsys.readouterr().out
    assert "ledger not booked yet" in page
    assert re.search(r"^calls to 999 tested +nothing to test: no phone here calls *$", page, re.MULTILINE)
    installation.engine.dispose()


def test_a_configuration_that_is_stale_or_cannot_be_made_is_told_and_is_no_fault(tmp_path: Path) -> None:
    def refused() -> tuple[str, ...]:
        raise Misconfigured("2 phone(s) may call, and there are 0 way(s) to 999 instead of 2")

    def broken() -> tuple[str, ...]:
        raise OSError

    def look(read_stale: Callable[[], tuple[str, ...]]) -> ConfigurationStanding:
        found = status.look(settings(tmp_path), NOW, lambda: NOTHING, read_stale)
        assert "configuration" not in found.down
        return found.configuration

    assert look(tuple) == ConfigurationStanding(())
    assert look(lambda: ("geolocation.conf",)) == ConfigurationStanding(("geolocation.conf",))
    assert look(refused) == ConfigurationStanding(None, "2 phone(s) may call, and there are 0 way(s) to 999 instead of 2")
    assert look(broken) == ConfigurationStanding(None, "not known: OSError")
