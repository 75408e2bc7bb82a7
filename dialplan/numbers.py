"""UK numbers: what people and phones write, and what it is by Ofcom's plan.

A text passes a gate of plain ASCII characters first, then the short codes and dialling prefixes are taken out, and only then is it read
as a number. `phonenumbers` reads those abroad. UK numbers are read here: the library takes `999` for a number, drops the relay prefix
18002 without a word, accepts letters and foreign digits, calls Ofcom's drama numbers invalid and lags behind new ranges (seen in
9.0.43). The UK ranges below are from the National Telephone Numbering Plan.
"""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec
import phonenumbers
from phonenumbers import NumberParseException, ValidationResult

from ringfence.errors import Invalid
from ringfence.masking import mask
from ringfence.values import E164, NumberClass, NumberFormat

__all__ = [
    "Dialled",
    "ShortCode",
    "ShortCodeKind",
    "classify",
    "format_for",
    "is_crown_dependency",
    "is_drama",
    "last_code",
    "mask",
    "parse_dialled",
    "parse_number",
    "short_code",
]


class ShortCodeKind(StrEnum):
    """What a short code is for; none of them is ever a forwarding target."""

    EMERGENCY = "emergency"  # 999, 112, 18000 (emergency call by relay)
    ESSENTIAL = "essential"  # always allowed: 101, 111, 105, 119, 159, 116xxx
    DIRECTORY = "directory"  # 118xxx, premium
    FEATURE = "feature"  # network features and operators: 1471, 1571, 100, 123, 155, 195, and dialling prefixes alone


class ShortCode(msgspec.Struct, frozen=True):
    """A number that is not E.164 and means the same from every phone."""

    code: str
    kind: ShortCodeKind

    @property
    def emergency(self) -> bool:
        """Whether it is an emergency number."""
        return self.kind is ShortCodeKind.EMERGENCY


class Dialled(msgspec.Struct, frozen=True):
    """What a phone's user typed: a short code or a number, with its dialling prefixes. Exactly one of the two is set."""

    short_code: ShortCode | None = None
    e164: E164 | None = None
    withhold: bool = False  # 141: hide my number for this call
    release: bool = False  # 1470: show my number for this call
    relay: str = ""  # '18001' or '18002': by text relay


_EMERGENCY = frozenset({"999", "112", "18000"})
_ESSENTIAL = frozenset({"101", "105", "111", "119", "159"})
_FEATURES = frozenset({"1471", "1571", "100", "123", "155", "195"})
_PREFIXES = ("18001", "18002", "1470", "141")

_GATE = re.compile(r"\+?[0-9][0-9 ().\-]{1,22}\Z", re.ASCII)
_SEPARATORS = re.compile(r"[ ().\-]")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}\Z", re.ASCII)
_UK = re.compile(r"(?:(?:\+|00)?440?|0)([1-9][0-9]{6,9})\Z", re.ASCII)  # also the +44 (0)20 that people print

# National significant number -> class, by its longest prefix in this table.
_UK_RANGES = {
    "1": NumberClass.GEOGRAPHIC,
    "2": NumberClass.GEOGRAPHIC,
    "3": NumberClass.UK_WIDE,
    "55": NumberClass.CORPORATE,
    "56": NumberClass.VOIP,
    "70": NumberClass.PERSONAL,
    "71": NumberClass.MOBILE,
    "72": NumberClass.MOBILE,
    "73": NumberClass.MOBILE,
    "74": NumberClass.MOBILE,
    "75": NumberClass.MOBILE,
    "76": NumberClass.PAGER,
    "7624": NumberClass.MOBILE,  # Isle of Man
    "77": NumberClass.MOBILE,
    "78": NumberClass.MOBILE,
    "79": NumberClass.MOBILE,
    "80": NumberClass.FREEPHONE,
    "84": NumberClass.SERVICE,
    "87": NumberClass.SERVICE,
    "9": NumberClass.PREMIUM,
}
_SEVEN_DIGITS = frozenset({"8001111", "8454647"})  # Childline; the former NHS Direct
_CROWN = ("1481", "7781", "7839", "79111", "79117", "1534", "7797", "7937", "77003", "77007", "77008", "7509", "7829", "1624", "7624", "74576", "7524", "7924")
_DRAMA = (
    *(f"1{area}4960" for area in ("13", "14", "15", "16", "17", "18", "21", "31", "41", "51", "61")),
    *("1914980", "2079460", "2890180", "2896496", "2920180", "1632960", "7700900", "8081570", "9098790", "3069990"),
)

HOW_TO_WRITE = "write it like 020 7946 0123 or +44 20 7946 0123"


def parse_number(text: str) -> E164:
    """Read a subscriber's number as a person or a file writes it.

    Raises:
        Invalid: it is a short code, has a dialling prefix or an extension, or cannot be a number.
    """
    compact = _compact(text)
    code = _short_code(compact)
    if code is not None:
        raise Invalid(f"{code.code} is a short code ({code.kind}), not a subscriber's number", hint="give a full number")
    prefix = _prefix(compact)
    if prefix:
        raise Invalid(f"{prefix} is a dialling prefix", hint="give the number without it")
    return _parse_compact(compact)


def parse_dialled(text: str) -> Dialled:
    """Read what a phone's user typed. Prefixes may come before a short code too: 141 999 is still 999.

    Raises:
        Invalid: it is neither a short code nor a number.
    """
    rest, withhold, release, relay = _compact(text), False, False, ""
    while (code := _short_code(rest)) is None and (prefix := _prefix(rest)):
        rest = rest[len(prefix) :]
        if prefix == "141":
            withhold, release = True, False
        elif prefix == "1470":
            withhold, release = False, True
        else:
            relay = prefix
    number = None if code else _parse_compact(rest)
    return Dialled(short_code=code, e164=number, withhold=withhold, release=release, relay=relay)


def short_code(text: str) -> ShortCode | None:
    """Return the short code that a text is, or None. Never raises."""
    return _short_code(_SEPARATORS.sub("", text)) if _GATE.match(text) else None


def last_code(text: str) -> ShortCode | None:
    """Return the short code that is dialled, behind dialling prefixes too, or None. Never raises."""
    try:
        return parse_dialled(text).short_code
    except Invalid:
        return None


def classify(number: E164) -> NumberClass:
    """Return what a number is by the numbering plan.

    Raises:
        Invalid: it is not E.164, or not of a length that UK numbers have.
    """
    if not _E164.match(number):
        raise Invalid("it is not a number in E.164 form", hint=HOW_TO_WRITE)
    if not number.startswith("+44"):
        return NumberClass.INTERNATIONAL
    national = number[3:]
    if not _is_uk_length(national):
        raise Invalid("it has not the length of a UK number", hint=HOW_TO_WRITE)
    return next((_UK_RANGES[national[:length]] for length in (4, 3, 2, 1) if national[:length] in _UK_RANGES), NumberClass.UNUSED)


def is_drama(number: E164) -> bool:
    """Say whether it is one of the numbers that Ofcom keeps for drama, which nobody ever has."""
    return number.startswith("+44") and len(number) == 13 and number[3:].startswith(_DRAMA)


def is_crown_dependency(number: E164) -> bool:
    """Say whether it is in Guernsey, Jersey or the Isle of Man: they share +44 but are not in the UK, for tariffs and for 999 addresses."""
    return number.startswith("+44") and number[3:].startswith(_CROWN)


def format_for(number: E164, number_format: NumberFormat) -> str:
    """Return a number as a trunk wants it."""
    if number_format is NumberFormat.E164_PLUS:
        return number
    if number_format is NumberFormat.E164:
        return number[1:]
    return "0" + number[3:] if number.startswith("+44") else "00" + number[1:]


def _compact(text: str) -> str:
    text = text.strip(" ")
    if not _GATE.match(text):
        raise Invalid("a number has only digits, spaces, brackets, dots and dashes, with a '+' or a digit first", hint=f"{HOW_TO_WRITE}, without an extension")
    return _SEPARATORS.sub("", text)


def _short_code(compact: str) -> ShortCode | None:
    kind = None
    if compact in _EMERGENCY:
        kind = ShortCodeKind.EMERGENCY
    elif compact in _ESSENTIAL or (len(compact) == 6 and compact.startswith("116")):
        kind = ShortCodeKind.ESSENTIAL
    elif len(compact) == 6 and compact.startswith("118"):
        kind = ShortCodeKind.DIRECTORY
    elif compact in _FEATURES or compact in _PREFIXES:
        kind = ShortCodeKind.FEATURE
    return ShortCode(compact, kind) if kind else None


def _prefix(compact: str) -> str:
    return next((prefix for prefix in _PREFIXES if compact.startswith(prefix)), "")


def _parse_compact(compact: str) -> E164:
    uk = _UK.match(compact)
    if uk:
        if not _is_uk_length(uk[1]):
            raise Invalid("it has not the length of a UK number", hint=HOW_TO_WRITE)
        return E164("+44" + uk[1])
    if not compact.startswith(("+", "00")) or compact.startswith(("+44", "0044")):
        raise Invalid("it cannot be a UK number", hint=f"{HOW_TO_WRITE}; spreadsheets drop a leading 0 or +")
    return _parse_abroad(compact)


def _parse_abroad(compact: str) -> E164:
    try:
        parsed = phonenumbers.parse(compact, "GB")
    except NumberParseException as error:
        raise Invalid("it cannot be a phone number", hint=HOW_TO_WRITE) from error
    number = E164(f"+{parsed.country_code}{phonenumbers.national_significant_number(parsed)}")
    if parsed.country_code == 44 or phonenumbers.is_possible_number_with_reason(parsed) != ValidationResult.IS_POSSIBLE or not _E164.match(number):
        raise Invalid("it has not the length of a number of its country", hint="write it with its country code, like +353 1 234 5678")
    return number


def _is_uk_length(national: str) -> bool:
    """UK numbers have ten digits after the 0; nine in some 01 areas and old 0800 numbers; two famous ones have seven."""
    return len(national) == 10 or (len(national) == 9 and national.startswith(("1", "800"))) or national in _SEVEN_DIGITS
