from __future__ import annotations

import pytest

from tests.cli.conftest import CommandLine


def test_a_trunk_has_everything_that_was_given(ringfence: CommandLine) -> None:
    ringfence.ok(
        *(
            "trunk",
            "add",
            "carrier-b",
            "--host",
            "SIP.example.com",
            "--port",
            "5061",
            "--transport",
            "tls",
            "--match",
            "192.0.2.1",
            "--match",
            "198.51.100.0/24",
        ),
        *(
            "--username",
            "acme",
            "--password-file",
            "/etc/ringfence/secrets/carrier-b",
            "--register",
            "--direction",
            "both",
            "--priority",
            "5",
            "--weight",
            "30",
        ),
        *("--caller-id", "pass_diversion", "--number-format", "national", "--network-number", "020 7946 0999", "--capacity", "60"),
        *("--cause", "404=transient", "--cause", "q21=final"),
    )
    shown = ringfence.ok("trunk", "show", "carrier-b", "--json").data
    assert shown.pop("created_at").endswith("Z")
    assert shown == {
        "name": "carrier-b",
        "host": "sip.example.com",
        "port": 5061,
        "transport": "tls",
        "match": ["192.0.2.1", "198.51.100.0/24"],
        "username": "acme",
        "password_file": "/etc/ringfence/secrets/carrier-b",
        "register": True,
        "direction": "both",
        "enabled": True,
        "priority": 5,
        "weight": 30,
        "caller_id_mode": "pass_diversion",
        "number_format": "national",
        "network_number": "+442079460999",
        "capacity": 60,
        "causes": {"404": "transient", "q21": "final"},
        "emergency": None,
        "emergency_location": None,
    }


def test_values_are_set_and_cleared(stocked: CommandLine) -> None:
    stocked.ok("trunk", "set", "carrier-a", "--capacity", "5", "--cause", "503=final", "--username", "us", "--password-file", "/etc/s", "--register")
    stocked.ok("trunk", "set", "carrier-a", "--clear", "capacity", "--clear", "login", "--weight", "7")
    shown = stocked.ok("trunk", "show", "carrier-a", "--json").data
    assert (shown["capacity"], shown["username"], shown["password_file"], shown["register"], shown["weight"]) == (None, None, None, False, 7)
    assert shown["causes"] == {"503": "final"}
    stocked.ok("trunk", "disable", "carrier-a")
    assert [row["enabled"] for row in stocked.ok("trunk", "list", "--json").data] == [False]
    stocked.ok("trunk", "enable", "carrier-a")
    assert "carrier-a" in stocked.ok("trunk", "list").out


def test_an_emergency_trunk_takes_no_other_calls(stocked: CommandLine) -> None:
    stocked.ok("trunk", "add", "first-999", "--host", "192.0.2.9", "--direction", "outbound", "--emergency", "10")
    assert stocked.ok("trunk", "show", "first-999", "--json").data["emergency"] == 10
    assert "1 enabled trunk(s) are left" in stocked.ok("trunk", "remove", "first-999").out
    stocked.ok("trunk", "set", "first-999", "--transport", "tcp", "--emergency-location", "civic")
    assert stocked.ok("trunk", "show", "first-999", "--json").data["emergency_location"] == "civic"
    for wrong, told in ((("--clear", "emergency"), "--clear emergency-location"), (("--transport", "udp"), "RFC 3261")):
        answer = stocked("trunk", "set", "first-999", *wrong)
        assert (answer.code, told in answer.err) == (2, True)
    stocked.ok("trunk", "set", "first-999", "--clear", "emergency-location")
    stocked.ok("trunk", "set", "first-999", "--clear", "emergency")
    assert stocked.ok("trunk", "show", "first-999", "--json").data["emergency"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("add", "carrier-a", "--host", "192.0.2.1", "--match", "192.0.2.1"), 5, "taken by a trunk"),
        (("add", "desk-1", "--host", "192.0.2.1", "--match", "192.0.2.1"), 5, "ringfence endpoint show desk-1"),
        (("add", "anonymous", "--host", "192.0.2.1"), 2, "taken by the configuration"),
        (("add", "Carrier", "--host", "192.0.2.1"), 2, "lower-case"),
        (("add", "b;c", "--host", "192.0.2.1"), 2, "lower-case"),
        (("add", "b", "--host", "sip.example.com:5060"), 2, "--port"),
        (("add", "b", "--host", "a\ncontext=x"), 2, "DNS name"),
        (("add", "b", "--host", "${SHELL(id)}"), 2, "DNS name"),
        (("add", "b", "--host", "192.0.2.1"), 2, "--match"),
        (("add", "b", "--host", "192.0.2.1", "--match", "0.0.0.0/0"), 2, "too wide"),
        (("add", "b", "--host", "192.0.2.1", "--direction", "outbound", "--register"), 2, "--username"),
        (("add", "b", "--host", "192.0.2.1", "--direction", "outbound", "--username", "a"), 2, "--password-file"),
        (("add", "b", "--host", "192.0.2.1", "--direction", "outbound", "--username", "a]b"), 2, "letters"),
        (("add", "b", "--host", "192.0.2.1", "--direction", "outbound", "--password-file", "relative"), 2, "absolute"),
        (("add", "b", "--host", "192.0.2.1", "--direction", "outbound", "--cause", "404"), 2, "404=transient"),
        (("add", "b", "--host", "192.0.2.1", "--direction", "outbound", "--cause", "200=final"), 2, "SIP status"),
        (("add", "b", "--host", "192.0.2.1", "--direction", "outbound", "--network-number", "0909 879 0123"), 2, "network number"),
        (("add", "b", "--host", "192.0.2.1", "--port", "0"), 2, "--port"),
        (("add", "b", "--host", "192.0.2.1", "--match", "192.0.2.1", "--emergency", "10"), 2, "--direction outbound"),
        (("add", "b", "--host", "192.0.2.1", "--direction", "outbound", "--emergency", "10", "--capacity", "3"), 2, "no limit of channels"),
        (("set", "carrier-a"), 2, "nothing to set"),
        (("set", "carrier-a", "--clear", "match"), 2, "--match"),
        (("set", "carier-a", "--weight", "1"), 4, "did you mean carrier-a?"),
        (("remove", "x", "--commit"), 4, "ringfence trunk list"),
    ],
)
def test_typical_mistakes(stocked: CommandLine, arguments: tuple[str, ...], code: int, told: str) -> None:
    answer = stocked("trunk", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert told in answer.err


def test_removing_is_shown_before_it_is_done(stocked: CommandLine) -> None:
    dry = stocked.ok("trunk", "remove", "carrier-a")
    assert "would remove trunk carrier-a: 0 enabled trunk(s) are left" in dry.out
    assert len(stocked.ok("trunk", "list", "--json").data) == 1
    stocked.ok("trunk", "remove", "carrier-a", "--commit")
    assert stocked.ok("trunk", "list", "--json").data == []
