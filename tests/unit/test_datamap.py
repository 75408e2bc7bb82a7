from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table

import cli
from retention import datamap
from retention.classes import CLASSES, NOT_HELD, LegalBasis, Source
from retention.datamap import Kind, Problem, check, column_classes, entries, require, strays
from retention.files import FILE_KINDS, Folder, folders, kind_of, unmapped
from ringfence.errors import Misconfigured
from ringfence.models import Base
from ringfence.models.base import DataClass, about
from ringfence.settings import Asterisk, Settings


def table_with(info: dict[str, Any]) -> MetaData:
    metadata = MetaData()
    Table("extra", metadata, Column("id", Integer, primary_key=True, info=about(DataClass.ACCOUNT, "identifies")), Column("what", Integer, info=info))
    return metadata


def test_every_column_and_every_class_is_mapped() -> None:
    """NN-8, NN-13, VO-3."""
    assert check(Base.metadata) == []
    found = entries(Base.metadata)
    assert {entry.place for entry in found if entry.kind is Kind.COLUMN} == {f"{t.name}.{c.name}" for t in Base.metadata.sorted_tables for c in t.columns}
    held = [entry for entry in found if entry.kind is not Kind.NOT_HELD and entry.data_class]
    assert all(isinstance(entry.legal_basis, LegalBasis) and isinstance(entry.source, Source) and entry.purpose for entry in held)
    assert {entry.place for entry in found if entry.kind is Kind.NOT_HELD} == set(NOT_HELD)


def test_every_class_has_facts() -> None:
    assert set(CLASSES) == set(DataClass)
    assert all(facts.description.endswith(".") for facts in CLASSES.values())


@pytest.mark.parametrize(
    ("info", "says"),
    [
        ({}, "lacks data_class, personal, purpose, source"),
        (about(DataClass.ACCOUNT, " "), "says no purpose"),
        (about(DataClass.ACCOUNT, "x", source="gossip"), "'gossip' is not a source"),
        (about(DataClass.OPERATIONAL, "x", personal=True), "holds nothing personal"),
        (about(DataClass.ACCOUNT, "x") | {"data_class": "account"}, "'account' is not a data class"),
        (about(DataClass.ACCOUNT, "x") | {"personal": "yes"}, "does not say whether it is personal"),
    ],
)
def test_a_column_without_a_right_entry_fails(info: dict[str, Any], says: str) -> None:
    metadata = table_with(info)
    problems = check(metadata)
    assert [problem.place for problem in problems] == ["extra.what"]
    assert says in str(problems[0])
    with pytest.raises(Misconfigured, match=r"extra\.what") as caught:
        require(metadata)
    assert "about(" in caught.value.hint
    with pytest.raises(Misconfigured):
        entries(metadata)


def test_a_table_without_columns_fails() -> None:
    metadata = MetaData()
    Table("empty", metadata)
    assert [problem.place for problem in check(metadata)] == ["empty"]


def test_a_class_without_facts_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datamap, "CLASSES", {name: facts for name, facts in CLASSES.items() if name is not DataClass.VOICEMAIL})
    assert Problem("voicemail", "no entry in retention.classes.CLASSES") in check(Base.metadata)


def test_what_the_store_holds_beside_the_models_is_named() -> None:
    stored = {table.name: [column.name for column in table.columns] for table in Base.metadata.sorted_tables} | {"alembic_version": ["version_num"]}
    assert strays(stored, Base.metadata) == []
    stored["call_old"] = ["caller"]
    stored["call"] = [*stored["call"], "notes"]
    assert [str(problem) for problem in strays(stored, Base.metadata)] == [
        "call.notes: a column that no model describes",
        "call_old: a table that no model describes",
    ]


def test_columns_by_class() -> None:
    found = column_classes(Base.metadata)
    assert (found["call.caller"], found["account.name"], found["plan_change.key"]) == (DataClass.CALL_LOG, DataClass.ACCOUNT, DataClass.PLAN_CHANGE)


@pytest.mark.parametrize(
    ("path", "data_class"),
    [
        ("asterisk/log/cdr-custom/ledger.json", DataClass.LEDGER),
        ("asterisk/log/cdr-custom/ledger.json.3", DataClass.LEDGER),
        ("journal/decisions-2026-11-22-ari.jsonl", DataClass.LEDGER),
        ("asterisk/log/messages", DataClass.LOG),
        ("asterisk/log/security", DataClass.LOG),
        ("run/ari.log", DataClass.LOG),
        ("run/ari.pid", DataClass.OPERATIONAL),
        ("secrets/ari", DataClass.OPERATIONAL),
        ("asterisk/etc/pjsip.conf", DataClass.ACCOUNT),
        ("asterisk/db/astdb.sqlite3", DataClass.NUMBERING),
        ("asterisk/spool/voicemail/default/100/INBOX/msg0000.wav", DataClass.VOICEMAIL),
        ("asterisk/spool/voicemail/default/100/unavail.wav", DataClass.SOUND),
        ("asterisk/spool/monitor/service/x.wav", DataClass.SERVICE_RECORDING),
        ("asterisk/spool/monitor/x.wav", DataClass.RECORDING),
        ("sounds/7/greeting.wav", DataClass.SOUND),
        ("spool/mail/1", DataClass.SPOOL),
        ("exports/access-1.zip", DataClass.EXPORT),
        ("backups/2026-11-22.age", DataClass.BACKUP),
    ],
)
def test_files_have_classes(path: str, data_class: DataClass, tmp_path: Path) -> None:
    kind = kind_of(tmp_path / path, folders(Settings(home=str(tmp_path))))
    assert kind is not None
    assert kind.data_class is data_class


def test_the_store_s_own_file_ends_row_by_row(tmp_path: Path) -> None:
    where = folders(Settings(home=str(tmp_path)))
    for name in ("ringfence.db", "ringfence.db-wal", "ringfence.db-shm"):
        kind = kind_of(tmp_path / name, where)
        assert kind is not None
        assert kind.data_class is None


def test_a_file_that_nothing_names_is_found(tmp_path: Path) -> None:
    where = folders(Settings(home=str(tmp_path)))
    paths = [tmp_path / "notes.txt", tmp_path / "asterisk/log/full", tmp_path / "exports/a.csv", Path("/etc/passwd")]
    assert list(unmapped(paths, where)) == [paths[0], paths[1], paths[3]]


def test_a_packaged_asterisk_has_its_own_folders() -> None:
    where = folders(Settings(asterisk=Asterisk(conf_dir="/etc/asterisk", log_dir="/var/log/asterisk")))
    assert where[Folder.SPOOL] == Path("/var/spool/asterisk")
    kind = kind_of(Path("/var/log/asterisk/cdr-custom/ledger.json"), where)
    assert kind is not None
    assert kind.data_class is DataClass.LEDGER


def test_every_class_that_is_files_only_has_a_kind_of_file() -> None:
    files = {kind.data_class for kind in FILE_KINDS}
    assert {DataClass.LEDGER, DataClass.SPOOL, DataClass.EXPORT, DataClass.BACKUP, DataClass.LOG, DataClass.VOICEMAIL, DataClass.RECORDING} <= files
    assert all(kind.purpose and kind.source in set(Source) for kind in FILE_KINDS)


def test_the_command_shows_columns_files_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["retention", "map", "--policy", "officenumber", "--json"]) == 0
    rows = {row["place"]: row for row in json.loads(capsys.readouterr().out)}
    caller = rows["call.caller"]
    assert (caller["data_class"], caller["personal"], caller["window"], caller["from"], caller["action"]) == (
        "call_log",
        True,
        "P12M",
        "call_started",
        "delete",
    )
    assert (caller["legal_basis"], caller["source"]) == ("contract", "carrier")
    assert rows["<log>/cdr-custom/ledger.json*"]["window"] == "P3M"
    assert rows["trunk.host"]["action"] == "keep"
    assert rows["fax"]["kind"] == "not_held"
    assert cli.run(["retention", "map"]) == 0
    table = capsys.readouterr().out
    assert "call.caller" in table
    assert "P12M" in table
    assert cli.run(["retention", "map", "--policy", "nobody"]) == 2
