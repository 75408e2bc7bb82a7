"""Addresses for 999 on the command line: entering, confirming, looking up, coverage, files."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine

HOME = ("--class", "fixed", "--forename", "Ada", "--name", "Example", "--premises", "Flat 2, 104", "--thoroughfare", "King Street")
PLACE = (*HOME, "--locality", "Sheffield", "--postcode", "s95ad")
DID = "02079460123"
FILE = """number,class,name,premises,thoroughfare,locality,postcode,confirmed_by,confirmed_how,acknowledged
020 7946 0123,fixed,Example,104,King Street,"Great Attercliffe, Sheffield South",S9 5AD,Ada Example,phone,
02079460124,forward_only,,,,,,,,
02079460125,outside_uk,,,,,,,,yes
"""


@pytest.fixture
def three(stocked: CommandLine) -> CommandLine:
    for number in ("02079460124", "02079460125"):
        stocked.ok("number", "add", number, "--account", "ACME")
    return stocked


@pytest.fixture
def good(tmp_path: Path) -> str:
    file = tmp_path / "addresses.csv"
    file.write_text(FILE)
    return str(file)


def test_an_address_is_entered_shown_and_confirmed(stocked: CommandLine) -> None:
    checked = stocked.ok("emergency", "address", "set", DID, *PLACE, "--check")
    assert "Ada Example, Flat 2, 104, King Street, Sheffield, S9 5AD" in checked.out
    assert stocked("emergency", "address", "show", DID).code == 4
    assert "version 1, draft" in stocked.ok("emergency", "address", "set", DID, *PLACE, "--confirmed-by", "Ada Example", "--how", "phone").out
    shown = stocked.ok("emergency", "address", "show", DID, "--json").data
    assert (shown["state"], shown["phones"], shown["calls"]) == ("draft", ["desk-1"], "emergency_address_missing")
    assert (shown["fields"]["postcode"], shown["confirmed_by"], shown["confirmed_how"]) == ("S9 5AD", "Ada Example", "phone")
    assert "Flat 2, 104" in stocked.ok("emergency", "address", "show", DID).out
    stocked.ok("emergency", "address", "set", DID, *PLACE, "--premises", "106")
    stocked.ok("emergency", "address", "confirm", DID, "--confirmed-by", "Bo Example", "--how", "visit")
    versions = stocked.ok("emergency", "address", "history", DID, "--json").data
    assert [(one["version"], one["confirmed_by"], one["superseded_at"] is None) for one in versions] == [(2, "Bo Example", True), (1, "Ada Example", False)]


def test_what_is_shortened_is_shown(stocked: CommandLine) -> None:
    answer = stocked.ok("emergency", "address", "set", DID, *HOME, "--locality", "Great Attercliffe, Sheffield South", "--postcode", "S9 5AD")
    assert "locality is shortened from 'Great Attercliffe, Sheffield South' to 'Great Attercliffe, Sheffield S'" in answer.err
    assert "Great Attercliffe, Sheffield S, S9 5AD" in answer.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((*HOME, "--locality", "Sheffield"), 2, "postcode"),
        ((*HOME, "--locality", "St Helier", "--postcode", "JE2 3AB"), 3, "Jersey"),
        ((*HOME, "--locality", "${SHELL(id)}", "--postcode", "S9 5AD"), 2, "locality has a character"),
        ((*PLACE, "--confirmed-by", "Ada"), 2, "who and how"),
        (("--class", "outside_uk"), 3, "--acknowledged"),
        ((*PLACE, "--class", "forward_only"), 2, "has no address"),
    ],
)
def test_what_cannot_be_held_is_refused_with_the_reason(stocked: CommandLine, arguments: tuple[str, ...], code: int, words: str) -> None:
    answer = stocked("emergency", "address", "set", DID, *arguments)
    assert (answer.code, words in answer.err) == (code, True), answer.err
    assert stocked("emergency", "address", "show", DID).code == 4


def test_a_look_up_says_where_and_who_and_is_logged_with_its_purpose(stocked: CommandLine) -> None:
    assert stocked("emergency", "lookup", DID).code == 2  # no purpose
    unknown = stocked.ok("emergency", "lookup", DID, "--purpose", "test", "--json").data
    assert (unknown["address"], unknown["state"], unknown["customer"]) == (None, "missing", "Acme Plumbing Ltd")
    stocked.ok("emergency", "address", "set", DID, *PLACE)
    answer = stocked.ok("emergency", "lookup", DID, "--purpose", "emergency_services", "--json")
    assert (answer.data["address"], answer.data["account"], answer.data["phones"]) == (
        "Ada Example, Flat 2, 104, King Street, Sheffield, S9 5AD", "ACME", ["desk-1"],
    )  # fmt: skip
    assert answer.data["fields"]["thoroughfare"] == "King Street"
    assert "may not have this" in answer.err
    entries = stocked.ok("audit", "show", "--kind", "emergency.looked_up", "--json").data
    assert sorted(entry["body"]["purpose"] for entry in entries) == ["emergency_services", "test"]
    assert all(entry["body"]["ms"] < 1000 for entry in entries)
    assert "King" not in str(entries)


def test_coverage_lists_each_gap_with_its_owner(three: CommandLine, good: str) -> None:
    data = three.ok("emergency", "coverage", "--json").data
    assert (data["can_call"], data["covered"], data["gaps"], data["states"]) == (1, 0, 1, {"missing": 1})
    assert [(gap["number"], gap["account"], gap["why"]) for gap in data["listed"]] == [("+442079460123", "ACME", "there is no address for 999")]
    three.ok("emergency", "import", good, "--commit")
    for number in ("02079460124", "02079460125"):
        three.ok("endpoint", "add", f"desk-{number[-1]}", "--account", "ACME", "--did", number)
    data = three.ok("emergency", "coverage", "--json").data
    assert (data["can_call"], data["covered"], data["states"]) == (3, 1, {"draft": 1, "missing": 1})
    assert data["blocked"] == {"emergency_address_missing": 1, "forward_only_number": 1}
    table = three.ok("emergency", "coverage", "--limit", "1")
    assert "3 number(s) can call, 1 covered, 2 not: 1 draft, 1 missing" in table.out
    assert "--limit 0" in table.err


def test_a_file_shows_what_it_would_do_then_does_it_once(three: CommandLine, good: str, tmp_path: Path) -> None:
    dry = three.ok("emergency", "import", good)
    assert "would be: 3 new, 0 changed, 0 unchanged" in dry.out
    assert "Sheffield South" in dry.out  # what was shortened
    assert three("emergency", "address", "show", DID).code == 4
    assert "done: 3 new" in three.ok("emergency", "import", good, "--commit").out
    assert "0 new, 0 changed, 3 unchanged" in three.ok("emergency", "import", good, "--commit").out
    out = tmp_path / "out.csv"
    assert "3 address(es)" in three.ok("emergency", "export", str(out)).out
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "0 new, 0 changed, 3 unchanged" in three.ok("emergency", "import", str(out), "--commit").out
    out.write_text(out.read_text().replace("King Street", "Queen Street"))
    assert "0 new, 1 changed, 2 unchanged" in three.ok("emergency", "import", str(out), "--commit").out
    assert three.ok("emergency", "export", "-", "--account", "ACME").out.count("\n") == 4
    assert [entry["body"]["rows"] for entry in three.ok("audit", "show", "--kind", "emergency.exported", "--json").data] == [3, 3]


def test_every_bad_row_is_told_and_nothing_is_done(three: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    rows = (
        "02079460123,fixed,Example,104,King Street,Sheffield,S9 5AD",
        "02079460123,fixed,Example,105,King Street,Sheffield,S9 5AD",
        "02079460999,fixed,Example,104,King Street,Sheffield,S9 5AD",
        "02079460124,mobile,,,,,",
        '02079460124,fixed,=cmd(),"${X}",King Street,Sheffield,S9 5AD',
        "02079460125,outside_uk,,,,,",
        "02079460125,fixed,Example,PO Box 9,King Street,Sheffield,S9 5AD",
        "999,fixed,Example,104,King Street,Sheffield,S9 5AD",
    )
    file.write_text("number,class,name,premises,thoroughfare,locality,postcode\n" + "\n".join(rows) + "\n")
    answer = three("emergency", "import", str(file), "--commit")
    assert answer.code == 2
    assert [line.split(":")[0] for line in answer.err.splitlines() if line.startswith("line ")] == [f"line {number}" for number in (3, 4, 5, 6, 7, 8, 9)]
    assert "7 row(s) cannot be taken in: nothing was changed" in answer.err
    assert three("emergency", "address", "show", DID).code == 4


HOSTILE = (b"", b"number\n", b"number,class\n\xff", b'number,class\n"', "number,class\n".encode("utf-16"), b"number,class,town\n1,2,3\n")


@pytest.mark.parametrize("content", HOSTILE)
def test_a_hostile_file_is_one_clean_error(stocked: CommandLine, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "hostile.csv"
    file.write_bytes(content)
    answer = stocked("emergency", "import", str(file), "--commit")
    assert (answer.code, answer.err.startswith("error: ")) == (2, True)


def test_whoever_makes_a_phone_is_told_that_its_number_has_no_address(three: CommandLine) -> None:
    made = three.ok("endpoint", "add", "desk-2", "--account", "ACME", "--did", "02079460124")
    assert "its ordinary calls are refused: there is no address for 999" in made.err
    assert "refused" in three.ok("endpoint", "show", "desk-2", "--json").data["ordinary_calls"]
    three.ok("emergency", "address", "set", "02079460125", "--class", "outside_uk", "--acknowledged")
    changed = three.ok("endpoint", "set", "desk-2", "--did", "02079460125")
    assert "warning" not in changed.err
    assert three.ok("endpoint", "show", "desk-2", "--json").data["ordinary_calls"] == "allowed"
    assert "presents no number" in three.ok("endpoint", "set", "desk-2", "--no-did").err
