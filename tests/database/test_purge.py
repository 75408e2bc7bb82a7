"""Purging calls and their kin, on both engines: what is due goes with a receipt, what is not stays, and the verifier agrees."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine

from retention.purge.outcome import Outcome
from ringfence.clock import FixedClock
from ringfence.settings import Settings
from tests.database.purging import CUTOFF, NOW, book, older, purge, scalar, spread, verified


def test_what_is_due_goes_and_nothing_else(engine: Engine, store_settings: Settings, tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    book(engine, spread(CUTOFF - timedelta(days=40), 60, 20))
    assert older(engine, "call", CUTOFF) == 40 * 20
    it = purge(engine, store_settings, clock)
    plan = it.plan()
    report = it.run()
    assert report is not None
    found = {result.data_class: result for result in report.results}
    assert (plan.rows, found["call_log"].rows, found["call_log"].outcome) == (800, 1600, Outcome.DONE)
    assert {older(engine, table, CUTOFF) for table in ("call", "leg")} == {0}
    assert [scalar(engine, f"SELECT count(*) FROM {table}") for table in ("call", "leg", "invoice_line")] == [400, 400, 1200]
    assert scalar(engine, "SELECT sum(calls) FROM call_aggregate") == 800
    assert verified(engine, clock, tmp_path / "bundle") == 0
