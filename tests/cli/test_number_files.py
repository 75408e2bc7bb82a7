from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine

GOOD = """number,account,forward_to,ring_seconds
020 7946 0123,ACME,07700900123,30
02079460124,ACME,mobile:07700900124:20; endpoint:desk-1/landline:0117 496 0456,
"'+442079460125",ACME,,
02079460126,,,
"""


@pytest.fixture
def good(tmp_path: Path) -> str:
    file = tmp_path / "numbers.csv"
    file.write_text(GOOD)
    return str(file)


def test_an_import_shows_what_it_would_do_and_does_nothing(stocked: CommandLine, good: str) -> None:
    before = stocked.ok("number", "list", "--json").out
    dry = stocked.ok("number", "import", good)
    assert "would be: 3 new, 0 assigned, 0 moved, 1 changed, 0 unchanged; calls to 2 number(s) would go elsewhere than before" in dry.out
    assert "--commit" in dry.err
    data = stocked.ok("number", "import", good, "--json").data
    assert (data["committed"], data["new"], data["changed"]) == (False, 3, 1)
    assert data["changes"][0] == {"effect": "changed", "number": "+442079460123", "account": "ACME", "before": [], "after": ["mobile:+447700900123:30"]}
    assert stocked.ok("number", "list", "--json").out == before


def test_an_import_is_done_once(stocked: CommandLine, good: str) -> None:
    assert "done: 3 new" in stocked.ok("number", "import", good, "--commit").out
    rows = {row["number"]: row for row in stocked.ok("number", "list", "--json").data}
    assert rows["+442079460124"]["forward_to"] == ["mobile:+447700900124:20", "endpoint:desk-1:25/landline:+441174960456:25"]
    assert [rows[f"+44207946012{digit}"]["account"] for digit in "3456"] == ["ACME", "ACME", "ACME", None]
    again = stocked.ok("number", "import", good, "--commit")
    assert "4 unchanged" in again.out


def test_every_bad_row_is_told_with_its_line_and_nothing_is_done(stocked: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(
        "number,account,forward_to\n"
        "02079460124,ACME,07700900123\n"  # good
        "999,ACME,\n"
        "02079460125,ACNE,\n"
        "02079460124,ACME,\n"
        "02079460126,ACME,0909 879 0123\n"
        "02079460127,ACME\n"
        "02079460128,ACME,\"=cmd|'/c calc'!A1\"\n"
        "02079460123,,\n"
    )
    answer = stocked("number", "import", str(file), "--commit")
    assert answer.code == 2
    lines = answer.err.splitlines()
    assert [line.split(":")[0] for line in lines[:-2]] == [f"line {number}" for number in (3, 4, 5, 6, 7, 8, 9)]
    assert "did you mean ACME?" in lines[1]
    assert "line 2 already" in lines[2]
    assert lines[-2] == "error: 7 row(s) cannot be taken in: nothing was changed"
    assert len(stocked.ok("number", "list", "--json").data) == 1


def test_there_is_an_end_to_the_complaints(stocked: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("number\n" + "999\n" * 120)
    answer = stocked("number", "import", str(file))
    assert answer.code == 2
    assert "… and 70 more" in answer.err
    assert "120 row(s)" in answer.err


@pytest.mark.parametrize(
    "content", [b"", b"\x00", "number\n1".encode("utf-16"), b"number\n\xff\n", b'number\n"', b"num\x1b[31mber\n1\n", b"number\n" + b"1" * 200_000]
)
def test_a_hostile_file_is_one_clean_error(stocked: CommandLine, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "hostile.csv"
    file.write_bytes(content)
    answer = stocked("number", "import", str(file), "--commit")
    assert answer.code == 2
    assert answer.err.startswith("error: ")
    assert not set(answer.err) & set("\x1b\x00")


def test_what_is_exported_is_imported_without_change(stocked: CommandLine, good: str, tmp_path: Path) -> None:
    stocked.ok("number", "import", good, "--commit")
    out = tmp_path / "out.csv"
    assert "4 number(s)" in stocked.ok("number", "export", str(out)).out
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert not any(cell.startswith(("=", "+", "-", "@")) for line in out.read_text().splitlines() for cell in line.split(","))
    assert "4 unchanged" in stocked.ok("number", "import", str(out), "--commit").out
    assert stocked("number", "export", str(out)).code == 5
    stocked.ok("number", "export", str(out), "--force", "--account", "ACME")
    assert len(out.read_text().splitlines()) == 4
    assert stocked.ok("number", "export", "-", "--account", "ACME").out == out.read_text()
