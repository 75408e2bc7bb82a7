from __future__ import annotations

from tests.cli.conftest import CommandLine


def test_an_account_is_made_shown_and_changed(ringfence: CommandLine) -> None:
    assert ringfence("account", "list").err == "no account; make one with 'ringfence account add'\n"
    ringfence.ok("account", "add", "ACME", "--name", "Zoë's Plumbing", "--concurrency", "10")
    ringfence.ok("account", "set", "ACME", "--no-concurrency", "--name", "Zoë Ltd")
    shown = ringfence.ok("account", "show", "ACME", "--json").data
    assert (shown["name"], shown["state"], shown["concurrency_limit"], shown["numbers"]) == ("Zoë Ltd", "active", None, [])
    assert shown["created_at"].endswith("Z")
    ringfence.ok("account", "suspend", "ACME")
    assert [row["state"] for row in ringfence.ok("account", "list", "--state", "suspended", "--json").data] == ["suspended"]
    ringfence.ok("account", "activate", "ACME")
    assert "active" in ringfence.ok("account", "list").out


def test_typical_mistakes(stocked: CommandLine) -> None:
    for arguments, code, told in (
        (("account", "add", "ACME", "--name", "x"), 5, "exists already"),
        (("account", "add", "A B", "--name", "x"), 2, "choose one like"),
        (("account", "add", "B"), 2, "--name"),
        (("account", "add", "B", "--name", "a\nb"), 2, "do not print"),
        (("account", "add", "B", "--name", "b", "--concurrency", "0"), 2, "--concurrency"),
        (("account", "set", "ACME"), 2, "nothing to set"),
        (("account", "set", "ACME", "--concurrency", "1", "--no-concurrency"), 2, "exclude"),
        (("account", "suspend", "AMCE"), 4, "did you mean ACME?"),
        (("account", "list", "--state", "gone"), 2, "suspended"),
    ):
        answer = stocked(*arguments)
        assert (answer.code, answer.out) == (code, "")
        assert told in answer.err


def test_closing_is_shown_before_it_is_done(stocked: CommandLine) -> None:
    dry = stocked.ok("account", "close", "ACME")
    assert "would close account ACME for good: 1 number(s)" in dry.out
    assert "--commit" in dry.err
    assert stocked.ok("account", "show", "ACME", "--json").data["state"] == "active"
    stocked.ok("account", "close", "ACME", "--commit")
    assert stocked.ok("account", "show", "ACME", "--json").data["state"] == "closed"
    assert stocked.ok("number", "show", "02079460123", "--json").data["state"] == "quarantined"
    assert stocked("account", "activate", "ACME").code == 5
