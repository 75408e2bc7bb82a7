from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from ari_app.private.asterisk import PrivateAsterisk, read_directories
from ari_app.private.root import OLDEST, Root
from ari_app.private.scenario import Answers, Call
from ari_app.private.sipp import SippCalls, SippServer
from ringfence.errors import Conflict, Misconfigured, Unavailable
from tests.asterisk.bare import CARRIER, MOBILE, Bare

pytestmark = pytest.mark.asterisk


@pytest.fixture
def bare(asterisk_root: Root, asterisk_home: Path) -> Bare:
    return Bare(asterisk_root, Path(asterisk_home) / str(time.monotonic_ns()))


def test_it_starts_answers_and_stops(bare: Bare) -> None:
    asterisk = bare.asterisk
    with pytest.raises(Conflict):
        _ = asterisk.pid
    asterisk.start()
    try:
        asterisk.wait_ready()
        assert asterisk.root.version in asterisk.rx("core show version")
        assert tuple(map(int, asterisk.root.version.split("."))) >= OLDEST
        assert bare.ledger.parent.is_dir()
        with pytest.raises(Conflict, match="already"):
            asterisk.start()
        with pytest.raises(Conflict, match="already"):
            PrivateAsterisk(asterisk.root, asterisk.etc_dir, ari=asterisk.ari).start()
    finally:
        asterisk.stop()
    assert not asterisk.running
    with pytest.raises(Unavailable):
        asterisk.rx("core show version")


def test_it_starts_again_after_a_crash(bare: Bare) -> None:
    asterisk = bare.asterisk
    asterisk.start()
    asterisk.wait_ready()
    first = asterisk.pid
    asterisk.kill()
    assert (bare.home / "run" / "asterisk.ctl").exists()
    asterisk.start()
    try:
        asterisk.wait_ready()
        assert asterisk.pid != first
    finally:
        asterisk.stop()


def test_a_stopped_process_is_ended_by_force(bare: Bare) -> None:
    asterisk = bare.asterisk
    asterisk.start()
    asterisk.wait_ready()
    asterisk.signal(signal.SIGSTOP)
    asterisk.stop(timeout=0.5)
    assert not asterisk.running


def test_what_keeps_it_from_starting_is_said(bare: Bare) -> None:
    (bare.asterisk.etc_dir / "modules.conf").write_text("[modules]\nautoload = no\nrequire = res_there_is_no_such.so\n", encoding="utf-8")
    bare.asterisk.start()
    with pytest.raises(Unavailable, match="ended while it started"):
        bare.asterisk.wait_ready()


def test_one_that_never_gets_ready_is_given_up(bare: Bare) -> None:
    (bare.asterisk.etc_dir / "ari.conf").write_text("[general]\nenabled=no\n", encoding="utf-8")
    bare.asterisk.start()
    try:
        with pytest.raises(Unavailable, match="did not get ready"):
            bare.asterisk.wait_ready(timeout=2)
    finally:
        bare.asterisk.stop()


def test_every_directory_it_writes_to_must_be_set(tmp_path: Path) -> None:
    path = tmp_path / "asterisk.conf"
    with pytest.raises(Misconfigured, match="cannot read"):
        read_directories(path)
    path.write_text("[directories]\nastdbdir => /a ; where\nastspooldir = /b\n", encoding="utf-8")
    with pytest.raises(Misconfigured, match="astrundir"):
        read_directories(path)


def test_a_path_too_long_for_the_control_socket_is_refused(asterisk_root: Root, tmp_path: Path) -> None:
    bare = Bare(asterisk_root, tmp_path / ("long" * 30))
    with pytest.raises(Misconfigured, match="longer than"):
        bare.asterisk.start()


def test_calls_that_are_up_at_a_stop_are_in_the_ledger(bare: Bare) -> None:
    asterisk, folder = bare.asterisk, bare.home / "sipp"
    asterisk.start()
    asterisk.wait_ready()
    with SippServer(asterisk.root, folder, host=MOBILE, port=bare.mobile, scenario=Answers()):
        scenario = Call(hold_ms=None)
        calls = SippCalls(asterisk.root, folder, host=CARRIER, to=("127.0.0.1", bare.sip), numbers=["+447700900123"], scenario=scenario, count=3)
        deadline = time.monotonic() + 30
        while "6 active channels" not in asterisk.rx("core show channels count") and time.monotonic() < deadline:
            time.sleep(0.1)
        asterisk.stop()
        calls.wait().check()
    assert len(bare.ledger.read_text(encoding="utf-8").splitlines()) == 3
