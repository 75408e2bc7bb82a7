"""The check that no card number is stored: every text column is read, and what has the shape of a card number, with a right check digit, is counted.

The shape: 13 to 19 digits, in one piece or in groups as cards print them, by spaces or hyphens; the first digits are those of card issuers (ISO/IEC 7812).
Not part of a longer number, of a word, of a number with '+' or of one with a decimal point: ids of calls, moments, digests and E.164 numbers are not taken
for cards. A column of phone numbers can hold up to 15 digits without '+' (E.164), so only 16 to 19 digits count there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import JSON, Enum, String, Table

from retention.claims.model import Check, Context, Finding, verdict
from retention.purge.catalogue import CATALOGUE
from ringfence.queries import texts

ROWS = 10_000  # of each table, the newest
_SHAPE = re.compile(
    r"(?<![\w+.-])"
    r"(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{4}([ -])\d{6}\2\d{4,5})"
    r"(?![\w-]|\.\d)",
    re.ASCII,
)
_ISSUERS = re.compile(r"[3456]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720")
_NUMBERS = frozenset(
    {
        "e164",
        "did",
        "caller",
        "called",
        "caller_did",
        "emergency_did",
        "presented",
        "forwarded_to",
        "address",
        "number",
        "network_number",
        "key",
    }
)
_LONGEST_NUMBER = 15  # digits, E.164


def no_card_numbers(context: Context) -> Finding:
    """Read the newest rows of every table and look for card numbers in every text column."""
    phone = _NUMBERS | {name for kept in CATALOGUE.values() for each in kept for name in each.source.numbers}
    columns: list[str] = []
    found: list[dict[str, Any]] = []
    partly: list[str] = []
    for table in context.metadata.sorted_tables:
        names = text_columns(table)
        if not names:
            continue
        columns += [f"{table.name}.{name}" for name in names]
        hits = dict.fromkeys(names, 0)
        rows = 0
        for row in texts.newest(context.session, table, names, ROWS):
            rows += 1
            for name, value in zip(names, row, strict=True):
                if value is not None and any(len(card) > _LONGEST_NUMBER or name not in phone for card in card_numbers(str(value))):
                    hits[name] += 1
        found += [{"column": f"{table.name}.{name}", "rows": count} for name, count in hits.items() if count]
        partly += [table.name] if rows == ROWS else []
    result = {"columns": columns, "found": found, "rows_of_each_table": ROWS, "tables_with_more_rows": partly}
    return verdict(len(found), result, f"card numbers in {', '.join(each['column'] for each in found)}")


def card_numbers(text: str) -> Iterable[str]:
    """Yield the digits of each card number in a text. Pure."""
    for match in _SHAPE.finditer(text):
        digits = re.sub(r"[ -]", "", match[0])
        if _ISSUERS.match(digits) and _luhn(digits):
            yield digits


def text_columns(table: Table) -> list[str]:
    """Return the columns that can hold free text: no closed lists."""
    return [column.name for column in table.columns if isinstance(column.type, String | JSON) and not isinstance(column.type, Enum)]


def _luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(int(digit) for digit in digits[-1::-2]) + sum(doubled)) % 10 == 0


CHECKS: Mapping[str, Check] = MappingProxyType({"no_card_numbers": no_card_numbers})
