from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dialplan.numbers import (
    Dialled,
    ShortCode,
    ShortCodeKind,
    classify,
    format_for,
    is_crown_dependency,
    is_drama,
    mask,
    parse_dialled,
    parse_number,
    short_code,
)
from ringfence.errors import Invalid
from ringfence.values import E164, NumberClass, NumberFormat

WRITTEN = {
    "020 7946 0123": "+442079460123",
    "07700 900123": "+447700900123",
    "+44 7700 900 123": "+447700900123",
    "+44(0)7700 900123": "+447700900123",
    "+4407700900123": "+447700900123",
    "0044 (0) 20 7946 0123": "+442079460123",
    "44 20 7946 0123": "+442079460123",
    "020.7946.0123": "+442079460123",
    "0117-496-0123": "+441174960123",
    " 02079460123 ": "+442079460123",
    "016977 2345": "+44169772345",  # nine digits after the 0
    "0800 1111": "+448001111",
    "0800 123456": "+44800123456",
    "0845 46 47": "+448454647",
    "056 1234 5678": "+445612345678",
    "01632 960123": "+441632960123",  # the library calls it invalid
    "0115 496 0123": "+441154960123",  # and this one
    "+353 1 234 5678": "+35312345678",
    "00353 1 234 5678": "+35312345678",
    "+39 06 1234 5678": "+390612345678",  # the 0 belongs to the number
}


@pytest.mark.parametrize(("text", "number"), WRITTEN.items())
def test_a_number_is_read_as_people_write_it(text: str, number: str) -> None:
    assert parse_number(text) == number


PITFALLS = (
    "999", "112", "18000", "101", "111", "105", "119", "159", "116123", "118118", "1471", "1571", "141", "1470",
    "18002 020 7946 0123", "18001 020 7946 0123", "14102079460123", "1470 020 7946 0123",
    "020-SHOP-SALE", "\uff10\uff12\uff10 7946 0123", "\u0660\u0662\u0660 7946 0123", "o7700 900123", "++447700900123", "0770\u200b0900123",
    "020 7946 0123 ext 12", "020 7946 0123;ext=5", "020 7946 0123x12", "0056 123", "07700900123 07700900124",
    "+44 999", "+44999", "9999", "7700900123", "2079460123", "", "+", "0", "+0", "++", "020 7946 012", "020 7946 01234",
    "+44 18002 0 20 7946 0123", "+44 180020 79460123", "+440", "0044", "020 7946 0123\n", "020 7946\n0123", "020\t7946 0123",
    "tel:+442079460123", "+1", "+999 123 456 7890", "0" * 23, "00 00 00", "+44 0 0 20 7946 0123",
)  # fmt: skip


@pytest.mark.parametrize("text", PITFALLS)
def test_what_is_not_a_subscribers_number_is_refused_with_a_way_on(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_number(text)
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *((code, ShortCodeKind.EMERGENCY) for code in ("999", "112", "18000")),
        *((code, ShortCodeKind.ESSENTIAL) for code in ("101", "111", "105", "119", "159", "116000", "116123", "116 123")),
        *((code, ShortCodeKind.DIRECTORY) for code in ("118118", "118500", "118 500")),
        *((code, ShortCodeKind.FEATURE) for code in ("1471", "1571", "141", "1470", "18001", "18002")),
    ],
)
def test_short_codes_are_known_by_kind(text: str, kind: ShortCodeKind) -> None:
    found = short_code(text)
    assert found == ShortCode(text.replace(" ", ""), kind)
    assert found.emergency == (kind is ShortCodeKind.EMERGENCY)


@pytest.mark.parametrize("text", ["9999", "99", "1129", "02079460123", "0999", "+999", "11612", "1161234", "", "\u0669\u0669\u0669", "999\n", "180000"])
def test_nothing_else_is_a_short_code(text: str) -> None:
    assert short_code(text) is None


@pytest.mark.parametrize(
    ("text", "dialled"),
    [
        ("02079460123", Dialled(e164=E164("+442079460123"))),
        ("14102079460123", Dialled(e164=E164("+442079460123"), withhold=True)),
        ("147002079460123", Dialled(e164=E164("+442079460123"), release=True)),
        ("1411470 02079460123", Dialled(e164=E164("+442079460123"), release=True)),
        ("18002 020 7946 0123", Dialled(e164=E164("+442079460123"), relay="18002")),
        ("141 18001 020 7946 0123", Dialled(e164=E164("+442079460123"), withhold=True, relay="18001")),
        ("141+442079460123", None),
        ("2079460123", None),
        ("9999", None),
        ("141", Dialled(short_code=ShortCode("141", ShortCodeKind.FEATURE))),
        ("1471", Dialled(short_code=ShortCode("1471", ShortCodeKind.FEATURE))),
        ("118118", Dialled(short_code=ShortCode("118118", ShortCodeKind.DIRECTORY))),
        ("+35312345678", Dialled(e164=E164("+35312345678"))),
    ],
)
def test_what_a_phone_sends_is_read_with_its_prefixes(text: str, dialled: Dialled | None) -> None:
    if dialled is None:
        with pytest.raises(Invalid):
            parse_dialled(text)
    else:
        assert parse_dialled(text) == dialled


@pytest.mark.parametrize("code", ["999", "112", "18000"])
@pytest.mark.parametrize("prefix", ["", "141", "1470", "18001", "18002", "14118001", "1471470"])
def test_an_emergency_number_is_one_behind_any_prefix(prefix: str, code: str) -> None:
    if prefix == "1471470":  # 147 is no prefix
        with pytest.raises(Invalid):
            parse_dialled(prefix + code)
        return
    dialled = parse_dialled(prefix + code)
    assert dialled.short_code is not None
    assert dialled.short_code.emergency
    assert dialled.short_code.code == code


@pytest.mark.parametrize(
    ("number", "number_class"),
    [
        ("+442079460123", NumberClass.GEOGRAPHIC),
        ("+441174960123", NumberClass.GEOGRAPHIC),
        ("+443069990123", NumberClass.UK_WIDE),
        ("+445512345678", NumberClass.CORPORATE),
        ("+445612345678", NumberClass.VOIP),
        ("+447012345678", NumberClass.PERSONAL),
        ("+447700900123", NumberClass.MOBILE),
        ("+447624123456", NumberClass.MOBILE),
        ("+447612345678", NumberClass.PAGER),
        ("+448081570123", NumberClass.FREEPHONE),
        ("+448001111", NumberClass.FREEPHONE),
        ("+448431234567", NumberClass.SERVICE),
        ("+448711234567", NumberClass.SERVICE),
        ("+449098790123", NumberClass.PREMIUM),
        ("+448979123456", NumberClass.UNUSED),
        ("+444123456789", NumberClass.UNUSED),
        ("+446123456789", NumberClass.UNUSED),
        ("+445012345678", NumberClass.UNUSED),
        ("+35312345678", NumberClass.INTERNATIONAL),
    ],
)
def test_a_number_has_the_class_of_its_range(number: str, number_class: NumberClass) -> None:
    assert classify(E164(number)) is number_class


@pytest.mark.parametrize(
    "number", ["+44", "+44999", "+44123456", "442079460123", "02079460123", "+4420794601234", "", "+44207946012x", "+442079460123\n", "+0123456789"]
)
def test_only_e164_of_a_possible_length_has_a_class(number: str) -> None:
    with pytest.raises(Invalid):
        classify(E164(number))


@pytest.mark.parametrize(
    "number",
    ["+441134960000", "+441914980999", "+442079460123", "+441632960999", "+447700900000", "+448081570123", "+449098790123", "+443069990123", "+442920180123"],
)
def test_drama_numbers_are_known(number: str) -> None:
    assert is_drama(E164(number))


@pytest.mark.parametrize("number", ["+441914960123", "+442079470123", "+447700901123", "+441632961000", "+35312345678", "+4477009001"])
def test_their_neighbours_are_real_numbers(number: str) -> None:
    assert not is_drama(E164(number))


@pytest.mark.parametrize("number", ["+441481123456", "+441534123456", "+441624123456", "+447781123456", "+447797123456", "+447624123456", "+447911123456"])
def test_crown_dependencies_are_known(number: str) -> None:
    assert is_crown_dependency(E164(number))


@pytest.mark.parametrize("number", ["+442079460123", "+447700900123", "+447911223456", "+35314811234"])
def test_the_uk_is_none_of_them(number: str) -> None:
    assert not is_crown_dependency(E164(number))


def test_a_trunk_gets_the_form_it_wants() -> None:
    uk, abroad = E164("+442079460123"), E164("+35312345678")
    assert [format_for(uk, wanted) for wanted in NumberFormat] == ["+442079460123", "442079460123", "02079460123"]
    assert [format_for(abroad, wanted) for wanted in NumberFormat] == ["+35312345678", "35312345678", "0035312345678"]


NATIONAL = st.one_of(
    st.from_regex(r"[1-3][0-9]{9}", fullmatch=True),
    st.from_regex(r"1[0-9]{8}", fullmatch=True),
    st.from_regex(r"[5-9][0-9]{9}", fullmatch=True),
    st.from_regex(r"800[0-9]{6}", fullmatch=True),
)
LEADS = st.sampled_from(["0", "+44", "+44 0", "+44 (0) ", "0044", "0044 0", "44", "440"])


@given(LEADS, NATIONAL, st.data())
@settings(max_examples=150)
def test_every_way_to_write_a_uk_number_means_the_same(lead: str, national: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(national) - 1))
    written = f"{lead}{national[:cut]}{data.draw(st.sampled_from(['', ' ', '-', '.']))}{national[cut:]}"
    number = parse_number(written)
    assert number == f"+44{national}"
    assert parse_number(number) == number
    for wanted in NumberFormat:
        assert parse_number(format_for(number, wanted)) == number


@given(NATIONAL)
@settings(max_examples=150)
def test_the_library_reads_plain_uk_numbers_as_we_do(national: str) -> None:
    theirs = phonenumbers.format_number(phonenumbers.parse(f"+44{national}", "GB"), phonenumbers.PhoneNumberFormat.E164)
    assert parse_number(f"0{national}") == theirs


@given(st.text(max_size=30) | st.text(alphabet="+0123456789 ().-", max_size=26))
@example("+4420794601" + "2" * 12)
@settings(max_examples=300)
def test_any_text_is_a_number_or_refused(text: str) -> None:
    for parse in (parse_number, parse_dialled):
        try:
            found = parse(text)
        except Invalid as error:
            assert len(text) < 7 or text not in error.message  # noqa: PT017  short codes may be named, subscribers' numbers not
            continue
        number = found.e164 if isinstance(found, Dialled) else found
        if number is not None:
            assert number.startswith("+")
            assert number[1:].isascii()
            assert number[1:].isdigit()
            assert 7 <= len(number) - 1 <= 15
            classify(number)


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+442079460123", "+44•••••••123"),
        ("+35312345678", "+353•••••678"),
        ("+12025550123", "+1•••••••123"),
        ("+448001111", "+44••••111"),
        ("02079460123", "••••••••123"),
        ("999", "•••"),
        ("", ""),
    ],
)
def test_a_masked_number_keeps_country_and_last_three(number: str, masked: str) -> None:
    assert mask(number) == masked


@given(NATIONAL)
@settings(max_examples=50)
def test_masking_hides_at_least_half(national: str) -> None:
    assert sum(character == "•" for character in mask(f"+44{national}")) >= 6 - (10 - len(national)) * 2
