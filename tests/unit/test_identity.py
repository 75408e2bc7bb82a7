from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialplan.identity import for_own_call, for_phone, for_trunk, presentable, signalled_number
from ringfence.values import E164, CallerIdMode, NumberFormat
from tests.unit.plans import CALLER, DID, inbound, trunk

OURS = E164(DID)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+442079460123", DID),
        ("00442079460123", DID),
        ("442079460123", DID),
        ("02079460123", DID),
        ("+12025550123", "+12025550123"),
        ("0012025550123", "+12025550123"),
        ("2079460123", None),
        ("12025550123", None),
        ("", None),
        ("+", None),
        ("00", None),
        ("0", None),
        ("44", None),
        ("+0123456789", None),
        ("999", None),
        ("+44" + "1" * 20, None),
        ("anonymous", None),
    ],
)
def test_numbers_are_read_as_uk_carriers_signal_them(text: str, number: str | None) -> None:
    assert signalled_number(text) == number


@pytest.mark.parametrize("text", ["09098790123", "07012345678", "07612345678", "08451234567", "08701234567", "+44999", "101", "", "5551234"])
def test_numbers_that_may_never_be_shown(text: str) -> None:
    assert presentable(text) is None


@pytest.mark.parametrize("text", ["02079460123", "+447700900123", "+12025550123", "08081570123", "03069990123", "05600000000"])
def test_numbers_that_may_be_shown(text: str) -> None:
    assert presentable(text) is not None


def test_a_did_trunk_shows_the_number_that_was_called_and_nothing_else() -> None:
    identity = for_trunk(inbound(), OURS, trunk(caller_id_mode=CallerIdMode.DID))
    assert (identity.number, identity.withheld, identity.network_number, identity.diversion) == (DID, False, "", "")


def test_a_passing_trunk_shows_the_caller_and_one_with_diversion_says_through_whom() -> None:
    assert for_trunk(inbound(), OURS, trunk(caller_id_mode=CallerIdMode.PASS)).number == CALLER
    assert for_trunk(inbound(), OURS, trunk(caller_id_mode=CallerIdMode.PASS)).diversion == ""
    both = for_trunk(inbound(), OURS, trunk(caller_id_mode=CallerIdMode.PASS_DIVERSION, number_format=NumberFormat.E164))
    assert (both.number, both.diversion) == (CALLER[1:], DID)


@pytest.mark.parametrize("caller", ["", "09098790123", "07012345678", "12345"])
@pytest.mark.parametrize("mode", [CallerIdMode.PASS, CallerIdMode.PASS_DIVERSION])
def test_a_caller_that_may_not_be_shown_is_replaced_by_the_did(caller: str, mode: CallerIdMode) -> None:
    assert for_trunk(inbound(caller=caller), OURS, trunk(caller_id_mode=mode)).number == DID


@pytest.mark.parametrize("mode", list(CallerIdMode))
@pytest.mark.parametrize("presentation", ["prohib", "prohib_not_screened", "prohib_passed_screen"])
def test_withheld_stays_withheld(mode: CallerIdMode, presentation: str) -> None:
    facts = inbound(presentation=presentation)
    assert for_trunk(facts, OURS, trunk(caller_id_mode=mode, network_number=E164(DID))).withheld
    assert for_phone(facts).withheld


def test_the_network_number_goes_where_the_trunk_wants_it() -> None:
    network = E164("+442079460000")
    assert for_trunk(inbound(), OURS, trunk(network_number=network)).network_number == network
    assert for_own_call(OURS, trunk(network_number=network), withheld=True).network_number == network


def test_an_own_call_shows_its_did_whatever_the_trunks_mode() -> None:
    for mode in CallerIdMode:
        identity = for_own_call(OURS, trunk(caller_id_mode=mode, number_format=NumberFormat.NATIONAL), withheld=False)
        assert (identity.number, identity.withheld, identity.diversion) == ("02079460123", False, "")


def test_a_phone_sees_the_caller_or_nobody() -> None:
    assert for_phone(inbound(caller="01174960999")).number == CALLER
    assert for_phone(inbound(caller="")).number == ""


@settings(max_examples=300)
@given(text=st.text(max_size=25) | st.from_regex(r"\+?[0-9]{0,40}", fullmatch=True))
def test_any_text_is_read_without_raising(text: str) -> None:
    number = signalled_number(text)
    assert number is None or (number.startswith("+") and 8 <= len(number) <= 16 and number[1:].isdigit())
    assert presentable(text) in {None, number}
