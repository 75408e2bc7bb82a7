"""What must hold after all that the tests of calls did on the shared node: nothing is missing from its records, nothing told in its logs."""

from __future__ import annotations

import re

import pytest

from ari_app.private.node import wait_until
from ari_app.private.scenario import Answers
from ringfence.models import SetAsideLine
from tests.asterisk.stage import Stage

pytestmark = pytest.mark.asterisk

DRAMA = re.compile(rb"(?:2079460|1174960|7700900)[0-9]{3}|5603101234|9098790001")


@pytest.fixture(scope="module")
def used(stage: Stage) -> Stage:
    """The node, after at least one call."""
    did = stage.did([stage.numbers.mobile()])
    with stage.behind(first=Answers()):
        stage.call(did, caller=stage.numbers.caller())
    stage.cdr(did=did).shows(disposition="answered")
    return stage


def test_what_was_decided_is_in_the_ledger_and_in_the_store(used: Stage) -> None:
    wait_until(lambda: "0 active channels" in used.node.rx("core show channels"), 35, "the last channel to end")

    def settled() -> bool:
        return all(day["open"] == 0 for day in used.read("cdr", "reconcile")["days"])

    wait_until(settled, 30, "the last call to be booked")
    report = used.read("cdr", "reconcile")
    assert report["differences"] == []
    assert sum(day["store"] for day in report["days"]) == sum(day["ledger"] for day in report["days"]) > 0


def test_no_line_was_set_aside(used: Stage) -> None:
    assert used.rows(SetAsideLine) == []


def test_no_log_tells_a_number(used: Stage) -> None:
    home = used.node.home
    logs = [*home.glob("run/*.log"), home / "console", *(path for path in (home / "asterisk" / "log").glob("*") if path.is_file())]
    names = {path.name for path in logs}
    assert {"asterisk.log", "ari.log", "agi.log", "ami.log", "ledger.log", "console", "messages", "security"} <= names
    told = {path.name: sorted({match.group() for match in DRAMA.finditer(path.read_bytes())}) for path in logs}
    assert {name: numbers for name, numbers in told.items() if numbers} == {}
