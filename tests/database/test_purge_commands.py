"""`retention plan|run|receipts`, `hold` and `incident` as an operator uses them, on both engines."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from retention import incidents
from retention.calendar import local_date
from retention.purge.executor import Purge
from retention.purge.outcome import Outcome, Report, Result
from retention.purge.progress import Teller
from ringfence.clock import SystemClock
from ringfence.queries import accounts, audit, leases
from ringfence.settings import Settings
from tests.database.installed import Commands, Here
from tests.database.purging import CALLER, DID, book, booking, scalar, spread

NOW = SystemClock().now()
OLD = NOW - timedelta(days=400)
REVIEW = (local_date(NOW) + timedelta(days=90)).isoformat()


@pytest.fixture
def ringfence(store_settings: Settings, sessions: sessionmaker[Session], capsys: pytest.CaptureFixture[str]) -> Iterator[Commands]:
    """A command line on a store with two accounts."""
    here = Here(store_settings)
    with sessions.begin() as session:
        for ref in ("ACME", "BOLT"):
            accounts.add_account(session, here.clock, ref, f"{ref} Ltd", None)
    yield Commands(here, capsys)
    here.engine.dispose()


def due(answer_data: dict[str, list[dict[str, object]]], data_class: str = "call_log") -> tuple[object, object]:
    (item,) = [item for item in answer_data["items"] if item["data_class"] == data_class]
    return item["due"], item["held"]


def test_plan_then_run_then_receipts(ringfence: Commands, engine: Engine) -> None:
    book(engine, [*spread(OLD, 5, 4), *spread(NOW - timedelta(days=20), 2, 4)])
    plan = ringfence.ok("retention", "plan", "--json").data
    assert (due(plan), plan["rows"]) == ((20, 0), 20)
    assert "20" in ringfence.ok("retention", "plan").out
    dry = ringfence.ok("retention", "run")
    assert (scalar(engine, "SELECT count(*) FROM call"), "--commit" in dry.err) == (28, True)
    report = ringfence.ok("retention", "run", "--commit", "--json").data
    assert (report["rows"], report["stopped"], scalar(engine, "SELECT count(*) FROM call")) == (40, "", 8)
    receipts = ringfence.ok("retention", "receipts", "--run", report["run"], "--json").data
    assert {(each["table"], each["rows"]) for each in receipts} == {("call", 20), ("leg", 20)}
    assert ringfence.ok("retention", "receipts", "--class", "billing", "--json").data == []
    assert len(ringfence.ok("retention", "receipts", "--limit", "1", "--json").data) == 1
    again = ringfence.ok("retention", "run", "--commit")
    assert "0 row(s) went" in again.out


def test_a_log_file_that_is_due_is_counted_in_the_plan(ringfence: Commands) -> None:
    folder = ringfence.here.settings.home_path / "run"
    folder.mkdir()
    old = folder / "booker.log.2020-01-01"
    old.write_text("old\n")
    os.utime(old, (OLD.timestamp(), OLD.timestamp()))
    plan = ringfence.ok("retention", "plan", "--class", "log", "--json").data
    assert (due(plan, "log"), plan["items"][0]["unit"], plan["rows"]) == ((1, 0), "files", 0)
    ringfence.ok("retention", "run", "--commit")
    assert list(folder.iterdir()) == []


def test_a_brake_stops_the_run_until_a_person_confirms(ringfence: Commands, engine: Engine) -> None:
    book(engine, [*spread(OLD, 5, 4), booking(900, NOW + timedelta(hours=2))])
    stopped = ringfence("retention", "run", "--commit")
    assert (stopped.code, "future_rows" in stopped.err, scalar(engine, "SELECT count(*) FROM call")) == (3, True, 21)
    opened = ringfence.ok("incident", "list", "--json").data
    assert {(each["cause"], each["data_class"]) for each in opened} == {("future_rows", "call_log"), ("future_rows", "billing")}
    shown = ringfence.ok("incident", "show", opened[0]["id"], "--json").data
    assert shown == opened[0]
    for each in opened:
        ringfence.ok("incident", "confirm", each["id"], "--operator", "Kim")
    assert ringfence("incident", "confirm", opened[0]["id"]).code == 5
    assert ringfence("incident", "close", "0" * 31 + "a", "--outcome", "mended").code == 4
    ringfence.ok("retention", "run", "--commit")
    assert scalar(engine, "SELECT count(*) FROM call") == 1
    (one, _) = ringfence.ok("incident", "list", "--all", "--json").data
    assert (one["outcome"], one["closed_by"]) == ("confirmed", "kim")
    assert "no incident is open" in ringfence.ok("incident", "list").err


def test_only_what_a_brake_stopped_can_be_confirmed(ringfence: Commands, sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        made = incidents.raise_incident(session, ringfence.here.clock, "class_failed", "call_log: OSError", data_class="call_log").id
    assert ringfence("incident", "confirm", made).code == 3
    ringfence.ok("incident", "close", made, "--outcome", "mended")
    with sessions() as session:
        (entry,) = audit.newest_entries(session, 1)
        assert (entry.kind, entry.actor) == ("incident.closed", "operator")


def test_who_has_the_lease_is_left_alone(ringfence: Commands, sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        assert leases.take(session, leases.PURGE, "worker", NOW, timedelta(hours=1)) is not None
    assert ringfence("retention", "run", "--commit").code == 5


@pytest.mark.parametrize(("outcomes", "code"), [(("done", "contended"), 69), (("contended", "failed"), 1), (("held", "nothing_due"), 0)])
def test_the_exit_code_says_what_became_of_the_classes(ringfence: Commands, monkeypatch: pytest.MonkeyPatch, outcomes: tuple[str, ...], code: int) -> None:
    results = tuple(Result(f"class_{number}", "recommended", Outcome(outcome), reason="locked") for number, outcome in enumerate(outcomes))
    monkeypatch.setattr(Purge, "run", lambda *_, **__: Report("a" * 32, 1, NOW, results))
    assert ringfence("retention", "run", "--commit").code == code


def test_ctrl_c_ends_it_after_the_batch_in_hand(ringfence: Commands, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    book(engine, spread(OLD, 2, 5))
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO plan_change VALUES (1, 'did', '+442079460001', '2020-01-01 00:00:00')"))
    monkeypatch.setattr(Teller, "__call__", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    answer = ringfence("retention", "run", "--commit")
    assert (answer.code, "stopping after the batch in hand" in answer.err, "plan_change" in answer.err) == (69, True, True)
    assert (scalar(engine, "SELECT count(*) FROM call"), scalar(engine, "SELECT count(*) FROM plan_change WHERE kind = 'did'")) == (0, 1)
    assert signal.getsignal(signal.SIGINT) == before
    monkeypatch.undo()
    ringfence.ok("retention", "run", "--commit")
    assert scalar(engine, "SELECT count(*) FROM plan_change WHERE kind = 'did'") == 0


def test_a_hold_keeps_and_its_release_lets_go(ringfence: Commands, engine: Engine, sessions: sessionmaker[Session]) -> None:
    acme = scalar(engine, "SELECT id FROM account WHERE ref = 'ACME'")
    book(engine, [booking(1, OLD, account=acme), booking(2, OLD, account=acme + 1)])
    days = ("--since", local_date(OLD).isoformat(), "--until", local_date(OLD).isoformat())
    placed = ringfence.ok("hold", "add", "--account", "ACME", *days, "--reason", "claim 17", "--review-by", REVIEW, "--operator", "kim", "--json").data
    assert (placed["account"], placed["since"], placed["until"], placed["owner"]) == ("ACME", days[1], days[3], "kim")
    assert due(ringfence.ok("retention", "plan", "--json").data) == (1, 1)
    ringfence.ok("retention", "run", "--commit")
    assert scalar(engine, "SELECT count(*) FROM call") == 1
    (listed,) = ringfence.ok("hold", "list", "--operator", "sam", "--json").data
    assert listed["id"] == placed["id"]
    later = (local_date(NOW) + timedelta(days=200)).isoformat()
    ringfence.ok("hold", "review", placed["id"], "--next", later, "--operator", "sam")
    assert ringfence.ok("hold", "show", placed["id"], "--json").data["review_by"] == later
    assert "would release" in ringfence.ok("hold", "release", placed["id"]).out
    assert ringfence.ok("hold", "show", placed["id"], "--json").data["released_at"] is None
    ringfence.ok("hold", "release", placed["id"], "--commit", "--operator", "sam")
    assert ringfence.ok("hold", "list", "--json").data == []
    assert ringfence("hold", "release", placed["id"], "--commit").code == 5
    ringfence.ok("retention", "run", "--commit")
    assert scalar(engine, "SELECT count(*) FROM call") == 0
    with sessions() as session:
        kinds = [entry.kind for entry in audit.stream_entries(session) if entry.kind.startswith("legal_hold")]
    assert kinds == ["legal_hold.placed", "legal_hold.reviewed", "legal_hold.released"]


def test_a_secret_hold_is_shown_to_its_keeper_alone(ringfence: Commands, engine: Engine) -> None:
    book(engine, [booking(1, OLD, caller=CALLER), booking(2, OLD, caller="+442079460999")])
    before = ringfence.ok("retention", "plan", "--json").data["items"]
    secret = ringfence.ok("hold", "add", "--number", CALLER, "--reason", "order 4", "--review-by", REVIEW, "--secret", "--operator", "kim", "--json").data["id"]
    as_kim, as_sam = ("--operator", "kim"), ("--operator", "sam")
    assert len(ringfence.ok("hold", "list", *as_kim, "--json").data) == 1
    assert ringfence.ok("hold", "list", "--all", *as_sam, "--json").data == []
    unknown = "0" * 31 + "a"
    for command in (("show",), ("show", "--rows"), ("release",), ("release", "--commit"), ("review", "--next", REVIEW)):
        name, *options = command
        theirs, nobodys = (ringfence("hold", name, each, *options, *as_sam) for each in (secret, unknown))
        assert (theirs.code, nobodys.code, theirs.out, nobodys.out) == (4, 4, "", "")
        assert theirs.err.replace(secret, unknown) == nobodys.err
    after = ringfence.ok("retention", "plan", "--json").data["items"]
    assert [(item["data_class"], item["due"], item["held"]) for item in after] == [(item["data_class"], item["due"], item["held"]) for item in before]
    assert "legal_hold" not in ringfence.ok("audit", "show", "--json").out
    report = ringfence.ok("retention", "run", "--commit", "--json").data
    assert (report["rows"], scalar(engine, "SELECT count(*) FROM call")) == (4, 0)
    assert ringfence.ok("hold", "show", secret, *as_kim, "--json").data["kept_rows"] == 2
    assert CALLER in ringfence.ok("hold", "show", secret, "--rows", *as_kim).out
    assert "2 row(s)" in ringfence.ok("hold", "release", secret, *as_kim).out
    ringfence.ok("hold", "release", secret, "--commit", *as_kim)
    assert scalar(engine, "SELECT count(*) FROM held_row") == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--reason", "x", "--review-by", REVIEW), 2),  # on everything
        (("--account", "ACMEE", "--reason", "x", "--review-by", REVIEW), 4),
        (("--number", "999", "--reason", "x", "--review-by", REVIEW), 2),
        (("--number", DID, "--reason", " ", "--review-by", REVIEW), 2),
        (("--number", DID, "--reason", "x", "--review-by", "2020-01-01"), 3),
        (("--number", DID, "--since", "2026-02-01", "--until", "2026-01-01", "--reason", "x", "--review-by", REVIEW), 2),
        (("--class", "ledger", "--secret", "--reason", "x", "--review-by", REVIEW), 3),
        (("--number", DID, "--secret", "--owner", "sam", "--operator", "kim", "--reason", "x", "--review-by", REVIEW), 2),
        (("--number", DID, "--operator", "kim; drop", "--reason", "x", "--review-by", REVIEW), 2),
    ],
)
def test_typical_mistakes_leave_nothing_behind(ringfence: Commands, engine: Engine, arguments: tuple[str, ...], code: int) -> None:
    answer = ringfence("hold", "add", *arguments)
    assert (answer.code, scalar(engine, "SELECT count(*) FROM legal_hold")) == (code, 0), answer.err


def test_what_others_must_not_see_is_asked_for(ringfence: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([DID, "order 4"])
    monkeypatch.setattr("click.prompt", lambda *_args, **_options: next(answers))
    made = ringfence.ok("hold", "add", "--number", "-", "--reason", "-", "--secret", "--review-by", REVIEW, "--json").data
    assert (made["number"], made["reason"]) == (DID, "order 4")


def test_the_operator_is_who_runs_the_command(ringfence: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "alex")
    place = ("hold", "add", "--number", DID, "--reason", "x", "--review-by", REVIEW, "--json")
    assert ringfence.ok(*place).data["owner"] == "alex"
    monkeypatch.setenv("RINGFENCE_OPERATOR", "Jo")
    assert ringfence.ok(*place).data["owner"] == "jo"
    assert ringfence.ok(*place, "--operator", "kim").data["owner"] == "kim"
