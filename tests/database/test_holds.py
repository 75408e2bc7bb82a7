"""Legal holds: what they cover stays on every path, in either engine; a secret one shows nothing to anybody but its keeper."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session, sessionmaker

from retention import holds
from retention.purge.executor import Progress
from retention.purge.outcome import Outcome
from ringfence.clock import FixedClock
from ringfence.errors import Conflict, Invalid, NotFound, Refused
from ringfence.models import LegalHold, Node
from ringfence.models.base import DataClass
from ringfence.queries.holds import Scope
from ringfence.settings import Settings
from tests.database.purging import CALLER, CUTOFF, DID, MOBILE, NOW, book, booking, purge, scalar, spread, verified

REVIEW = date(2027, 1, 1)
OLD = CUTOFF - timedelta(days=10)


def place(sessions: sessionmaker[Session], clock: FixedClock, scope: Scope, **values: Any) -> str:
    with sessions.begin() as session:
        return holds.place(session, clock, scope, **{"reason": "a claim", "owner": "kim", "review_by": REVIEW, **values}).id


def left(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return [int(row[0].rsplit(".", 1)[1]) for row in connection.execute(text("SELECT call_id FROM call ORDER BY started_at"))]


@pytest.mark.parametrize(
    ("scope", "kept"),
    [
        (Scope(account_id=7), [1]),
        (Scope(number="+442079460002"), [2]),  # the DID
        (Scope(number="+441174960003"), [3]),  # the caller
        (Scope(number="+447700900004"), [4]),  # the target, and the leg
        (Scope(number="+447700900005"), [5]),  # rung, but another target answered: only the leg knows
        (Scope(since=OLD + timedelta(hours=6), until=OLD + timedelta(hours=8)), [6, 7]),
        (Scope(account_id=7, number="+441174960003"), []),
        (Scope(account_id=1, number="+441174960003"), [3]),
        (Scope(account_id=1, number="+447700900005"), [5]),
        (Scope(account_id=1, since=OLD + timedelta(hours=8)), [8, 9]),
        (Scope(data_class="call_log"), list(range(10))),
        (Scope(data_class="billing"), []),
        (Scope(data_class="call_log", number="+442079460002"), [2]),
    ],
)
def test_what_a_hold_covers_stays_and_nothing_else(
    engine: Engine, sessions: sessionmaker[Session], store_settings: Settings, tmp_path: Path, scope: Scope, kept: list[int]
) -> None:
    clock = FixedClock(NOW)
    changes: dict[int, dict[str, Any]] = {
        1: {"account": 7},
        2: {"did": "+442079460002", "called": "+442079460002"},
        3: {"caller": "+441174960003"},
        4: {"forwarded_to": "+447700900004"},
    }
    bookings = [booking(number, OLD + timedelta(hours=number), **changes.get(number, {})) for number in range(10)]
    book(engine, bookings)
    with engine.begin() as connection:
        connection.execute(text("UPDATE leg SET address = '+447700900005' WHERE call_id LIKE '%.5'"))
    hold = place(sessions, clock, scope)
    report = purge(engine, store_settings, clock).run()
    assert report is not None
    result = next(result for result in report.results if result.data_class == "call_log")
    assert (left(engine), result.held, result.outcome) == (kept, len(kept), Outcome.HELD if kept else Outcome.DONE)
    assert scalar(engine, "SELECT count(*) FROM leg") == len(kept)
    assert verified(engine, clock, tmp_path / "held") == 0
    with sessions.begin() as session:
        holds.release(session, clock, hold, by="kim")
    assert purge(engine, store_settings, clock).run() is not None
    assert left(engine) == []
    assert verified(engine, clock, tmp_path / "released") == 0


def test_the_plan_counts_what_holds_keep(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    clock = FixedClock(NOW)
    book(engine, [booking(number, OLD + timedelta(hours=number), account=number % 3) for number in range(9)])
    place(sessions, clock, Scope(account_id=2, since=OLD + timedelta(hours=3)))
    item = next(item for item in purge(engine, store_settings, clock).plan().items if item.data_class is DataClass.CALL_LOG)
    assert (item.due.rows, item.held) == (7, 2)
    assert (item.due.oldest, item.due.newest) == (OLD, OLD + timedelta(hours=7))


def test_a_hold_placed_in_the_middle_of_a_run_holds_from_the_next_batch(
    engine: Engine, sessions: sessionmaker[Session], store_settings: Settings, tmp_path: Path
) -> None:
    clock = FixedClock(NOW)
    book(engine, spread(OLD - timedelta(days=20), 20, 50))
    placed: list[str] = []

    def interfere(progress: Progress) -> None:
        if not placed:
            placed.append(place(sessions, clock, Scope(account_id=1)))
            placed.append(str(progress.done))

    report = purge(engine, store_settings, clock, progress=interfere, largest=100).run()
    assert report is not None
    assert int(placed[1]) < 2000
    assert scalar(engine, "SELECT count(*) FROM call") == 1000 - int(placed[1]) // 2
    assert next(result.outcome for result in report.results if result.data_class == "call_log") is Outcome.HELD
    assert verified(engine, clock, tmp_path / "bundle") == 0


def test_a_secret_hold_shows_nothing(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings, tmp_path: Path, caplog: Any) -> None:
    clock = FixedClock(NOW)
    book(engine, [booking(number, OLD + timedelta(hours=number), account=number % 2, legs=2) for number in range(10)])
    it = purge(engine, store_settings, clock)
    before = it.plan()
    entries = "SELECT count(*) FROM audit_entry"
    told = scalar(engine, entries)
    hold = place(sessions, clock, Scope(account_id=1, until=OLD + timedelta(hours=4)), secret=True, owner="keeper")
    assert (it.plan(), scalar(engine, entries)) == (before, told)
    with sessions() as session:
        assert holds.list_visible(session) == holds.list_visible(session, "kim") == []
        assert [each.id for each in holds.list_visible(session, "keeper")] == [hold]
        assert holds.evidence(session) == ()
    with sessions() as session, pytest.raises(NotFound, match=hold):
        holds.kept_rows(session, hold, "kim")
    with sessions() as session, pytest.raises(NotFound, match=hold):
        holds.release(session, clock, hold, by="kim")
    report = it.run()
    assert report is not None
    result = next(result for result in report.results if result.data_class == "call_log")
    assert (result.rows, result.held, result.outcome, left(engine)) == (30, 0, Outcome.DONE, [])
    assert not any("hold" in row[0] for row in _rows(engine, "SELECT kind FROM audit_entry"))
    assert verified(engine, clock, tmp_path / "bundle") == 0
    assert hold not in "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "bundle").iterdir()) + caplog.text
    with sessions.begin() as session:
        rows = holds.kept_rows(session, hold, "keeper")
        assert [row.table_name for row in rows].count("call") == 2
        assert [row.table_name for row in rows].count("leg") == 4
        assert DID in rows[0].row
    with sessions.begin() as session:
        holds.release(session, clock, hold, by="keeper")
    assert scalar(engine, "SELECT count(*) FROM held_row") == 0
    assert scalar(engine, "SELECT version FROM hold_state") == 0


def test_an_open_hold_wins_over_a_secret_one(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    clock = FixedClock(NOW)
    book(engine, [booking(1, OLD)])
    place(sessions, clock, Scope(number=CALLER))
    place(sessions, clock, Scope(number=MOBILE), secret=True)
    purge(engine, store_settings, clock).run()
    assert (left(engine), scalar(engine, "SELECT count(*) FROM held_row")) == ([1], 0)


def test_a_secret_hold_that_ended_leaves_without_a_receipt(engine: Engine, sessions: sessionmaker[Session], store_settings: Settings) -> None:
    clock = FixedClock(NOW - timedelta(days=366 * 7))
    for secret in (True, False):
        hold = place(sessions, clock, Scope(account_id=1), secret=secret, review_by=date(2020, 1, 1))
        with sessions.begin() as session:
            holds.release(session, clock, hold, by="kim")
    clock.set(NOW)
    with sessions.begin() as session:
        session.add(Node(name="n1", app_seen_at=NOW))
    purge(engine, store_settings, clock).run()
    assert scalar(engine, "SELECT count(*) FROM legal_hold") == 0
    assert scalar(engine, "SELECT sum(rows) FROM purge_receipt WHERE table_name = 'legal_hold'") == 1


def test_acts_that_are_refused(sessions: sessionmaker[Session]) -> None:
    clock = FixedClock(NOW)
    with pytest.raises(Invalid, match="everything"):
        place(sessions, clock, Scope())
    with pytest.raises(Invalid, match="no data class"):
        place(sessions, clock, Scope(data_class="calls"))
    with pytest.raises(Invalid, match="period"):
        place(sessions, clock, Scope(since=NOW, until=NOW))
    with pytest.raises(Invalid, match="owner"):
        place(sessions, clock, Scope(account_id=1), reason=" ")
    with pytest.raises(Refused, match="no day to come"):
        place(sessions, clock, Scope(account_id=1), review_by=NOW.date())
    with pytest.raises(Refused, match="files"):
        place(sessions, clock, Scope(data_class="ledger"), secret=True)
    hold = place(sessions, clock, Scope(account_id=1))
    with sessions.begin() as session:
        assert holds.review(session, clock, hold, by="kim", next_review=date(2027, 6, 1)).review_by == date(2027, 6, 1)
    with sessions.begin() as session:
        holds.release(session, clock, hold, by="kim")
    with sessions() as session, pytest.raises(Conflict):
        holds.release(session, clock, hold, by="kim")
    with sessions() as session, pytest.raises(Conflict):
        holds.review(session, clock, hold, by="kim", next_review=date(2028, 1, 1))


def _rows(engine: Engine, query: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(query)))


def test_holds_end_up_in_the_store_as_they_were_placed(sessions: sessionmaker[Session]) -> None:
    clock = FixedClock(NOW)
    hold = place(sessions, clock, Scope("call_log", 4, CALLER, datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC)))
    with sessions() as session:
        found = session.scalars(select(LegalHold)).one()
        assert (found.id, found.account_id, found.number, found.placed_version, found.secret, found.keeper) == (hold, 4, CALLER, 1, False, None)
