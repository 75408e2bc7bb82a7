"""A store that has lived: calls of weeks, purged a year later, with a hold; made once for a module, its tests undo what they do to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from retention import holds
from ringfence import migrate
from ringfence.audit.keys import make_key
from ringfence.clock import FixedClock
from ringfence.models import Account, PlanChange
from ringfence.queries.holds import Scope
from ringfence.session import make_engine, make_sessions
from ringfence.settings import Audit, Database, Settings
from ringfence.values import AccountState
from tests.database.claiming import orderly
from tests.database.conftest import KINDS
from tests.database.purging import CUTOFF, NOW, book, booking, purge, spread


@pytest.fixture(scope="module", params=KINDS)
def lived(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A store that took in calls for weeks, was purged a year later, and keeps what a hold is on. Tests undo what they do to it."""
    home = tmp_path_factory.mktemp("lived")
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), home / "ringfence.db")
        url = ""
    else:
        fresh: Callable[[str], str] = request.getfixturevalue("postgres_server").fresh_database
        url = fresh("lived")
    settings = Settings(home=str(home), database=Database(url=url))
    engine = make_engine(settings)
    migrate.upgrade(engine)
    live(engine, settings)
    yield engine
    engine.dispose()


@pytest.fixture
def settings(lived: Engine, tmp_path: Path) -> Settings:
    """Settings of a node of that store, with folders of its own."""
    database = Database(url=lived.url.render_as_string())
    settings = orderly(Settings(home=str(tmp_path), database=database, audit=Audit(key_file=str(tmp_path / "secrets" / "audit"))))
    make_key(settings)
    return settings


def live(engine: Engine, settings: Settings) -> None:
    """Let a store live."""
    clock = FixedClock(NOW)
    with make_sessions(engine).begin() as session:
        session.add(Account(id=1, ref="ACME", name="Acme Plumbing Ltd", state=AccountState.ACTIVE, created_at=NOW - timedelta(days=500)))
        closed = {"state": AccountState.CLOSED, "created_at": NOW - timedelta(days=900), "closed_at": NOW - timedelta(days=400)}
        session.add(Account(id=2, ref="GONE", name="Gone Ltd", **closed))
        session.add(PlanChange(version=1, kind="did", key="+442079460001", changed_at=NOW - timedelta(days=3)))
    with make_sessions(engine).begin() as session:
        held = Scope(number="+442079460099", data_class="call_log")
        holds.place(session, clock, held, reason="a claim", owner="op-1", review_by=(NOW + timedelta(days=90)).date())
    book(engine, spread(CUTOFF - timedelta(days=20), 40, 10))
    book(engine, [booking(7000 + n, CUTOFF - timedelta(days=9, minutes=n), did="+442079460099") for n in range(3)])
    assert purge(engine, settings, clock).run() is not None
