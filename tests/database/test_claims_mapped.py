"""The checks on the data map: a clean system passes, and one violation turns exactly the promises red that rest on it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine

from retention.checks import mapped
from retention.claims.checking import Status
from retention.classes import CLASSES
from retention.files import FILE_KINDS
from retention.policies.load import shipped_policy
from retention.policies.model import Policy
from retention.purge.governing import Governing
from ringfence.models.base import DataClass
from ringfence.settings import Settings
from tests.database.claiming import by_hand, checked, evidence, orderly, red, resting_on


@pytest.fixture
def settings(store_settings: Settings) -> Settings:
    return orderly(store_settings)


def test_a_clean_system_passes(engine: Engine, settings: Settings) -> None:
    results = checked(engine, settings)
    assert red(results) == set()
    for name in mapped.CHECKS:
        found = evidence(results, name)
        assert (found.status, found.reason) == (Status.PASS, "")
        assert found.query
        assert found.result


def test_a_table_made_by_hand(engine: Engine, settings: Settings) -> None:
    results = checked(engine, settings, seed=by_hand("CREATE TABLE call_backup (caller VARCHAR(41))"))
    assert red(results) == resting_on("every_column_ends") == {"NN-8", "NU-4"}
    assert evidence(results, "every_column_ends").result["without_an_end"] == ["call_backup: a table that no model describes"]


def test_a_file_that_nothing_maps(engine: Engine, settings: Settings) -> None:
    (settings.home_path / "notes.txt").write_text("x")
    results = checked(engine, settings)
    assert red(results) == {"NN-8", "NU-4"}
    assert evidence(results, "every_column_ends").result["files_unmapped"] == 1


def test_a_class_without_a_window(engine: Engine, settings: Settings) -> None:
    results = checked(engine, settings, policies=_ruled(DataClass.NUMBERING, window=None, start=None))
    assert red(results) == {"NN-8", "NU-4"}
    assert evidence(results, "every_column_ends").result["without_an_end"] == ["class numbering has no window in recommended"]


def test_a_third_party_s_number_without_a_window_is_also_a_column_without_an_end(engine: Engine, settings: Settings) -> None:
    results = checked(engine, settings, policies=_ruled(DataClass.CONTACT, window=None, start=None))
    assert red(results) == set()  # no column is of that class
    ruled = _ruled(DataClass.CALL_LOG, window=None, start=None)
    results = checked(engine, settings, policies=ruled)
    assert {"NN-3", "NN-8", "NU-4"} <= red(results)
    assert evidence(results, "third_party_windows").result["without_a_window"] == ["call.caller"]


def test_a_class_without_a_legal_basis(engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = msgspec.structs.replace(CLASSES[DataClass.CONTACT], basis=None)
    monkeypatch.setattr(mapped, "CLASSES", {**CLASSES, DataClass.CONTACT: bare})
    results = checked(engine, settings)
    assert red(results) == resting_on("legal_basis_named") == {"NN-13"}
    assert evidence(results, "legal_basis_named").result["without_a_basis"] == ["contact"]


def test_a_file_without_a_source(engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "FILE_KINDS", (*FILE_KINDS, msgspec.structs.replace(FILE_KINDS[1], source=None)))
    results = checked(engine, settings)
    assert red(results) == resting_on("sources_named") == {"VO-3"}


def test_what_is_said_not_to_be_held_and_is(engine: Engine, settings: Settings) -> None:
    results = checked(engine, settings, seed=by_hand("CREATE TABLE avatar (picture VARCHAR(10))"))
    assert red(results) == resting_on("not_held_named", "every_column_ends") == {"VO-2b", "NN-8", "NU-4"}
    assert evidence(results, "not_held_named").result["held_after_all"] == ["avatar"]


@pytest.mark.parametrize("change", [{"legal": ""}, {"minimum": shipped_policy("voipfone").rules[DataClass.CALL_LOG].minimum, "minimum_legal": " "}])
def test_a_window_without_a_legal_source(engine: Engine, settings: Settings, change: dict[str, object]) -> None:
    results = checked(engine, settings, policies=_ruled(DataClass.CONTACT, **change))
    assert red(results) == resting_on("legal_sources_named") == {"VF-4"}
    assert [place.split(":")[0] for place in evidence(results, "legal_sources_named").result["without_a_source"]] == ["recommended.contact"]


def test_files_of_the_product_are_mapped(engine: Engine, settings: Settings, tmp_path: Path) -> None:
    for name in ("audit/checkpoint", "journal/decisions-2026-11-20-ari.jsonl", "asterisk/log/cdr-custom/ledger.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert red(checked(engine, settings)) == set()


def _ruled(data_class: DataClass, **changes: object) -> Governing:
    """Return the recommended policy with another rule for a class, as no file could say it."""
    policy: Policy = shipped_policy("recommended")
    rule = msgspec.structs.replace(policy.rules[data_class], **changes)
    return Governing(msgspec.structs.replace(policy, rules={**policy.rules, data_class: rule}), ())
