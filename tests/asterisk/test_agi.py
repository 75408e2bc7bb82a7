"""The FastAGI route server, asked by a real Asterisk while no ARI app is there."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.orm import Session

from ari_app.cdr.journal import read_decided
from ari_app.private.node import wait_until
from ari_app.private.root import Root
from ringfence.clock import SystemClock
from ringfence.queries.accounts import set_account_state
from ringfence.queries.plan import current_version
from ringfence.values import AccountState
from tests.asterisk.rendered import CARRIER, Rendered, sip_request

pytestmark = pytest.mark.asterisk

_SERVE = """
import sys, msgspec
from ari_app.agi.main import run
from ringfence.settings import Settings
run(msgspec.json.decode(sys.stdin.buffer.read(), type=Settings))
"""


@pytest.fixture(scope="module")
def node(asterisk_root: Root, asterisk_home: Path) -> Iterator[Rendered]:
    rendered = Rendered(asterisk_root, asterisk_home)
    rendered.start()
    yield rendered
    rendered.stop()


@pytest.fixture
def route_server(node: Rendered) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    process = subprocess.Popen([sys.executable, "-c", _SERVE], stdin=subprocess.PIPE, cwd=Path(__file__).parents[2], env=environment)
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(node.settings))
    process.stdin.close()
    asyncio.run(_answers(node.settings.agi.port))
    yield process
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


async def _answers(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def test_asterisk_takes_the_answer_and_the_journal_has_it(node: Rendered, route_server: subprocess.Popen[bytes]) -> None:
    assert route_server.poll() is None
    answer = sip_request("INVITE", CARRIER, node.settings.asterisk.sip_port, user="+442079460123", to="+442079460001")
    assert answer == "404 Not Found"
    (decided,) = read_decided(node.settings.journal_dir)
    assert (decided.by, decided.n, decided.rf.split(":")[0], decided.rf.split(":")[4]) == ("agi", 1, "agi", "unknown_number")
    assert decided.facts.startswith("in:+442079460001:+442079460123:")
    wait_until(node.settings.ledger_path.is_file, 10, "the ledger")  # written after the answer
    wait_until(lambda: decided.rf in node.settings.ledger_path.read_text(encoding="utf-8"), 10, "the call's record")
    ledger = node.settings.ledger_path.read_text(encoding="utf-8")
    assert f"|{decided.rf}|" in ledger
    assert f'"linkedid":"{decided.id}"' in ledger.replace(": ", ":")


def test_a_change_of_the_plan_is_followed(node: Rendered, route_server: subprocess.Popen[bytes]) -> None:
    with Session(node.engine) as session:
        set_account_state(session, SystemClock(), "ACME-1", AccountState.SUSPENDED)
        session.commit()
        changed = current_version(session)
    assert route_server.poll() is None

    def decided_by() -> int:
        sip_request("INVITE", CARRIER, node.settings.asterisk.sip_port, user="+442079460123", to="+442079460002")
        *_, decided = read_decided(node.settings.journal_dir)
        return int(decided.rf.split(":")[1])

    wait_until(lambda: decided_by() == changed, 10, "a decision by the changed plan")
