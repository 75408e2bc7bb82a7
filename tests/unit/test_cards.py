"""What is taken for a card number, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.checks.cards import card_numbers

PHONES = st.integers(10**6, 10**15 - 1)


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111111",
        "card 4111 1111 1111 1111, thanks",
        "5555-5555-5555-4444.",
        "3782 822463 10005",
        "378282246310005",
        '{"note": "6011111111111117"}',
        "4222222222222",
        "(2223003122003222)",
        "6304 0000 0000 0000",
    ],
)
def test_a_card_number_is_found(text: str) -> None:
    assert len(list(card_numbers(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # check digit
        "+4111111111111111",
        "n1-4111111111111111.12",
        "x4111111111111111",
        "4111111111111111a",
        "41111111111111111111",
        "4111111111111111.25",
        "4111 1111-1111 1111",
        "2025-11-20 2025-11-21",
        "9111111111111111",
        "0000000000000000",
        "node1-1795302588.12",
        "+447700900123",
        "4111 1111 1111",
    ],
)
def test_what_is_no_card_number(text: str) -> None:
    assert list(card_numbers(text)) == []


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert all(13 <= len(digits) <= 19 and digits.isdigit() for digits in card_numbers(text))


@given(PHONES, st.integers(1_000_000_000, 2_000_000_000), st.integers(1, 10**6))
def test_numbers_and_ids_of_calls_are_none(phone: int, epoch: int, sequence: int) -> None:
    assert list(card_numbers(f"+{phone} node1-{epoch}.{sequence}")) == []
    assert all(len(digits) <= 15 for digits in card_numbers(str(phone)))  # so a column of numbers never shows one


@given(st.from_regex(r"(4[0-9]{3}|5[1-5][0-9]{2})[0-9]{11}", fullmatch=True), st.sampled_from(["", " ", "-"]))
def test_one_check_digit_of_ten_makes_a_card_number(start: str, gap: str) -> None:
    def grouped(digits: str) -> str:
        return gap.join(digits[place : place + 4] for place in range(0, 16, 4))

    assert sum(len(list(card_numbers(grouped(f"{start}{last}")))) for last in range(10)) == 1
