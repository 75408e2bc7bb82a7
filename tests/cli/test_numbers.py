from __future__ import annotations

import pytest

from tests.cli.conftest import CommandLine


def test_a_number_is_provisioned_by_hand(stocked: CommandLine) -> None:
    told = stocked.ok("number", "forward", "02079460123", "--to", "mobile:07700 900123:25/endpoint:desk-1", "--to", "0117 496 0456:40")
    assert told.out == "+442079460123 forwards to mobile:+447700900123:25/endpoint:desk-1:25, then landline:+441174960456:40\n"
    shown = stocked.ok("number", "show", "+44 20 7946 0123", "--json").data
    assert (shown["account"], shown["state"], shown["class"]) == ("ACME", "active", "geographic")
    assert [(target["position"], target["kind"], target["ring_seconds"]) for target in shown["targets"]] == [
        (1, "mobile", 25),
        (1, "endpoint", 25),
        (2, "landline", 40),
    ]
    assert [owner["until"] for owner in shown["owners"]] == [None]
    assert "landline:+441174960456:40" in stocked.ok("number", "list").out
    stocked.ok("number", "forward", "02079460123", "--none")
    assert stocked.ok("number", "show", "02079460123", "--json").data["targets"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("add", "02079460123"), 5, "is there already"),
        (("add", "999"), 2, "short code"),
        (("add", "0909 879 0123"), 3, "premium"),
        (("add", "2079460124"), 2, "spreadsheets drop"),
        (("add", "02079460124", "--account", "NOBODY"), 4, "ringfence account list"),
        (("assign", "02079460123", "ACME"), 5, "ringfence number release +442079460123 --commit"),
        (("assign", "02079460999", "ACME"), 4, "ringfence number add"),
        (("forward", "02079460123"), 2, "--to TARGET or --none"),
        (("forward", "02079460123", "--to", "999"), 2, "short code"),
        (("forward", "02079460123", "--to", "07012 345678"), 3, "070"),
        (("forward", "02079460123", "--to", "0844 123 4567"), 3, "084"),
        (("forward", "02079460123", "--to", "mobile:01174960456"), 2, "write landline:NUMBER"),
        (("forward", "02079460123", "--to", "+353 86 123 4567"), 3, "routing.international"),
        (("forward", "02079460123", "--to", "02079460123"), 3, "loop"),
        (("forward", "02079460123", "--to", "endpoint:desk-2"), 3, "ringfence endpoint list --account ACME"),
        (("forward", "02079460123", "--to", "desk-1"), 2, "endpoint:desk-12"),
        (("forward", "02079460123", "--to", "07700900123:3"), 2, "5 to 120 seconds"),
        (("release", "02079460999"), 4, "ringfence number list"),
    ],
)
def test_typical_mistakes(stocked: CommandLine, arguments: tuple[str, ...], code: int, told: str) -> None:
    answer = stocked("number", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert told in answer.err


def test_warnings_go_to_stderr(stocked: CommandLine) -> None:
    assert "every network" in stocked.ok("number", "add", "056 1234 5678").err
    assert "cost more" in stocked.ok("number", "forward", "02079460123", "--to", "01534 123456").err


def test_drama_numbers_are_for_demos_only(stocked: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGFENCE_ROUTING__DRAMA_NUMBERS", "false")
    answer = stocked("number", "add", "02079460124")
    assert answer.code == 3
    assert "drama" in answer.err


def test_releasing_is_shown_before_it_is_done(stocked: CommandLine) -> None:
    stocked.ok("number", "forward", "02079460123", "--to", "07700900123")
    dry = stocked.ok("number", "release", "02079460123")
    assert dry.out == "would release +442079460123: account ACME loses it, 1 target(s) are dropped, it goes into quarantine\n"
    assert stocked.ok("number", "show", "02079460123", "--json").data["state"] == "active"
    stocked.ok("number", "release", "02079460123", "--commit")
    assert stocked("number", "assign", "02079460123", "ACME").code == 5
    stocked.ok("number", "assign", "02079460123", "ACME", "--end-quarantine")
    owners = stocked.ok("number", "show", "02079460123", "--json").data["owners"]
    assert [owner["until"] is None for owner in owners] == [False, True]


def test_a_list_says_when_there_is_more(stocked: CommandLine) -> None:
    stocked.ok("number", "add", "02079460124")
    short = stocked.ok("number", "list", "--limit", "1", "--json")
    assert len(short.data) == 1
    assert "--limit 0" in short.err
    assert stocked.ok("number", "list", "--limit", "2").err == ""
    assert len(stocked.ok("number", "list", "--limit", "0", "--json").data) == 2
    assert [row["number"] for row in stocked.ok("number", "list", "--account", "ACME", "--json").data] == ["+442079460123"]
    assert stocked.ok("number", "list", "--state", "quarantined", "--json").data == []
