"""The booker dies, the store is locked or full, the ledger is rotated or spoilt, Asterisk dies: every call is booked once all the same."""

from __future__ import annotations

import json
import os
import random
import resource
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from ari_app.private.node import wait_until
from ari_app.private.root import Root
from ari_app.private.scenario import Call
from ringfence.clock import SystemClock
from ringfence.queries.ledger import SetAside, list_set_aside
from ringfence.session import make_engine
from ringfence.values import Disposition, HungUpBy, RoutedBy
from tests.asterisk.outage import CALLERS, DIDS, Proxy, Site, is_gone, locked, through_proxy

pytestmark = pytest.mark.asterisk


@pytest.fixture(scope="module")
def site(asterisk_root: Root, asterisk_home: Path) -> Iterator[Site]:
    site = Site(asterisk_root, asterisk_home)
    site.provision()
    try:
        yield site.start()
    finally:
        site.stop()


@pytest.fixture(scope="module")
def proxy(site: Site) -> Iterator[Proxy]:
    proxy = through_proxy(site)
    yield proxy
    proxy.close()


def set_aside(site: Site) -> list[SetAside]:
    engine = make_engine(site.settings)
    try:
        with Session(engine) as session:
            return list_set_aside(session, site.settings.node, SystemClock().now() - timedelta(hours=1))
    finally:
        engine.dispose()


def test_the_booker_is_killed_at_random_moments(site: Site) -> None:
    load = site.place(240, 40)
    chance = random.Random(7)  # noqa: S311
    kills = 0
    while load.running() or kills < 2:
        time.sleep(chance.uniform(0.05, 0.9))
        pid = site.kill("ledger")
        wait_until(partial(site.succeeded, "ledger", pid), 60, "the next booker")
        kills += 1
    load.wait().check()
    assert len(site.check()) == 240
    site.reconciled()


def test_the_store_is_locked_by_somebody(site: Site) -> None:
    load = site.place(160, 40)
    time.sleep(0.5)
    with locked(site.node.home / "ringfence.db"):
        begin = len(site.calls())
        time.sleep(3)
        assert len(site.calls()) == begin
    load.wait().check()
    assert {call.routed_by for call in site.check()} == {RoutedBy.ARI}


def test_the_stores_disk_is_full_and_has_room_again(site: Site) -> None:
    """RLIMIT_FSIZE stands in for a full disk, which only root can make: no file of the booker can grow, each write fails and SQLite sees an I/O error.

    Not seen this way: a disk full for Asterisk too, whose ledger would then stop; that loses records on any system.
    """
    pid = site.node.pid("ledger")
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    load = site.place(160, 40)
    time.sleep(0.5)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        wait_until(lambda: not site.is_ready("ledger"), 30, "the booker to notice")
        begin = len(site.calls())
        load.wait().check()
        assert len(site.calls()) == begin
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
    assert {call.routed_by for call in site.check()} == {RoutedBy.ARI}
    assert site.node.pid("ledger") == pid  # it has waited; nobody had to start it again
    assert site.metric("ledger", "ringfence_ledger_outages_total") >= 1
    site.reconciled()


def test_the_ledger_is_rotated_twice(site: Site) -> None:
    ledger = site.settings.ledger_path
    load = site.place(160, 40)
    for suffix in ("1", "20261121"):
        time.sleep(1.3)
        ledger.rename(ledger.with_name(f"ledger.json.{suffix}"))
        wait_until(ledger.exists, 20, "Asterisk's next ledger")
    load.wait().check()
    assert len(site.check()) == 160
    site.reconciled()


def test_lines_that_are_none_are_set_aside_and_half_a_line_waits(site: Site) -> None:
    ledger = site.settings.ledger_path
    before = {(line.file_id, line.offset) for line in set_aside(site)}
    poison = [
        b'{"linkedid":"node1-1790000000.1","seq\n',
        b"\x00\xff\xfe not a record at all \x1b[2J\n",
        b'{"linkedid":"node1-1790000000.1","sequence":1,"dstchannel":"","start":1.0,"answer":0,"end":2.0,"disposition":"ANSWERED","rf_leg":"","rf_end":"x"}\n',
    ]
    load = site.place(120, 40)
    for line in poison:
        time.sleep(0.7)
        append(ledger, line)
    load.wait().check()
    assert len(site.check()) == 120
    fresh = [line for line in set_aside(site) if (line.file_id, line.offset) not in before]
    assert sorted(line.length for line in fresh) == sorted(len(line) - 1 for line in poison)
    assert not any("1790000000" in line.reason or "\x1b" in line.reason for line in fresh)

    did, caller = site.traffic.take(1)[0]
    line = one_more_call(ledger, did, caller)
    append(ledger, line[:100])
    time.sleep(1)
    assert len(site.calls()) == len(site.traffic.placed) - 1
    append(ledger, line[100:])
    assert len(site.check()) == 1
    assert len(set_aside(site)) == len(before) + len(poison)


def test_asterisk_dies_with_calls_up_on_every_route(site: Site, proxy: Proxy) -> None:
    up, before = Call(hold_ms=60_000), len(site.calls())
    loads = [site.place(20, 40, up)]
    wait_until(lambda: site.channels_up() == 40, 30, "the calls decided by the app")
    proxy.refuse()
    wait_until(lambda: not site.is_ready("ari"), 20, "the app without a socket")
    loads.append(site.place(20, 40, up))
    wait_until(lambda: site.channels_up() == 80, 30, "the calls decided by the route server")
    with site.without_agi():
        loads.append(site.place(20, 40, up))
        wait_until(lambda: site.channels_up() == 120, 30, "the calls routed by AstDB")
    proxy.listen()
    wait_until(lambda: site.is_ready("ari"), 30, "the app")
    finished = site.place(40, 40)
    finished.wait().check()
    wait_until(lambda: len(site.calls()) == before + 40, 30, "the booking of those that ended")

    pid = site.kill("asterisk")
    wait_until(lambda: is_gone(pid) and site.is_ready("ari") and site.is_ready("ami"), 60, "the next Asterisk")
    for load in loads:
        load.kill()
    died = SystemClock().now()
    site.place(40, 40).wait().check()
    calls = site.check()
    lost = [call for call in calls if call.disposition is Disposition.LOST]
    assert Counter(call.routed_by for call in lost) == {RoutedBy.ARI: 20, RoutedBy.AGI: 20, RoutedBy.ASTDB: 20}
    for call in lost:
        assert call.end_estimated
        assert call.hung_up_by is HungUpBy.SYSTEM
        assert call.started_at < call.ended_at <= died
    rest = [call for call in calls if call.disposition is not Disposition.LOST]
    assert {(call.disposition, call.end_estimated) for call in rest} == {(Disposition.ANSWERED, False)}
    assert len(rest) == 80
    site.reconciled()


def append(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        assert os.write(descriptor, data) == len(data)
    finally:
        os.close(descriptor)


def one_more_call(ledger: Path, did: str, caller: str) -> bytes:
    """Return the last line of a call that was not answered, made from one that was, under another id and caller."""
    known = [json.loads(line) for line in ledger.read_bytes().splitlines() if line.startswith(b"{") and line.count(b'":') == 9 and b"\\u" not in line]
    record = [line for line in known if str(line.get("rf_end", "")).startswith("in:")][-1]
    facts = record["rf_end"].split(":")
    assert (facts[1] in DIDS, facts[2] in CALLERS) == (True, True)
    head, _, sequence = record["linkedid"].partition(".")
    ending = record["rf_end"].replace(facts[1], did, 1).replace(facts[2], caller, 1).replace("|ari:", "|astdb:", 1)  # nobody journalled it
    return json.dumps(record | {"linkedid": f"{head}.{int(sequence) + 100_000}", "rf_end": ending}, separators=(",", ":")).encode() + b"\n"
