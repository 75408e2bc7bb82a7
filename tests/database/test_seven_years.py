"""Seven years of an operator's life in twenty seconds: after each run the store holds exactly what a naive reference says, whatever died on the way."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine

from retention.purge import brakes
from ringfence.settings import Settings
from tests.database.years.london import begins, last_kept, year_end
from tests.database.years.script import SCRIPT
from tests.database.years.world import World, reported

FIRST, DAYS = date(2020, 1, 15), 7 * 365 + 20  # 29 February 2020 and 2024, fourteen changes of the clocks, seven ends of a financial year
SEED = 20_200_229


@pytest.mark.no_cover  # the tracer takes half of its time
def test_seven_years(engine: Engine, store_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brakes, "ALWAYS_FINE", 200)  # so that the volume brake is met with a handful of calls a day
    spacing = 200 if engine.dialect.name == "sqlite" else 600  # dropping months on PostgreSQL takes its time
    world = World(engine, store_settings, SEED, FIRST, DAYS, per_day=1, spacing=spacing)
    with reported(SEED, world):
        world.live(SCRIPT)
        world.finish(tmp_path / "bundle")
    happened = world.happened
    assert min(happened[what] for what in ("runs", "kills", "sigkills", "clock_ahead", "volume")) > 0, happened
    assert all(world.told.gone[table] for table in ("call", "leg", "invoice_line", "account", "endpoint", "account_policy", "did_ownership", "sealed_day"))


def test_the_reference_knows_the_calendar() -> None:
    """What the reference rests on, told by hand."""
    assert [begins(day).hour for day in (date(2024, 3, 31), date(2024, 4, 1), date(2024, 10, 27), date(2024, 10, 28))] == [0, 23, 23, 0]
    assert last_kept(date(2024, 2, 29), 12) == date(2025, 2, 28)
    assert last_kept(date(2024, 8, 31), 6) == date(2025, 2, 28)
    assert last_kept(date(2024, 1, 31), 1) == date(2024, 2, 29)
    assert last_kept(date(2024, 1, 31), 0, 30) == date(2024, 3, 1)
    assert (year_end(date(2024, 3, 31)), year_end(date(2024, 4, 1))) == (date(2024, 3, 31), date(2025, 3, 31))
