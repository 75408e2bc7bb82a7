"""The report's figures against a store whose runs are known, on both engines."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session, sessionmaker

from retention.calendar import Period, deletable_at, local_date
from retention.purge.governing import governing
from retention.purge.planner import items_of
from retention.report.as_json import render
from retention.report.gather import gather
from retention.report.model import Report, Section
from retention.report.reading import Reading
from retention.report.span import parse_span
from ringfence.clock import FixedClock
from ringfence.models import Incident, Node
from ringfence.queries import due as due_rows
from ringfence.queries import policies
from ringfence.queries import report as queries
from ringfence.session import make_sessions
from ringfence.settings import Settings
from tests.database.purging import CUTOFF, NOW, book, booking, scalar, spread
from tests.database.reporting import CANARIES, FIRST, HELD, PER_DAY, by_hand, calls_of_the_secret, hostile, keep_secretly, reported, run, seeded, strings, told


@pytest.fixture
def purged(engine: Engine, store_settings: Settings) -> str:
    """A store after its one run; gives the run's id."""
    seeded(engine)
    return run(engine, store_settings)


def row(report: Report, section: str, table: str, **wanted: Any) -> dict[str, Any]:
    """Return the one row of a table that has certain values."""
    found = [dict(each) for each in report.table(section, table).rows if all(each[key] == value for key, value in wanted.items())]
    assert len(found) == 1, found
    return found[0]


def test_what_is_there_and_what_went(engine: Engine, store_settings: Settings, purged: str) -> None:
    report = reported(engine, store_settings)
    calls = row(report, "completeness", "classes", data_class="call_log")
    assert (calls["status"], calls["over"], calls["held"], calls["late"]) == ("held", PER_DAY, PER_DAY, 0)
    assert (calls["oldest"], calls["cutoff"], calls["window"]) == (HELD, CUTOFF, "12 months from call started")
    went = row(report, "soundness", "ages", data_class="call_log")
    newest = CUTOFF - timedelta(days=1) / PER_DAY
    assert (went["status"], went["rows"], went["early"]) == ("ok", 39 * PER_DAY * 2, 0)
    assert went["youngest_seconds"] == (NOW - newest).total_seconds()
    year = Period(months=12)
    assert went["most_seconds"] == (NOW - deletable_at(FIRST, year)).total_seconds()
    assert went["median_seconds"] == (NOW - deletable_at(CUTOFF - timedelta(days=20), year)).total_seconds()
    line = row(report, "runs", "runs", run=purged)
    assert (line["status"], line["rows"], line["as_of"]) == ("held", 39 * PER_DAY * 2, NOW)
    assert f"call_log (recommended): held {39 * PER_DAY * 2:,} rows {PER_DAY} held" in line["outcomes"]
    assert report.section("soundness").exceptions == ()
    assert report.section("completeness").exceptions == ()


def test_a_row_changed_by_hand_is_named_by_class_and_day(engine: Engine, store_settings: Settings, purged: str) -> None:
    assert purged
    victim = CUTOFF + timedelta(days=3)
    by_hand(engine, f"DELETE FROM leg WHERE call_id = (SELECT call_id FROM call WHERE started_at > '{victim:%Y-%m-%d %H:%M:%S}' ORDER BY started_at LIMIT 1)")
    report = reported(engine, store_settings)
    day = local_date(victim)
    assert row(report, "soundness", "imbalances") | {"what": ""} == {"day": day, "data_class": "call_log", "missing": 1, "what": ""}
    month = row(report, "soundness", "months", month=day.isoformat()[:7], data_class="call_log")
    assert (month["status"], month["missing"], month["wrong_days"]) == ("imbalance", 1, f"{day.isoformat()}: +1")
    assert f"call_log of {day.isoformat()}: 1 row(s) are gone without a receipt." in report.section("soundness").exceptions
    assert any(day.isoformat() in each["what"] for each in report.table("exceptions", "exceptions").rows)


def test_what_is_past_its_window_for_more_than_a_day_is_an_exception(engine: Engine, store_settings: Settings) -> None:
    book(engine, [booking(1, CUTOFF - timedelta(hours=1)), booking(2, CUTOFF + timedelta(hours=1))])
    today = row(reported(engine, store_settings), "completeness", "classes", data_class="call_log")
    assert (today["status"], today["over"], today["late"]) == ("due_today", 1, 0)
    report = reported(engine, store_settings, FixedClock(NOW + timedelta(days=1)))
    tomorrow = row(report, "completeness", "classes", data_class="call_log")
    assert (tomorrow["status"], tomorrow["over"], tomorrow["late"]) == ("behind", 2, 1)
    assert "call_log (recommended): 1 rows are past their window for more than a day and under no legal hold." in report.section("completeness").exceptions


def test_a_leg_left_behind_is_found(engine: Engine, store_settings: Settings, purged: str) -> None:
    assert purged
    assert reported(engine, store_settings).section("completeness").blocks[1].values == {"strays": 0}  # type: ignore[union-attr]
    by_hand(engine, f"DELETE FROM call WHERE call_id = (SELECT call_id FROM call WHERE started_at < '{CUTOFF:%Y-%m-%d %H:%M:%S}' ORDER BY started_at LIMIT 1)")
    report = reported(engine, store_settings)
    assert report.section("completeness").blocks[1].values == {"strays": 1}  # type: ignore[union-attr]
    assert "1 leg(s) past the window have lost their call." in report.section("completeness").exceptions


def test_nothing_in_it_tells_of_a_secret_hold(engine: Engine, store_settings: Settings) -> None:
    """Placing one changes no word of the report; and what it keeps is gone as if there were none."""
    seeded(engine)
    calls_of_the_secret(engine)
    before = told(reported(engine, store_settings))
    keep_secretly(engine)
    assert told(reported(engine, store_settings)) == before
    run(engine, store_settings)
    assert scalar(engine, "SELECT count(*) FROM held_row") > 0
    report = reported(engine, store_settings)
    assert row(report, "completeness", "classes", data_class="call_log")["over"] == PER_DAY
    secret = scalar(engine, "SELECT id FROM legal_hold WHERE reason = 'moonlight'")
    content = render(report).decode()
    assert [canary for canary in (*CANARIES, secret) if canary in content] == []
    assert re.findall(r'\\"(?:held_row|hold_state)\\": [0-9]', content) == []  # dead rows of these would tell
    assert report.section("holds").blocks[0].values["open"] == 1  # type: ignore[union-attr]


def test_nothing_personal_is_in_it(engine: Engine, store_settings: Settings, purged: str) -> None:
    assert purged
    content = "\n".join(strings(told(reported(engine, store_settings))))
    assert re.findall(r"\+44[0-9]{5,}|2079460001|7700900123|1174960555|07700|police", content) == []


@pytest.mark.parametrize("other", ["voipfone", "officenumber"])
def test_counts_from_the_index_are_those_of_the_rows(engine: Engine, sessions: sessionmaker[Session], other: str) -> None:
    book(engine, spread(CUTOFF - timedelta(days=20), 30, 4, account=1))
    book(engine, spread(CUTOFF - timedelta(days=400, hours=1), 410, 1, account=5))
    book(engine, [booking(number, CUTOFF - timedelta(days=9, minutes=number), account=None) for number in range(3)])
    with sessions.begin() as session:
        policies.assign(session, 5, other, NOW)
    with sessions() as session:
        found = governing(session, "recommended", NOW)
        assert [policy.key for policy in found.all] == ["recommended", other]
        for policy in found.all:
            for item in items_of(policy, NOW, default=policy is found.default):
                for due in item.sources:
                    assert queries.count_over(session, due) == due_rows.count_past(session, due).rows, (policy.key, due.source.table)
        calls = [
            due for policy in found.all for item in items_of(policy, NOW, default=policy is found.default) for due in item.sources if due.source.table == "call"
        ]
        assert queries.count_over(session, calls[0]) == 20 * 4 + 3
        assert queries.oldest_row(session, calls[0]) == CUTOFF - timedelta(days=20)
        assert queries.oldest_row(session, calls[1]) == CUTOFF - timedelta(days=400, hours=1)


def test_runs_that_went_wrong_and_silent_workers_are_exceptions(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings, purged: str) -> None:
    with sessions.begin() as session:
        session.execute(update(Incident).values(run_id=purged))
        session.add(Node(name="n1", worker_seen_at=NOW - timedelta(hours=1)))
    by_hand(engine, "UPDATE purge_run SET finished_at = NULL")
    report = reported(engine, store_settings, FixedClock(NOW + timedelta(hours=12)))
    line = row(report, "runs", "attention")
    assert (line["status"], line["incidents"]) == ("unfinished", scalar(engine, "SELECT id FROM incident"))
    assert "The worker of node n1 is silent." in report.section("runs").exceptions
    assert any("unfinished" in each for each in report.section("runs").exceptions)


def test_only_what_happened_in_the_period_is_counted(engine: Engine, store_settings: Settings, purged: str) -> None:
    assert purged
    assert reported(engine, store_settings, period="2026-11").table("runs", "runs").rows
    earlier = reported(engine, store_settings, period="2026-01..2026-10")
    assert earlier.table("runs", "runs").rows == earlier.table("soundness", "ages").rows == ()
    assert row(earlier, "completeness", "classes", data_class="call_log")["over"] == PER_DAY  # what is there is there
    assert len(earlier.table("incidents", "incidents").rows) == 1  # open still


def test_every_section_says_how_it_was_asked(engine: Engine, store_settings: Settings, purged: str) -> None:
    assert purged
    report = reported(engine, hostile(store_settings))
    silent = {section.key for section in report.sections if not section.asked}
    assert silent == {"exceptions", "schedule", "claims"}  # made from the others, from files that came with the product, and told by each promise
    soundness = [asked for asked in report.section("soundness").asked if "sealed_day" in asked.query]
    assert soundness
    assert all(asked.at and isinstance(asked.parameters, dict) for section in report.sections for asked in section.asked)
    promises = [item for block in report.section("claims").blocks for item in getattr(block, "items", ())]
    assert len(promises) == 87
    built = [check for item in promises for check in item.checks if check.status in {"pass", "fail"}]
    assert built
    assert all(check.asked and check.result for check in built)


def test_a_section_is_added_by_a_function(store_settings: Settings, engine: Engine) -> None:
    def extra(reading: Reading) -> Section:
        return Section("extra", "Extra", f"As of {reading.now}", (), ("something",))

    with make_sessions(engine)() as session:
        report = gather(session, store_settings, FixedClock(NOW), parse_span(None, NOW), sections=(extra,))
    assert [section.key for section in report.sections] == ["extra", "exceptions"]
    assert [dict(each) for each in report.table("exceptions", "exceptions").rows] == [{"section": "Extra", "what": "something"}]
    assert msgspec.structs.asdict(report.span)["first"].isoformat() == "2025-11-20"
