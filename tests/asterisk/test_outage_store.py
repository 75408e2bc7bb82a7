"""PostgreSQL is stopped for half a minute under load, and in the middle of it the app and the route server die too."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ari_app.private.node import wait_until
from ari_app.private.root import Root
from ringfence.values import Disposition, RoutedBy
from tests.asterisk.outage import Site
from tests.postgres import PostgresServer

pytestmark = pytest.mark.asterisk


@pytest.fixture
def site(asterisk_root: Root, asterisk_home: Path, postgres_server: PostgresServer) -> Iterator[Site]:
    site = Site(asterisk_root, asterisk_home, database_url=postgres_server.fresh_database("outage"))
    site.provision()
    try:
        yield site.start()
    finally:
        postgres_server.start()
        site.stop()


def test_half_a_minute_without_the_store(site: Site, postgres_server: PostgresServer) -> None:
    site.place(40, 40).wait().check()
    assert len(site.check()) == 40
    postgres_server.stop()
    stopped = time.monotonic()
    site.place(480, 32).wait().check()  # the plan is in memory
    wait_until(lambda: not site.is_ready("ledger"), 20, "the booker to notice")

    dead = {service: site.kill(service) for service in ("ari", "agi", "ledger")}
    wait_until(lambda: all(site.node.pid(service) != pid for service, pid in dead.items()), 60, "the next processes")
    site.place(200, 32).wait().check()  # they have no plan, so AstDB is all there is
    time.sleep(max(0.0, stopped + 30 - time.monotonic()))
    postgres_server.start()

    wait_until(lambda: all(site.is_ready(service) for service in dead), 60, "every part")
    site.place(40, 40).wait().check()
    calls = site.check()
    assert Counter(call.routed_by for call in calls) == {RoutedBy.ARI: 520, RoutedBy.ASTDB: 200}
    assert {call.disposition for call in calls} == {Disposition.ANSWERED}
    site.reconciled()
