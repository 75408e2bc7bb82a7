"""Numbers as they may appear in logs and on screens that are not for provisioning: country code and last three digits."""

from __future__ import annotations

import re

HIDDEN = "•"

_TWO_DIGIT_CODES = frozenset(
    str(code) for code in (20, 27, *range(30, 35), 36, 39, 40, 41, *range(43, 50), *range(51, 59), *range(60, 67), 81, 82, 84, 86, *range(90, 96), 98)
)
_NUMBER_IN_TEXT = re.compile(r"(?<![0-9A-Za-z])\+?[0-9]{7,15}(?![0-9])")


def mask(number: str) -> str:
    """Return a number with all but its country code and last three digits hidden, e.g. `+44•••••••460`.

    Anything that is not E.164 loses all but its last three characters; three or fewer are hidden whole.
    """
    shown = _country_code_length(number) + 1 if number.startswith("+") else 0
    if len(number) < shown + 6:
        return HIDDEN * max(len(number) - 3, 0) + number[-3:] if len(number) > 6 else HIDDEN * len(number)
    return number[:shown] + HIDDEN * (len(number) - shown - 3) + number[-3:]


def mask_text(text: str) -> str:
    """Return a text with everything masked that may be a phone number: 7 to 15 digits in a row."""
    return _NUMBER_IN_TEXT.sub(lambda match: mask(match[0]), text)


def _country_code_length(number: str) -> int:
    """Return the length of an E.164 number's country code (ITU-T E.164 list of assigned codes)."""
    if number[1:2] in {"1", "7"}:
        return 1
    return 2 if number[1:3] in _TWO_DIGIT_CODES else 3
