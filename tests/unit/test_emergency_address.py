from __future__ import annotations

import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dialplan.emergency.abbreviation import shorten
from dialplan.emergency.address import FIELDS, LIMITS, MANDATORY, EmergencyAddress, one_line, parse_address
from ringfence.errors import Invalid, Refused, RingfenceError

HOME = {"title": "Ms", "forename": "Ada", "name": "Example", "premises": "Flat 2, 104", "thoroughfare": "King Street", "locality": "Attercliffe, Sheffield"} | {
    "postcode": "s95ad"
}
SHOP = {"name": "Smith & Sons", "bussuffix": "Ltd", "premises": "The Lighthouse", "thoroughfare": "Harbour Road", "locality": "Sheffield", "postcode": "S9 5AD"}
SYNTAX = set('${}[]"\\;|`<>=%*?!@~^_+\n\r\0')


def test_a_home_and_a_business_are_read() -> None:
    home, shop = parse_address(HOME), parse_address(SHOP)
    assert home.address == EmergencyAddress("Ms", "Ada", "Example", "", "", "Flat 2, 104", "King Street", "Attercliffe, Sheffield", "S9 5AD")
    assert (home.shortened, home.warnings) == ((), ())
    assert (home.address.business, shop.address.business) == (False, True)
    assert one_line(shop.address) == "Smith & Sons Ltd, The Lighthouse, Harbour Road, Sheffield, S9 5AD"


@pytest.mark.parametrize("field", MANDATORY)
def test_what_both_carriers_want_is_mandatory(field: str) -> None:
    for empty in ("", "   "):
        with pytest.raises(Invalid, match=f"lacks {field}"):
            parse_address({**HOME, field: empty})
    with pytest.raises(Invalid, match=f"lacks {field}"):
        parse_address({name: text for name, text in HOME.items() if name != field})


def test_a_field_nobody_knows_is_refused() -> None:
    with pytest.raises(Invalid, match="no such field"):
        parse_address({**HOME, "town": "Sheffield"})


@pytest.mark.parametrize("field", [field for field in FIELDS if field != "postcode"])
def test_a_text_as_long_as_the_limit_passes_and_one_longer_does_not(field: str) -> None:
    fields = {**(SHOP if field == "bussuffix" else HOME), field: "Q" * LIMITS[field]}
    assert getattr(parse_address(fields).address, field) == "Q" * LIMITS[field]
    with pytest.raises(Invalid, match=f"{field} has {LIMITS[field] + 1} characters"):
        parse_address({**fields, field: "Q" * (LIMITS[field] + 1)})


def test_known_words_are_shortened_only_as_far_as_needed_and_shown() -> None:
    long = "Upper Attercliffe Common North, Sheffield"
    with pytest.raises(Invalid, match="even with its known words shortened"):
        parse_address({**HOME, "locality": long})
    parsed = parse_address({**HOME, "locality": "Great Attercliffe, Sheffield South"})
    assert parsed.address.locality == "Great Attercliffe, Sheffield S"
    assert [str(one) for one in parsed.shortened] == ["locality is shortened from 'Great Attercliffe, Sheffield South' to 'Great Attercliffe, Sheffield S'"]


def test_a_word_is_shortened_in_its_own_case_and_only_whole() -> None:
    assert shorten("EXAMPLE TRADING LIMITED", 18) == "EXAMPLE TRDG LTD"
    assert shorten("example limited", 11) == "example ltd"
    assert shorten("Unlimitedness", 3) == "Unlimitedness"
    assert shorten("Limited", 7) == "Limited"


@pytest.mark.parametrize("text", ["PO Box 12", "P.O. Box 12", "p o box 12", "POBox 12", "Post Office Box 3", "c/o PO BOX 9"])
def test_no_help_can_be_sent_to_a_box(text: str) -> None:
    with pytest.raises(Refused, match="PO box"):
        parse_address({**HOME, "premises": text})


def test_a_business_has_no_title_and_premises_are_not_the_name() -> None:
    for field in ("title", "forename", "honours"):
        with pytest.raises(Invalid, match="a business has no title"):
            parse_address({**SHOP, field: "Dr"})
    with pytest.raises(Invalid, match="only repeats the name"):
        parse_address({**SHOP, "premises": "SMITH & SONS"})


def test_what_word_processors_and_wales_write_becomes_what_carriers_take() -> None:
    typed = {"name": "O\u2019Brien\u00a0 \u2013 Jones", "premises": "T\u0177 Gw\u0177n", "thoroughfare": "Rue de l'E\u0301glise"}
    address = parse_address({**HOME, **typed}).address
    assert (address.name, address.premises, address.thoroughfare) == ("O'Brien - Jones", "Ty Gwyn", "Rue de l'Église")


HOSTILE = (
    "${SHELL(id)}", "$[1+1]", "1 King St;drop", 'The "Inn"', "back\\slash", "a|b", "line\nbreak", "nul\0", "=cmd()", "+44", "-5", "@x",
    "\u202eabc", "\u5317\u4eac", "a\u0335", "\u00ba", "5\u00bd", "\u0661",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_syntax_of_asterisk_spreadsheets_and_protocols_is_refused(text: str) -> None:
    for field in ("name", "premises", "thoroughfare", "locality"):
        with pytest.raises(Invalid) as caught:
            parse_address({**HOME, field: text})
        assert text not in caught.value.message


_near = st.text(alphabet=string.printable + "${}[]éŵ\u2019\u2014\u0000\u202e;", max_size=80)
_any = st.one_of(_near, st.text(max_size=230))


@settings(max_examples=400, deadline=None)
@given(st.fixed_dictionaries({}, optional={field: st.one_of(_any, st.just(HOME.get(field, "Dr"))) for field in FIELDS}))
@example({**HOME, "premises": "${" * 30})
def test_whatever_passes_fits_carries_no_syntax_and_is_read_again_as_itself(fields: dict[str, str]) -> None:
    try:
        parsed = parse_address(fields)
    except RingfenceError:
        return
    values = {field: getattr(parsed.address, field) for field in FIELDS}
    assert all(len(text) <= LIMITS[field] for field, text in values.items())
    assert not SYNTAX & set("".join(values.values()))
    assert all(text == text.strip() and "  " not in text for text in values.values())
    assert "".join(values.values()).encode("latin-1")
    assert all(values[field] for field in MANDATORY)
    again = parse_address(values)
    assert (again.address, again.shortened) == (parsed.address, ())


_words = st.lists(st.sampled_from(["Street", "LIMITED", "north", "Attercliffe", "12a", "and", "Saint", "&", "(rear)", "Buildings,"]), max_size=14).map(" ".join)


@given(_words, st.integers(1, 70))
def test_shortening_never_cuts(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short) <= len(text)
    assert len(short.split()) == len(text.split())
    assert short == text or len(text) > limit
    unknown = [word for word in text.split() if word in {"Attercliffe", "12a", "(rear)"}]
    assert [word for word in short.split() if word in unknown] == unknown
