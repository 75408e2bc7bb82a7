"""A carrier reports that 999 lacked an address: on both engines the record is sent again, whatever the carrier says it has, and a person hears of it."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from threading import Event, Thread

import msgspec
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from ari_app.private.ports import free_ports
from dialplan.emergency.state import AddressEvent
from retention.emergency import alarms
from retention.emergency.carriers.carrier import Outcome, Reply, rejected
from retention.emergency.coverage import coverage
from retention.emergency.reported import MISSING, STRANGE, Taken, take_in
from retention.emergency.submitting import turn
from retention.webhook.http import PATH
from retention.webhook.report import Report
from retention.worker.main import run, taking
from ringfence.clock import FixedClock
from ringfence.emergency import AddressState, LocationClass
from ringfence.errors import Unavailable
from ringfence.queries import emergency, numbering
from ringfence.session import make_engine
from ringfence.settings import Database, Emergency, Health, Settings
from ringfence.values import E164
from tests.database.addressing import DID, OTHER, clock, enter, happen, sessions
from tests.database.installed import Commands, Here
from tests.database.test_emergency_submitting import Told, requests, state
from tests.database.workers import incidents_of, worker

__all__ = ["clock", "sessions"]

E, R, X = AddressEvent, AddressState, Outcome
FIRST, SECOND = Report(DID, "1" * 32), Report(DID, "2" * 32)
SECRET = "a-secret-of-the-carrier-0123456789"


def accept(sessions: sessionmaker[Session], clock: FixedClock) -> None:
    assert turn(sessions, clock, Told(Reply(X.ACCEPTED)), Event()).done == 1


def entries(engine: Engine) -> list[dict[str, object]]:
    with engine.connect() as connection:
        return [json.loads(row[0]) for row in connection.execute(text("SELECT body FROM audit_entry ORDER BY seq"))]


def test_a_report_moves_the_record_and_sends_it_again_although_the_carrier_says_it_has_it(
    engine: Engine, sessions: sessionmaker[Session], clock: FixedClock
) -> None:
    accept(sessions, clock)
    clock.set(clock.now() + timedelta(days=30))
    assert take_in(sessions, clock, FIRST) is Taken.SENT_AGAIN
    assert state(sessions) is R.REPORTED_MISSING
    with sessions() as session:
        assert coverage(session).states == {"reported_missing": 1}
        assert coverage(session).blocked == {}  # its calls go on
        record = emergency.current(session, DID)
        assert record is not None
        assert (record.reported_at, record.uncovered_since) == (clock.now(), clock.now())
    assert incidents_of(engine) == [(MISSING, None, None)]
    changed = [entry for entry in entries(engine) if entry.get("after") == "reported_missing"]
    assert [entry["before"] for entry in changed] == ["accepted"]
    assert DID[-6:] not in json.dumps(entries(engine))
    carrier = Told(Reply(X.SUBMITTED), Reply(X.ACCEPTED))
    turn(sessions, clock, carrier, Event())
    assert [(what, request.renew) for what, request in carrier.asked] == [("submit", True)]
    clock.set(clock.now() + timedelta(hours=1))
    turn(sessions, clock, carrier, Event())
    assert state(sessions) is R.ACCEPTED
    alarms.review(sessions, clock)
    assert incidents_of(engine) == [(MISSING, None, None)]  # a person closes it: why was it missing?


def test_the_same_report_again_changes_nothing_also_for_a_newer_version(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    accept(sessions, clock)
    assert [take_in(sessions, clock, FIRST) for _ in range(3)] == [Taken.SENT_AGAIN, Taken.REPEATED, Taken.REPEATED]
    assert [row[:2] for row in requests(engine)] == [("submit", "done"), ("submit", "queued")]
    assert take_in(sessions, clock, SECOND) is Taken.NOTED  # it is on its way already
    accept(sessions, clock)
    with sessions() as session:
        enter(session, clock, premises="105")
    accept(sessions, clock)
    size = len(entries(engine))
    assert take_in(sessions, clock, SECOND) is Taken.REPEATED
    assert state(sessions) is R.ACCEPTED
    assert len(entries(engine)) == size
    assert incidents_of(engine) == [(MISSING, None, None)]


def test_what_waits_at_the_carrier_is_sent_again_too(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    turn(sessions, clock, Told(Reply(X.SUBMITTED)), Event())
    assert take_in(sessions, clock, FIRST) is Taken.SENT_AGAIN
    assert [row[:2] for row in requests(engine)] == [("submit", "dropped"), ("submit", "queued")]


def test_an_answer_about_the_time_before_the_report_does_not_undo_it(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    turn(sessions, clock, Told(Reply(X.SUBMITTED)), Event())
    clock.set(clock.now() + timedelta(hours=1))
    carrier = Told(Reply(X.ACCEPTED), Reply(X.SUBMITTED))

    def meanwhile() -> None:
        carrier.meanwhile = lambda: None
        take_in(sessions, clock, FIRST)

    carrier.meanwhile = meanwhile
    turn(sessions, clock, carrier, Event())
    assert [(what, request.renew) for what, request in carrier.asked] == [("poll", False), ("submit", True)]
    assert state(sessions) is R.SUBMITTED
    assert [row[:2] for row in requests(engine)] == [("submit", "dropped"), ("submit", "waiting")]


def test_a_record_that_a_person_must_mend_is_not_sent_and_its_calls_stay_refused(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    turn(sessions, clock, Told(rejected("refused", "Postcode")), Event())
    assert take_in(sessions, clock, FIRST) is Taken.NOTED
    assert state(sessions) is R.REJECTED
    with sessions() as session:
        enter(session, clock, premises="105")
    assert take_in(sessions, clock, SECOND) is Taken.NOTED
    assert state(sessions) is R.DRAFT
    assert incidents_of(engine) == [(MISSING, None, None)]


def test_numbers_of_which_nothing_is_held_open_an_incident_once(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    with sessions() as session:
        enter(session, clock, OTHER, LocationClass.OUTSIDE_UK)
    assert take_in(sessions, clock, Report(OTHER, "3" * 32)) is Taken.NO_ADDRESS
    assert take_in(sessions, clock, Report(OTHER, "3" * 32)) is Taken.NO_ADDRESS
    assert take_in(sessions, clock, Report(E164("+442079460999"), "4" * 32)) is Taken.UNKNOWN_NUMBER
    assert take_in(sessions, clock, None) is Taken.UNREADABLE
    assert incidents_of(engine) == [(STRANGE, None, None)]
    with engine.connect() as connection:
        assert OTHER[-6:] not in str(connection.execute(text("SELECT detail FROM incident")).scalar_one())


def test_a_number_that_left_is_not_sent_again(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    accept(sessions, clock)
    with sessions.begin() as session:
        numbering.release_dids(session, clock, [DID])
    assert take_in(sessions, clock, FIRST) is Taken.NO_ADDRESS
    assert [row[0] for row in requests(engine)] == ["submit", "withdraw"]


def test_reports_at_once_are_one(engine: Engine, sessions: sessionmaker[Session], clock: FixedClock) -> None:
    accept(sessions, clock)
    outcomes: list[Taken] = []
    threads = [Thread(target=lambda: outcomes.append(take_in(sessions, clock, FIRST))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [Taken.REPEATED] * 3 + [Taken.SENT_AGAIN]
    assert len(requests(engine)) == 2
    assert len(incidents_of(engine)) == 1


def test_every_state_takes_a_report(sessions: sessionmaker[Session], clock: FixedClock) -> None:
    for number, events in enumerate(([], [E.SENT], [E.REVIEWED], [E.ACCEPTED], [E.REJECTED], [E.ACCEPTED, E.REPORTED_MISSING])):
        with sessions() as session:
            happen(session, clock, enter(session, clock, premises=str(number + 1)), *events)
        assert take_in(sessions, clock, Report(DID, f"{number:032}")) in {Taken.SENT_AGAIN, Taken.NOTED}
        with sessions() as session:
            assert emergency.reported(session)[0][0].report_key == f"{number:032}"


def test_a_store_that_is_away_is_said_to_be_away(clock: FixedClock) -> None:
    away = make_engine(Settings(database=Database(url="postgresql://nobody@127.0.0.1:1/none")))
    with pytest.raises(Unavailable):
        taking(worker(away, Settings(), clock))(FIRST)


def test_the_worker_hears_it_and_the_operator_sees_it(
    store_settings: Settings, sessions: sessionmaker[Session], clock: FixedClock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accept(sessions, clock)
    secret = tmp_path / "webhook"
    secret.write_text(SECRET, encoding="utf-8")
    secret.chmod(0o600)
    port, health = free_ports(2)
    chosen = Emergency(webhook_port=port, webhook_secret_file=str(secret))
    settings = msgspec.structs.replace(store_settings, emergency=chosen, health=Health(worker=health))
    stop = Event()
    working = Thread(target=run, args=(settings,), kwargs={"stop": stop, "alive": lambda: None})
    working.start()
    try:
        event = {"app": "eha_missing_data", "id": 17, "data": {"number": DID.removeprefix("+")}}
        said = post(port, event, "Bearer wrong"), post(port, event, f"Bearer {SECRET}"), post(port, event, f"Bearer {SECRET}")
        shown = get(health, "/metrics")
    finally:
        stop.set()
        working.join()
    assert said == ((401, "the secret is missing or wrong\n"), (200, "sent_again\n"), (200, "repeated\n"))
    for outcome in ("wrong_secret", "sent_again", "repeated"):
        assert f'ringfence_webhook_requests_total{{outcome="{outcome}"}} 1.0' in shown
    here = Here(store_settings)
    (row,) = Commands(here, capsys).ok("emergency", "reports", "--json").data
    here.engine.dispose()
    assert (row["number"], row["account"], row["state"]) == (DID, "ACME", "reported_missing")


def post(port: int, event: object, authorization: str) -> tuple[int, str]:
    for _ in range(100):
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("POST", PATH, msgspec.json.encode(event), {"Authorization": authorization})
            response = connection.getresponse()
            return response.status, response.read().decode()
        except ConnectionRefusedError:
            time.sleep(0.05)  # it starts
        finally:
            connection.close()
    raise AssertionError("the worker does not listen")


def get(port: int, path: str) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    text_of = connection.getresponse().read().decode()
    connection.close()
    return text_of
