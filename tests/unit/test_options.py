from __future__ import annotations

import os
from datetime import date

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.commands.options import DAY, OPERATOR, Asked, login_name
from ringfence.errors import Invalid
from ringfence.provisioning import check_operator


@given(st.text())
def test_an_operators_name_is_one_or_is_refused(text: str) -> None:
    try:
        name = check_operator(text)
    except Invalid:
        return
    assert check_operator(name) == name == name.lower()
    assert name.isascii()
    assert name.isprintable()
    assert 1 <= len(name) <= 60


@pytest.mark.parametrize(("text", "name"), [("Kim", "kim"), (" kim.b ", "kim.b"), ("kim@example.com", "kim@example.com"), ("DESK\\kim", "desk\\kim")])
def test_kim_is_one_person(text: str, name: str) -> None:
    assert check_operator(text) == name


@given(st.text() | st.dates().map(date.isoformat))
def test_a_day_is_one_or_is_refused(text: str) -> None:
    try:
        day = DAY.convert(text, None, None)
    except click.BadParameter:
        return
    assert DAY.convert(day.isoformat(), None, None) == DAY.convert(day, None, None) == day


def test_what_is_asked_for_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("click.prompt", lambda *_args, **_options: "Kim B")
    with pytest.raises(click.BadParameter):
        Asked(OPERATOR, "name").convert("-", None, None)
    assert Asked(OPERATOR, "name").convert("Kim", None, None) == "kim"


def test_only_root_says_for_whom_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "alex")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert login_name() == "alex"
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    assert login_name() == ""
