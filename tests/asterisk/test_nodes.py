"""Two nodes share one PostgreSQL: each books its own calls, both learn of a change, and one does not notice that the other dies."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ari_app.private.node import wait_until
from ari_app.private.root import Root
from ari_app.private.scenario import Call
from ari_app.private.sipp import place_call
from ringfence.values import Disposition
from tests.asterisk.commands import run_command
from tests.asterisk.outage import CALLERS, CARRIER, HOLD, PLAIN, Site, Traffic, is_gone, seconds_until
from tests.postgres import PostgresServer

pytestmark = pytest.mark.asterisk

BUSY = 2.0  # seconds that a busy machine may add to a promised time
SERVICES = ("asterisk", "ari", "agi", "ami", "ledger", "worker")


@pytest.fixture(scope="module")
def sites(asterisk_root: Root, asterisk_home: Path, postgres_server: PostgresServer) -> Iterator[tuple[Site, Site]]:
    url, traffic = postgres_server.fresh_database("nodes"), Traffic()
    one = Site(asterisk_root, asterisk_home / "1", traffic, name="north", database_url=url, sip_host="127.0.0.1", rtp_start=12000, rtp_end=15998)
    two = Site(asterisk_root, asterisk_home / "2", traffic, name="south", database_url=url, sip_host="127.0.0.11", rtp_start=16000, rtp_end=19998)
    one.provision()
    two.mobile_port = one.mobile_port
    try:
        one.start()
        two.node.start()
        yield one, two
    finally:
        two.stop()
        one.stop()


def test_calls_to_both_are_booked_once(sites: tuple[Site, Site]) -> None:
    one, two = sites
    loads = [site.place(120, 30) for site in sites]
    for load in loads:
        load.wait().check()
    calls = one.check()
    assert Counter(call.node for call in calls) == {"north": 120, "south": 120}
    assert all(call.call_id.startswith(f"{call.node}-") for call in calls)
    for site in sites:
        days = site.reconciled()["days"]
        assert sum(day["store"] for day in days) == 120
        assert {day["node"] for day in days} == {site.settings.node}
    two.check()


def test_a_change_made_on_one_routes_on_the_other_within_a_second(sites: tuple[Site, Site]) -> None:
    one, two = sites
    number = "+442079460555"
    run_command(one.node, "number", "add", number, "--account", PLAIN)
    two.await_plan()
    before = two.metric("ari", "ringfence_plan_version")
    run_command(one.node, "number", "forward", number, "--to", "mobile:+447700900555")
    took = seconds_until(lambda: two.metric("ari", "ringfence_plan_version") > before, 20, "the change")
    assert took < 1 + BUSY
    two.traffic.placed.append((number, CALLERS[0]))
    host, _, port = two.node.sip_address.partition(":")
    place_call(two.root, two.home / "sipp", host=CARRIER, to=(host, int(port)), number=number, scenario=HOLD, caller=CALLERS[0]).check()
    call = next(call for call in two.check() if call.called == number)
    assert (call.node, call.forwarded_to, call.disposition) == ("south", "+447700900555", Disposition.ANSWERED)


def test_one_dies_and_the_other_does_not_notice(sites: tuple[Site, Site]) -> None:
    one, two = sites
    one.check()
    up = two.place(20, 40, Call(hold_ms=60_000))
    wait_until(lambda: two.channels_up() == 40, 30, "the calls on the node that will die")
    before = {service: one.node.pid(service) for service in SERVICES}
    load = one.place(160, 40)
    time.sleep(0.5)
    kill_all(two)
    load.wait().check()
    up.kill()
    assert {service: one.node.pid(service) for service in SERVICES} == before
    assert all(one.is_ready(service) for service in ("ari", "agi", "ami", "ledger"))
    assert one.metric("ari", "ringfence_ari_reconnects_total") == 0

    two.node.start()
    two.place(40, 40).wait().check()
    ended = Counter((call.node, call.disposition) for call in one.check())
    assert ended == {("north", Disposition.ANSWERED): 160, ("south", Disposition.LOST): 20, ("south", Disposition.ANSWERED): 40}
    for site in sites:
        site.reconciled()


def kill_all(site: Site) -> None:
    """End a node as a power cut does, its supervisor first."""
    process = site.node._process
    assert process is not None
    pids = [site.node.pid(service) for service in SERVICES]
    process.kill()
    process.wait()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(is_gone(pid) for pid in pids), 20, "the end of every process")
    site.node._process = None
