from __future__ import annotations

import hashlib
import sqlite3
import stat
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine


def stored_ha1(tmp_path: Path, name: str) -> str:
    connection = sqlite3.connect(tmp_path / "home" / "ringfence.db")
    try:
        return str(connection.execute("SELECT ha1 FROM endpoint WHERE name = ?", (name,)).fetchone()[0])
    finally:
        connection.close()


def ha1(name: str, password: str) -> str:
    return hashlib.md5(f"{name}:ringfence:{password}".encode(), usedforsecurity=False).hexdigest()


def test_a_password_is_shown_once_and_kept_as_a_digest(stocked: CommandLine, tmp_path: Path) -> None:
    answer = stocked.ok("endpoint", "add", "desk-2", "--account", "ACME")
    password = answer.out.strip()
    assert len(password) == 24
    assert password.isalnum()
    assert password not in answer.err
    assert stored_ha1(tmp_path, "desk-2") == ha1("desk-2", password)
    shown = stocked.ok("endpoint", "show", "desk-2", "--json")
    assert password not in shown.out
    assert "ha1" not in shown.out
    assert password.encode() not in (tmp_path / "home" / "ringfence.db").read_bytes()


def test_a_password_goes_into_a_file_of_its_own(stocked: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "desk-1.secret"
    answer = stocked.ok("endpoint", "password", "desk-1", "--password-out", str(file))
    assert answer.out == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stored_ha1(tmp_path, "desk-1") == ha1("desk-1", file.read_text().strip())


def test_a_password_that_cannot_be_handed_over_is_not_set(stocked: CommandLine, tmp_path: Path) -> None:
    before = stored_ha1(tmp_path, "desk-1")
    file = tmp_path / "exists"
    file.touch()
    assert stocked("endpoint", "password", "desk-1", "--password-out", str(file)).code == 5
    assert stocked("endpoint", "add", "desk-3", "--account", "ACME", "--password-out", str(tmp_path / "no" / "x")).code == 69
    assert stored_ha1(tmp_path, "desk-1") == before
    assert stocked("endpoint", "show", "desk-3").code == 4
    assert file.read_bytes() == b""


def test_two_passwords_are_never_alike(stocked: CommandLine) -> None:
    assert len({stocked.ok("endpoint", "password", "desk-1").out for _ in range(5)}) == 5


def test_an_endpoint_is_shown_with_what_rings_it(stocked: CommandLine) -> None:
    stocked.ok("number", "forward", "02079460123", "--to", "endpoint:desk-1")
    shown = stocked.ok("endpoint", "show", "desk-1", "--json").data
    assert (shown["account"], shown["caller_did"], shown["enabled"], shown["rung_by"]) == ("ACME", "+442079460123", True, ["+442079460123"])
    refused = stocked("endpoint", "remove", "desk-1")
    assert refused.code == 5
    assert "ringfence number forward" in refused.err


def test_an_endpoint_is_changed_and_removed(stocked: CommandLine) -> None:
    stocked.ok("endpoint", "disable", "desk-1")
    stocked.ok("endpoint", "set", "desk-1", "--no-did")
    assert [(row["enabled"], row["caller_did"]) for row in stocked.ok("endpoint", "list", "--account", "ACME", "--json").data] == [(False, None)]
    stocked.ok("endpoint", "enable", "desk-1")
    stocked.ok("endpoint", "set", "desk-1", "--did", "02079460123")
    stocked.ok("endpoint", "set", "desk-1", "--emergency-did", "02079460123", "--receive-only")
    shown = stocked.ok("endpoint", "show", "desk-1", "--json").data
    assert (shown["caller_did"], shown["emergency_did"], shown["receive_only"]) == ("+442079460123", "+442079460123", True)
    stocked.ok("endpoint", "set", "desk-1", "--no-emergency-did", "--no-receive-only")
    assert stocked.ok("endpoint", "show", "desk-1", "--json").data["emergency_did"] is None
    assert "would remove" in stocked.ok("endpoint", "remove", "desk-1").out
    assert len(stocked.ok("endpoint", "list", "--json").data) == 1
    stocked.ok("endpoint", "remove", "desk-1", "--commit")
    assert stocked.ok("endpoint", "list").err == "no endpoint; make one with 'ringfence endpoint add'\n"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("add", "desk-1", "--account", "ACME"), 5, "taken by an endpoint"),
        (("add", "carrier-a", "--account", "ACME"), 5, "taken by a trunk"),
        (("add", "Desk", "--account", "ACME"), 2, "lower-case"),
        (("add", "anonymous", "--account", "ACME"), 2, "taken by the configuration"),
        (("add", "desk-2", "--account", "NOBODY"), 4, "ringfence account list"),
        (("add", "desk-2", "--account", "ACME", "--did", "02079460999"), 3, "ringfence number list --account ACME"),
        (("set", "desk-1"), 2, "nothing to set"),
        (("set", "desk-1", "--did", "02079460123", "--no-did"), 2, "either"),
        (("password", "desk-9"), 4, "did you mean desk-1?"),
        (("list", "--account", "AMCE"), 4, "did you mean ACME?"),
    ],
)
def test_typical_mistakes(stocked: CommandLine, arguments: tuple[str, ...], code: int, told: str) -> None:
    answer = stocked("endpoint", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert told in answer.err


def test_the_number_that_999_is_shown_is_one_that_it_can_find(stocked: CommandLine) -> None:
    for number, account in (("02079460456", "ACME"), ("02079460789", "ACME"), ("02079460999", "OTHER")):
        if account == "OTHER":
            stocked.ok("account", "add", "OTHER", "--name", "Other Ltd")
        stocked.ok("number", "add", number, "--account", account)
    stocked.ok("emergency", "address", "set", "02079460789", "--class", "forward_only")
    for number, code, told in (
        ("02079460999", 3, "not one of account ACME"),
        ("02079460789", 3, "said to forward only"),
    ):
        for command in (("set", "desk-1"), ("add", "desk-9", "--account", "ACME")):
            answer = stocked("endpoint", *command, "--emergency-did", number)
            assert (answer.code, told in answer.err, answer.out) == (code, True, "")
    assert "emergency address set" in stocked("endpoint", "set", "desk-1", "--emergency-did", "02079460789").err
    assert stocked.ok("endpoint", "show", "desk-1", "--json").data["emergency_did"] is None
    assert stocked("endpoint", "show", "desk-9").code == 4
    warned = stocked.ok("endpoint", "set", "desk-1", "--emergency-did", "02079460456")
    assert "999 is shown a number of which it has no address: there is no address for 999" in warned.err
    assert stocked.ok("endpoint", "show", "desk-1", "--json").data["emergency_calls"] == "shown as +442079460456: there is no address for 999"
    assert "999 is shown" not in stocked.ok("endpoint", "set", "desk-1", "--receive-only").err
    stocked.ok("endpoint", "set", "desk-1", "--no-did", "--no-emergency-did")
    assert stocked.ok("endpoint", "show", "desk-1", "--json").data["emergency_calls"].startswith("none")
