"""What kind of number a call reached: coarse enough for bills and counts that outlive the number itself."""

from __future__ import annotations

import re
from enum import StrEnum


class Destination(StrEnum):
    """A kind of destination."""

    NONE = "none"  # no target was rung
    PHONE = "phone"  # a registered SIP phone
    MOBILE = "mobile"  # 071 to 075, 077 to 079
    LANDLINE = "landline"  # 01, 02, 03, 055, 056
    FREEPHONE = "freephone"  # 080
    SPECIAL = "special"  # every other UK number: 070, 076, 084, 087, 09
    INTERNATIONAL = "international"


# In order. Five characters tell all of them apart, but for the one inside 076.
PREFIXES: tuple[tuple[str, Destination], ...] = (
    ("+447624", Destination.MOBILE),  # mobiles of the Isle of Man, in the range of pagers
    ("+4470", Destination.SPECIAL),
    ("+4476", Destination.SPECIAL),
    ("+447", Destination.MOBILE),
    ("+441", Destination.LANDLINE),
    ("+442", Destination.LANDLINE),
    ("+443", Destination.LANDLINE),
    ("+445", Destination.LANDLINE),
    ("+4480", Destination.FREEPHONE),
    ("+44", Destination.SPECIAL),
    ("+", Destination.INTERNATIONAL),
)
LONGEST_PREFIX = max(len(prefix) for prefix, _ in PREFIXES)
_KNOWN = dict(PREFIXES)
_PREFIX = re.compile("|".join(re.escape(prefix) for prefix, _ in PREFIXES))


def destination_of(address: str | None) -> Destination:
    """Return what kind of destination an address is: E.164 with +, a SIP phone's name, or nothing."""
    if not address:
        return Destination.NONE
    found = _PREFIX.match(address)
    return _KNOWN[found.group()] if found else Destination.PHONE
