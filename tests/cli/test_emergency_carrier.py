"""`emergency submit|poll|withdraw`, with a carrier that takes files."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine

DID = "02079460123"
PLACE = ("--class", "fixed", "--name", "Example", "--premises", "104", "--thoroughfare", "King Street", "--locality", "Sheffield", "--postcode", "S9 5AD")


@pytest.fixture
def folder(stocked: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RINGFENCE_EMERGENCY__CARRIER", "batch")
    monkeypatch.setenv("RINGFENCE_EMERGENCY__BATCH_DIR", str(tmp_path / "batches"))
    stocked.ok("emergency", "address", "set", DID, *PLACE)
    return tmp_path / "batches"


def requested(folder: Path) -> list[tuple[str, str]]:
    """Return reference and action of every request, in order."""
    found = []
    for path in sorted(folder.glob("batch-*.csv"), key=lambda path: path.stat().st_mtime_ns):
        with path.open(encoding="utf-8", newline="") as file:
            found += [(row["reference"], row["action"]) for row in csv.DictReader(file)]
    return found


def answer(folder: Path, reference: str, status: str) -> None:
    with (folder / "answers" / f"{reference}-{status}.csv").open("w", encoding="utf-8") as file:
        file.write(f"reference,status,reason\n{reference},{status},Postcode\n")


def test_an_address_goes_out_is_refused_sent_again_accepted_and_withdrawn(stocked: CommandLine, folder: Path) -> None:
    assert "due now" in stocked.ok("emergency", "submit", DID).out
    first = stocked.ok("emergency", "poll", "--json").data
    assert first == {"carrier": "batch", "done": 1, "put_off": 0, "failed": 0, "more": False, "requests": {"waiting": 1}}
    ((reference, _),) = requested(folder)
    answer(folder, reference, "rejected")
    assert stocked.ok("emergency", "poll", "--json").data["failed"] == 0  # not due yet
    assert stocked.ok("emergency", "poll", DID, "--json").data["failed"] == 1
    assert stocked.ok("emergency", "address", "show", DID, "--json").data["refusal"] == "Postcode"
    assert "queued" in stocked.ok("emergency", "submit", DID).out
    stocked.ok("emergency", "poll")
    second = requested(folder)[1][0]
    assert second != reference
    answer(folder, second, "accepted")
    stocked.ok("emergency", "poll", DID)
    assert stocked.ok("emergency", "address", "show", DID, "--json").data["state"] == "accepted"
    assert stocked("emergency", "withdraw", DID).code == 5  # it has its owner
    stocked.ok("number", "release", DID, "--commit")
    stocked.ok("emergency", "withdraw", DID)
    stocked.ok("emergency", "poll")
    third, action = requested(folder)[2]
    assert action == "withdraw"
    answer(folder, third, "withdrawn")
    stocked.ok("emergency", "poll", DID)
    assert stocked("emergency", "withdraw", DID).code == 4
    assert stocked.ok("emergency", "address", "history", DID, "--json").data[0]["state"] == "withdrawn"


def test_what_cannot_be_asked_is_said(stocked: CommandLine) -> None:
    assert stocked("emergency", "submit", DID).code == 4
    stocked.ok("emergency", "address", "set", DID, "--class", "forward_only")
    assert stocked("emergency", "submit", DID).code == 5
    missing = stocked("emergency", "poll")
    assert missing.code == 78
    assert "emergency.carrier" in missing.err
