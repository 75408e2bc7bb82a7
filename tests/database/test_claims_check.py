"""How promises are judged from their checks, and the command `claims check`."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

import cli
from retention.checks import CHECKS
from retention.claims.checking import Context, Finding, Status, check_claims, worst
from retention.claims.register import checks, claims, disagreements
from ringfence.clock import FixedClock
from ringfence.commands.installation import Installation
from ringfence.errors import Conflict, NotFound
from ringfence.queries.asked import recording
from ringfence.session import make_sessions
from ringfence.settings import Settings
from tests.database.claiming import checked, orderly
from tests.database.purging import NOW


class Here(Installation):
    """An installation on a test's store."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(None)
        self.__dict__["settings"] = settings
        self.clock = FixedClock(NOW)


@pytest.fixture
def here(store_settings: Settings) -> Iterator[Here]:
    installation = Here(orderly(store_settings))
    yield installation
    installation.engine.dispose()


def test_the_table_says_built_of_exactly_what_can_run() -> None:
    assert disagreements(checks(), CHECKS) == []


def test_a_promise_is_as_good_as_its_worst_check() -> None:
    order = [Status.FAIL, Status.NOT_BUILT, Status.NOT_CHECKABLE, Status.PASS]
    for place, status in enumerate(order):
        assert worst(order[place:][::-1]) is status


def test_what_is_not_built_never_passes(engine: Engine, store_settings: Settings) -> None:
    for result in checked(engine, store_settings):
        for each in result.evidence:
            assert (each.status is Status.NOT_BUILT) >= (each.check not in CHECKS)
        if any(each.check not in CHECKS for each in result.evidence):
            assert result.status in {Status.NOT_BUILT, Status.FAIL}


def test_every_promise_has_its_evidence_in_the_order_of_the_register(engine: Engine, store_settings: Settings) -> None:
    results = checked(engine, store_settings)
    assert [result.id for result in results] == [claim.id for claim in claims()]
    assert all(result.evidence for result in results)
    assert [result.id for result in checked(engine, store_settings, provider="voipoffice")] == [each.id for each in claims() if each.provider == "voipoffice"]
    with pytest.raises(NotFound, match="nobody"):
        checked(engine, store_settings, provider="nobody")


def test_a_check_that_raises_fails_and_lets_the_next_have_its_turn(engine: Engine, store_settings: Settings) -> None:
    def broken(context: Context) -> Finding:
        context.session.execute(text("SELECT nothing FROM nowhere"))
        raise AssertionError

    def refused(_context: Context) -> Finding:
        raise Conflict("it is so")

    def asks(context: Context) -> Finding:
        return Finding(Status.PASS, context.session.execute(text("SELECT 1 + :one"), {"one": 1}).scalar_one())

    clock, implemented = FixedClock(NOW), {"sources_named": broken, "legal_basis_named": refused, "every_column_ends": asks}
    with make_sessions(engine)() as session, recording(session, clock) as asked:
        found = {
            each.check: each for result in check_claims(Context(session, store_settings, clock, asked), implemented=implemented) for each in result.evidence
        }
    assert (found["sources_named"].status, found["sources_named"].reason) == (
        Status.FAIL,
        "OperationalError" if engine.dialect.name == "sqlite" else "ProgrammingError",
    )
    assert (found["legal_basis_named"].status, found["legal_basis_named"].reason) == (Status.FAIL, "Conflict: it is so")
    passed = found["every_column_ends"]
    assert (passed.status, passed.result, passed.at) == (Status.PASS, 2, NOW)
    assert "SELECT 1 +" in passed.query
    assert list(passed.parameters.values()) == [1]


def test_the_command_ends_with_3_when_a_promise_is_not_kept(here: Here, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["claims", "check", "--provider", "numbergroup-network", "--json"], installation=here) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {each["status"] for each in shown} <= {"pass", "not_built", "not_checkable"}
    assert all({"id", "provider", "status", "evidence"} <= set(each) for each in shown)
    kept = next(each for each in shown if each["id"] == "NN-8")
    assert (kept["status"], kept["provider"], kept["evidence"][0]["check"], kept["evidence"][0]["at"]) == (
        "pass",
        "numbergroup-network",
        "every_column_ends",
        "2026-11-20T03:30:00Z",
    )
    (here.settings.home_path / "notes.txt").touch()
    assert cli.run(["claims", "check", "--provider", "numbergroup-network"], installation=here) == 3
    printed = capsys.readouterr()
    assert "1 promise(s) are not kept: NN-8" in printed.err
    assert "every_column_ends: 1 place(s) without a class or an end" in printed.out
