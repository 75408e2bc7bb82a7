from __future__ import annotations

import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialplan.emergency import postcode as postcodes
from dialplan.emergency.address import parse_address
from dialplan.emergency.postcode import Existence, existence, has_list, parse_postcode
from ringfence.errors import Invalid, Refused, RingfenceError

LIVE = ("SW1A 1AA", "EC1A 1BB", "M1 1AE", "B33 8TH", "CR2 6XH", "S9 5AD", "N1 9GU", "E20 2ST", "ZE1 0AA", "BT1 5GS")
NOT_LISTED = ("DN55 1PT", "W1A 0AX", "TN23 1EU")
ELSEWHERE = {
    "GY1 1AA": "Guernsey", "JE2 3AB": "Jersey", "IM1 1AA": "Isle of Man", "BF1 2AA": "BFPO", "BFPO 58": "BFPO", "BX9 1AS": "bulk", "XX10 1XX": "returned",
    "GIR 0AA": "Girobank", "ASCN 1ZZ": "overseas", "FIQQ 1ZZ": "overseas", "AI-2640": "overseas", "GX11 1AA": "Gibraltar", "ZZ99 9ZZ": "nowhere",
    "XM4 5HQ": "Christmas", "SAN TA1": "Christmas",
}  # fmt: skip


@pytest.mark.parametrize("text", LIVE)
def test_a_live_postcode_is_known_and_put_into_its_form(text: str) -> None:
    assert existence(text) is Existence.LIVE
    assert parse_postcode(text.lower().replace(" ", "")) == text
    assert parse_postcode(f" {text} ".replace(" ", "  ")[:12]) == text


@pytest.mark.parametrize("text", NOT_LISTED)
def test_one_not_on_the_list_warns_and_passes(text: str) -> None:
    assert existence(text) is Existence.UNKNOWN
    fields = {"name": "Example", "premises": "1", "thoroughfare": "King Street", "locality": "Sheffield", "postcode": text}
    assert parse_address(fields).warnings == (f"the postcode {text} is not on the list of live postcodes: a new one, or a slip",)


@pytest.mark.parametrize(("text", "why"), ELSEWHERE.items())
def test_places_that_the_database_does_not_take_are_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        parse_postcode(text)
    assert existence(text) is Existence.IMPOSSIBLE


NONE = (
    "", "S9", "S9 5CD", "Q1 1AA", "S9 5ADX", "GIR 0AAxyz", "x S9 5AD", "S9 5AD\n", "ZZ9 9ZZ9", "AA1 1AA", "S99 99S",
    "\uff339 5AD", "S\u0669 5AD", "S9;5AD", "NPT 0AA", "VV1 1AA", "S9 5AD" * 3,
)  # fmt: skip


@pytest.mark.parametrize("text", NONE)
def test_what_cannot_be_one_is_refused(text: str) -> None:
    with pytest.raises(RingfenceError):
        parse_postcode(text)
    assert existence(text) is Existence.IMPOSSIBLE


def test_a_slip_of_letter_and_digit_is_suggested_but_not_taken() -> None:
    for typed, meant in {"SW1A IAA": "SW1A 1AA", "S9 SAD": "S9 5AD", "MI 1AE": "M1 1AE"}.items():
        with pytest.raises(Invalid) as caught:
            parse_postcode(typed)
        assert caught.value.hint == f"did you mean {meant}?"


def test_without_the_list_every_possible_postcode_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise ModuleNotFoundError(name)

    postcodes._inward_codes.cache_clear()
    monkeypatch.setattr(postcodes, "import_module", absent)
    try:
        assert not has_list()
        assert existence("S9 5AD") is Existence.UNKNOWN
        assert existence("S9 5CD") is Existence.IMPOSSIBLE
        fields = {"name": "Example", "premises": "1", "thoroughfare": "King Street", "locality": "Sheffield", "postcode": "S9 5AD"}
        assert "not installed" in parse_address(fields).warnings[0]
    finally:
        postcodes._inward_codes.cache_clear()


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=14), st.text(alphabet=string.ascii_uppercase + string.digits + " -", min_size=5, max_size=9)))
def test_whatever_passes_has_the_shape_and_is_read_again_as_itself(text: str) -> None:
    try:
        proper = parse_postcode(text)
    except RingfenceError:
        assert existence(text) is Existence.IMPOSSIBLE
        return
    assert re.fullmatch(r"[A-Z]{1,2}[0-9][A-Z0-9]? [0-9][A-Z]{2}", proper)
    assert parse_postcode(proper) == proper
    assert existence(text) in {Existence.LIVE, Existence.UNKNOWN}


def test_the_shape_takes_live_postcodes_of_every_area() -> None:
    from importlib import import_module  # noqa: PLC0415
    from pkgutil import iter_modules  # noqa: PLC0415

    package = import_module("uk_postcodes_parsing.outcodes")
    districts = sorted(module.name for module in iter_modules(package.__path__) if any(map(str.isdigit, module.name)))
    first: dict[tuple[str, int], str] = {}
    for district in districts:
        area = re.match(r"[a-z]+", district)
        assert area
        first.setdefault((area[0], len(district)), district)
    checked = 0
    for (area_name, _), district in sorted(first.items()):
        inward = sorted(import_module(f"uk_postcodes_parsing.outcodes.{district}").INCODES)
        for code in (inward[0], inward[-1]):
            text = f"{district.upper()} {code}"
            if area_name.upper() in {"GY", "JE", "IM"}:
                with pytest.raises(Refused):
                    parse_postcode(text)
            else:
                assert parse_postcode(text) == text
            checked += 1
    assert checked > 300
