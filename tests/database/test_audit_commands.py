"""The group `audit` from key to bundle, and the auditor's programs on what it writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

import cli
from retention.verify import main as verifier
from retention.verify import witness
from ringfence.audit import log
from ringfence.settings import Settings
from tests.database.installed import Here

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def here(store_settings: Settings) -> Iterator[Here]:
    installation = Here(store_settings)
    yield installation
    installation.engine.dispose()


@pytest.fixture
def run(here: Here, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command and gives its exit code and its output."""

    def ran(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        code = cli.run(["audit", *(str(each) for each in arguments)], installation=here)
        captured = capsys.readouterr()
        return code, captured.out or captured.err

    return ran


def write(here: Here, count: int) -> None:
    with here.changing() as session:
        for _ in range(count):
            log.append(session, here.clock, "purge.key_destroyed", run=log.new_id())


def test_from_key_to_bundle(here: Here, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("checkpoint")[0] == 78
    code, printed = run("key", "new")
    key = printed.strip()
    assert (code, run("key", "show")[1].strip()) == (0, key)
    assert run("key", "new")[0] == 5
    write(here, 4)
    seen = tmp_path / "seen"
    assert run("checkpoint", "--out", seen)[0] == 0
    state = ["--state", str(tmp_path / "state"), "--key", key]
    assert witness.main([str(seen), *state]) == 0
    write(here, 3)
    asked = tmp_path / "asked"
    code, printed = run("checkpoint", "--since-size", 5, "--out", asked, "--json")
    assert (code, json.loads(printed)["size"]) == (0, 8)
    assert witness.main([str(asked), *state]) == 0
    assert run("checkpoint", "--since-size", 9)[0] == 2

    code, printed = run("verify", "--json")
    result = json.loads(printed)
    assert (code, result["ok"], result["size"], result["checkpoints"], result["published"]) == (0, True, 8, 2, 2)

    code, printed = run("export", tmp_path / "bundle", "--json")
    assert (code, json.loads(printed)["size"], json.loads(printed)["verifier_key"]) == (0, 8, key)
    assert verifier.main([str(tmp_path / "bundle"), "--key", key, "--last", str(seen)]) == 0
    assert run("export", tmp_path / "late.tar", "--since", "2999-01-01", "--json")[0] == 0
    capsys.readouterr()
    assert verifier.main([str(tmp_path / "late.tar"), "--key", key, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["first"] == 8
    assert witness.main([str(tmp_path / "late.tar"), *state]) == 0
    assert run("export", tmp_path / "bundle")[0] == 5


def test_what_the_log_shows(here: Here, run: Run) -> None:
    assert run("show", "--json") == (0, "[]\n")
    write(here, 3)
    code, printed = run("show", 2, "--json")
    entry = json.loads(printed)
    assert (code, entry["seq"], entry["kind"], len(entry["body"]["run"])) == (0, 2, "purge.key_destroyed", 32)
    assert [row["seq"] for row in json.loads(run("show", "--limit", 2, "--json")[1])] == [1, 2]
    assert json.loads(run("show", "--kind", "purge.closed", "--json")[1]) == []
    assert "purge.key_destroyed" in run("show")[1]
    assert run("show", 3)[0] == 4


def test_a_log_that_was_tampered_with_is_told(here: Here, run: Run, tmp_path: Path) -> None:
    run("key", "new")
    write(here, 3)
    assert run("checkpoint")[0] == 0
    with here.engine.begin() as connection:
        if here.engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        else:
            connection.execute(text("DROP TRIGGER audit_entry_no_update"))
        connection.execute(text("UPDATE audit_entry SET leaf_hash = :leaf WHERE seq = 2"), {"leaf": bytes(32)})
    code, printed = run("verify", "--json")
    assert code == 5
    places = {problem["where"] for problem in json.loads(printed)["problems"]}
    assert places == {"entry 2", "head", "checkpoint 4", "000000000004.note"}
    code, printed = run("export", tmp_path / "bundle")
    assert (code, "not those that its head was made of" in printed) == (5, True)
    assert not (tmp_path / "bundle").exists()
