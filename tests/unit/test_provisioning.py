from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.errors import Invalid
from ringfence.provisioning import (
    RESERVED_NAMES,
    check_display_name,
    check_host,
    check_name,
    check_networks,
    check_password_file,
    check_ref,
    check_username,
    not_found,
)

SYNTAX = set("${}[];|,\n\r\"'\\=&~^ #<>()")


@pytest.mark.parametrize("name", ["a", "carrier-a", "0", "a" * 40])
def test_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "-a", "a b", "a" * 41, "a\n", "a_b", "a.b", "${x}", "[a]", "é", "a;b", *sorted(RESERVED_NAMES)])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(Invalid):
        check_name(name)


@pytest.mark.parametrize(
    ("host", "stored"), [("sip.example.com", "sip.example.com"), ("SIP.Example.COM", "sip.example.com"), ("192.0.2.1", "192.0.2.1"), ("localhost", "localhost")]
)
def test_hosts(host: str, stored: str) -> None:
    assert check_host(host) == stored


@pytest.mark.parametrize(
    "host",
    ["", ".", "a..b", "-a.example", "a-.example", "192.0.2", "192.0.2.256", "01.2.3.4", "1.2.3.4.5", "::1", "[::1]", "a:5060", "sip:a", "a b", "a\n", "a;x",
     "exämple.com",      "a" * 64, ".".join(["a" * 63] * 5), "a_b.example", "user@host", "a/b", "host.example."],
)  # fmt: skip
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(Invalid):
        check_host(host)


def test_networks() -> None:
    assert check_networks(["192.0.2.1", "192.0.2.1/32", "198.51.100.0/24", "2001:db8::/32", "2001:0db8::1"]) == [
        "192.0.2.1",
        "198.51.100.0/24",
        "2001:db8::/32",
        "2001:db8::1",
    ]


@pytest.mark.parametrize(
    "network", ["", "192.0.2.1/24", "0.0.0.0/0", "10.0.0.0/7", "::/0", "192.0.2.0/255.255.255.0x", "carrier.example.com", "192.0.2.1\n", "1", "!192.0.2.1"]
)
def test_what_is_no_network(network: str) -> None:
    with pytest.raises(Invalid):
        check_networks([network])


@pytest.mark.parametrize("path", ["/etc/ringfence/carrier-a", "/a"])
def test_password_files(path: str) -> None:
    assert check_password_file(path) == path


@pytest.mark.parametrize("path", ["", "/", "relative", "/a/../b", "/a b", "/a;b", "/a\n", "~/x", "/" + "a" * 300])
def test_what_is_no_password_file(path: str) -> None:
    with pytest.raises(Invalid):
        check_password_file(path)


def test_customers_names_may_be_in_any_script_but_must_print() -> None:
    assert check_display_name("  Zoe\u0308 & O\u2019Brien Ltd 株式会社 ") == "Zoë & O\u2019Brien Ltd 株式会社"
    for bad in ("", "  ", "a\nb", "a\x1b[31m", "a\u202eb", "a\x00", "x" * 201, "a\u200bb"):
        with pytest.raises(Invalid):
            check_display_name(bad)


@given(st.text(max_size=60))
@settings(max_examples=300)
def test_nothing_that_passes_carries_syntax(text: str) -> None:
    for check in (check_name, check_ref, check_host, check_username, check_password_file):
        try:
            passed = check(text)
        except Invalid:
            continue
        assert passed.isascii()
        assert not set(passed) & SYNTAX


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    error = not_found("trunk", "carier-a", ["carrier-a", "other"], "ringfence trunk list")
    assert error.message == "there is no trunk carier-a"
    assert error.hint == "did you mean carrier-a? 'ringfence trunk list' lists them"
    assert not_found("trunk", "x\x1b", [], "ringfence trunk list").message == "there is no trunk of that name"
