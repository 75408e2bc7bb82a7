"""`report retention`: what it writes where, and that the audit log knows of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import lxml.html
import pytest
from pypdf import PdfReader

import cli
from retention.files import folders, unmapped
from retention.report.sections import SECTIONS
from ringfence.audit import log
from ringfence.audit.keys import make_key
from ringfence.clock import Clock, FixedClock
from ringfence.commands.installation import Installation
from ringfence.errors import Unavailable
from ringfence.queries import audit
from ringfence.settings import Settings
from tests.database.reporting import AFTER, hostile, run, seeded

Run = Callable[..., tuple[int, str, str]]


class Here(Installation):
    """An installation on a test's store."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(None)
        self.__dict__["settings"] = settings
        self.clock: Clock = FixedClock(AFTER)


@pytest.fixture
def here(store_settings: Settings) -> Iterator[Here]:
    installation = Here(hostile(store_settings))
    seeded(installation.engine)
    yield installation
    installation.engine.dispose()


@pytest.fixture
def report(here: Here, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command and gives its exit code, output and remarks."""

    def ran(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.run(["report", "retention", *(str(each) for each in arguments)], installation=here)
        return (code, *capsys.readouterr())

    return ran


def issued(here: Here) -> list[str]:
    """Return the digests of the reports that the audit log knows of, newest first."""
    with here.reading() as session:
        return [json.loads(entry.body)["digest"] for entry in audit.newest_entries(session, 10, kind="report.issued")]


def test_a_page_is_written_below_home_and_its_digest_into_the_log(here: Here, report: Run) -> None:
    run(here.engine, here.settings)
    code, out, said = report()
    path = here.settings.home_path / "reports" / "retention-20261120T043000Z.html"
    content = path.read_bytes()
    assert (code, out) == (0, "")
    assert str(path) in said
    assert issued(here) == [sha256(content).hexdigest()]
    assert path.stat().st_mode & 0o777 == 0o640
    assert len(lxml.html.document_fromstring(content.decode()).xpath("//section")) == len(SECTIONS) + 1  # and what is not as it should be
    assert list(unmapped(path.parent.iterdir(), folders(here.settings))) == []
    assert report()[0] == 5  # the same second, the same name
    assert report("--force")[0] == 0
    here.clock = FixedClock(AFTER.replace(minute=40))
    code, out, _ = report("--format", "json")
    found = json.loads(out)["sections"]["cover"]["facts"]["report"]
    assert found["previous"] == issued(here)[1]


def test_every_format_parses(report: Run, tmp_path: Path) -> None:
    assert json.loads(report("--format", "json")[1])["format"] == "ringfence-retention-report"
    rows = list(csv.DictReader(io.StringIO(report("--format", "csv")[1])))
    assert {row["data_class"]: row["status"] for row in rows}["call_log"] == "behind"
    assert report("--format", "pdf", "--out", tmp_path / "r.pdf", "--period", "2026")[0] == 0
    text = "\n".join(page.extract_text() for page in PdfReader(tmp_path / "r.pdf").pages)
    assert "2026-01-01 to 2026-12-31" in text
    assert "Nothing older remains" in text


def test_a_file_that_is_there_stays(here: Here, report: Run, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("mine")
    code, _, said = report("--format", "json", "--out", path)
    assert (code, path.read_text(), issued(here)) == (5, "mine", [])
    assert "--force" in said
    assert report("--format", "json", "--out", path, "--force")[0] == 0
    assert issued(here) == [sha256(path.read_bytes()).hexdigest()]
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".r.json")] == []


def test_without_its_entry_in_the_log_there_is_no_report(report: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_fields: object) -> int:
        raise Unavailable("the log cannot be written")

    monkeypatch.setattr(log, "append", fail)
    code, out, _ = report("--format", "json", "--out", tmp_path / "r.json")
    assert (code, out, [each.name for each in tmp_path.iterdir() if "r.json" in each.name]) == (69, "", [])
    code, out, _ = report("--format", "json")
    assert (code, out) == (69, "")


def test_what_cannot_be_written_is_not_in_the_log(here: Here, report: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert report("--out", tmp_path / "file" / "r.html")[0] == 69
    assert issued(here) == []


def test_a_wrong_period_is_refused_before_anything_is_done(here: Here, report: Run) -> None:
    code, _, said = report("--period", "last year")
    assert (code, issued(here)) == (2, [])
    assert "2026-01..2026-10" in said


def test_it_stands_on_a_checkpoint_when_there_is_a_key(here: Here, report: Run) -> None:
    def audit_of() -> Any:
        return json.loads(report("--format", "json")[1])["sections"]["cover"]["facts"]["audit"]

    unsigned = audit_of()
    assert (unsigned["status"], unsigned["checkpoint"]) == ("not_signed", None)
    signer = make_key(here.settings)
    signed = audit_of()
    assert (signed["status"], signed["size"], signed["checkpoint_size"]) == ("current", signed["size"], signed["size"])
    assert signed["verifier_key"] == signer.verifier_key
    assert signed["verify"] == f"ringfence-verify evidence.tar --key '{signer.verifier_key}'"
    assert (here.settings.audit_dir / "checkpoint").read_text() == signed["checkpoint"]
