from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ari_app import supervisor as module
from ari_app.supervisor import Service, Supervisor
from ringfence.clock import SystemClock
from ringfence.errors import Unavailable

_BEGIN = "import os,signal,socket,sys,time\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM);s.connect(os.environ['NOTIFY_SOCKET'])\n"
_BEATS = "s.send(b'READY=1')\nwhile True:\n s.send(b'WATCHDOG=1');time.sleep(0.02)\n"
STEADY = _BEGIN + _BEATS
NOTES_ITS_END = _BEGIN + "def end(*_):\n open(sys.argv[1],'a').write(sys.argv[2]+'\\n');sys.exit(0)\nsignal.signal(signal.SIGTERM,end)\n" + _BEATS
IGNORES_TERM = _BEGIN + "signal.signal(signal.SIGTERM,signal.SIG_IGN)\n" + _BEATS
NEVER_READY = _BEGIN + "print('still loading',flush=True)\nwhile True:\n s.send(b'WATCHDOG=1');time.sleep(0.02)\n"
SAYS_NOTHING = "import time\ntime.sleep(60)\n"


def service(name: str, code: str, *arguments: str, **options: Any) -> Service:
    return Service(name, (sys.executable, "-I", "-S", "-c", code, *arguments), **options)


def run(folder: Path, services: list[Service], story: Callable[[Supervisor], Coroutine[Any, Any, None]]) -> Supervisor:
    async def whole() -> Supervisor:
        supervisor = Supervisor(services, folder, SystemClock())
        try:
            await story(supervisor)
        finally:
            await supervisor.stop()
        return supervisor

    return asyncio.run(whole())


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  what it waits for is another process's
            await asyncio.sleep(0.01)


def pid(folder: Path, name: str = "a") -> int:
    try:
        return int((folder / f"{name}.pid").read_text())
    except (OSError, ValueError):
        return 0


def has_successor(folder: Path, first: int) -> bool:
    return pid(folder) not in {0, first}


def is_gone(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    return False


def test_one_that_is_killed_is_started_again(tmp_path: Path) -> None:
    started: list[float] = []

    async def story(supervisor: Supervisor) -> None:
        await supervisor.start()
        for count in (1, 2):
            first = pid(tmp_path)
            os.kill(first, signal.SIGKILL)
            await until(partial(has_successor, tmp_path, first))
            assert supervisor.restarts == {"a": count}
        assert not supervisor.failed.is_set()

    run(tmp_path, [service("a", STEADY, before=lambda: started.append(time.monotonic()))], story)
    assert len(started) == 3
    assert not (tmp_path / "a.pid").exists()


def test_one_that_is_stopped_is_killed_when_its_heartbeat_is_missed(tmp_path: Path) -> None:
    async def story(supervisor: Supervisor) -> None:
        await supervisor.start()
        first = pid(tmp_path)
        os.kill(first, signal.SIGSTOP)
        began = time.monotonic()
        await until(lambda: is_gone(first))
        assert 0.3 < time.monotonic() - began < 10
        await until(lambda: pid(tmp_path) not in {0, first})

    run(tmp_path, [service("a", STEADY, watchdog=0.5)], story)


def test_one_is_not_blamed_for_time_in_which_the_supervisor_stood_still_too(tmp_path: Path) -> None:
    """As when a machine is suspended: whoever wakes first must not take the others for stuck."""

    async def story(supervisor: Supervisor) -> None:
        await supervisor.start()
        first = pid(tmp_path)
        os.kill(first, signal.SIGSTOP)
        time.sleep(1.5)  # noqa: ASYNC251  the loop, and so the supervisor, stands still
        await asyncio.sleep(0.2)
        os.kill(first, signal.SIGCONT)
        await asyncio.sleep(0.5)
        assert (pid(tmp_path), supervisor.restarts) == (first, {"a": 0})

    run(tmp_path, [service("a", STEADY, watchdog=1.0)], story)


def test_a_heartbeat_left_by_the_dead_does_not_start_the_watch_over_the_living(tmp_path: Path) -> None:
    """The next process may take longer to load than the watchdog allows between heartbeats."""
    slow = _BEGIN + "time.sleep(1.6 if os.path.exists(sys.argv[1]) else 0)\nopen(sys.argv[1],'w').close()\n" + _BEATS

    async def story(supervisor: Supervisor) -> None:
        await supervisor.start()
        first = pid(tmp_path)
        os.kill(first, signal.SIGSTOP)
        for _ in range(2):  # what it sent while nobody listened
            _send(tmp_path / "a.notify", b"WATCHDOG=1")
        os.kill(first, signal.SIGKILL)
        _send(tmp_path / "a.notify", b"WATCHDOG=1")
        await until(lambda: pid(tmp_path) not in {0, first})
        second = pid(tmp_path)
        await asyncio.sleep(2.2)
        assert pid(tmp_path) == second
        assert supervisor.restarts == {"a": 1}

    run(tmp_path, [service("a", slow, str(tmp_path / "ran"), watchdog=1.0)], story)


def test_one_that_hangs_before_its_first_heartbeat_is_killed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_START_WITHIN", 0.5)

    async def story(supervisor: Supervisor) -> None:
        with pytest.raises(Unavailable):
            await supervisor.start(ready_within=0.3)
        await until(lambda: pid(tmp_path))
        first = pid(tmp_path)
        await until(lambda: pid(tmp_path) not in {0, first})
        assert is_gone(first)

    run(tmp_path, [service("a", SAYS_NOTHING, watchdog=0.2)], story)


@pytest.mark.parametrize("code", [2, 5, 78])
def test_an_end_that_starting_again_would_not_mend_is_final_and_ends_no_other(tmp_path: Path, code: int) -> None:
    async def story(supervisor: Supervisor) -> None:
        await supervisor.start()
        first, other = pid(tmp_path), pid(tmp_path, "b")
        (tmp_path / "go").touch()
        await until(lambda: is_gone(first))
        await asyncio.sleep(0.4)
        assert supervisor.restarts == {"a": 0, "b": 0}
        assert not supervisor.failed.is_set()
        assert not is_gone(other)

    waits = _BEGIN + "s.send(b'READY=1')\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.02)\nsys.exit(int(sys.argv[2]))"
    services = [service("a", waits, str(tmp_path / "go"), str(code)), service("b", waits, str(tmp_path / "never"), "0")]
    run(tmp_path, services, story)


def test_a_final_end_before_it_is_ready_fails_the_start_at_once_with_its_last_words(tmp_path: Path) -> None:
    async def story(supervisor: Supervisor) -> None:
        with pytest.raises(Unavailable, match="the port is taken"):
            await supervisor.start(ready_within=20)

    began = time.monotonic()
    run(tmp_path, [service("a", "import sys\nprint('the port is taken')\nsys.exit(5)")], story)
    assert time.monotonic() - began < 15


def test_any_other_end_is_not_final(tmp_path: Path) -> None:
    async def story(supervisor: Supervisor) -> None:
        start = asyncio.create_task(supervisor.start(ready_within=30))
        await until(lambda: supervisor.restarts["a"] >= 2)
        assert not supervisor.failed.is_set()
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)

    run(tmp_path, [service("a", "import sys\nsys.exit(1)")], story)


def test_not_ready_in_time(tmp_path: Path) -> None:
    async def story(supervisor: Supervisor) -> None:
        with pytest.raises(Unavailable, match="still loading") as caught:
            await supervisor.start(ready_within=1.5)
        assert str(tmp_path / "a.log") in caught.value.hint

    run(tmp_path, [service("a", NEVER_READY, watchdog=1.0)], story)


def test_they_stop_in_the_order_given_each_before_the_next(tmp_path: Path) -> None:
    notes = tmp_path / "notes"

    async def story(supervisor: Supervisor) -> None:
        await supervisor.start()

    names = ["asterisk", "ari", "agi", "ledger"]
    run(tmp_path, [service(name, NOTES_ITS_END, str(notes), name) for name in names], story)
    assert notes.read_text().split() == names


def test_stopping_also_ends_one_that_is_stopped_or_deaf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STOP_WITHIN", 0.5)
    pids: list[int] = []

    async def story(supervisor: Supervisor) -> None:
        await supervisor.start()
        pids.extend(pid(tmp_path, name) for name in "ab")
        os.kill(pids[0], signal.SIGSTOP)

    run(tmp_path, [service("a", STEADY), service("b", IGNORES_TERM)], story)
    assert all(is_gone(number) for number in pids)


def test_what_does_not_notify_counts_as_ready(tmp_path: Path) -> None:
    async def story(supervisor: Supervisor) -> None:
        await asyncio.wait_for(supervisor.start(), 20)

    run(tmp_path, [service("a", SAYS_NOTHING, notifies=False)], story)


def _send(path: Path, message: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(message, str(path))
