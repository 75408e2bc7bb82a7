"""An address record for 999 as the civic address of a location that goes with the call (PIDF-LO, RFC 4119 and RFC 5139). Pure.

| record | element | why |
| --- | --- | --- |
| | `country` | `GB`: ISO 3166-1; the record is of the UK only |
| locality | `A3` | "city, township" (RFC 4119, 2.2.1). Carriers have one field for district and town, so nothing is split into `A4` |
| thoroughfare | `RD` | "primary road or street" (RFC 5139, 3.1), whole: a UK street has no separate suffix for `STS` |
| premises: 104, 12A | `HNO`, `HNS` | house number, and its suffix |
| premises: The Lighthouse | `BLD` | a building's name (RFC 5139, 3.1) |
| premises: anything else, such as Flat 2, 104 | `LOC` | "additional location information" (RFC 4119): never taken apart, so that nothing is lost |
| name with title, forename, honours or bussuffix | `NAM` | the occupant |
| postcode | `PC` | |

The elements are in the order of RFC 5139's schema, which is a sequence; Asterisk does not sort them. `&` is written as a word: Asterisk 22.10.1 takes a value
for XML already, and drops a bare `&`.
"""

from __future__ import annotations

import re

from ringfence.emergency import EmergencyAddress

ORDER = ("country", "A3", "RD", "HNO", "HNS", "LOC", "NAM", "PC", "BLD")  # of those used here, RFC 5139 section 4
_NUMBER = re.compile(r"([0-9]{1,5})([A-Za-z])?\Z", re.ASCII)


def civic_address(address: EmergencyAddress) -> tuple[tuple[str, str], ...]:
    """Return the elements of an address, `(name, value)` in their order; none is empty."""
    who = (address.title, address.forename, address.name, address.honours, address.bussuffix)
    found = {
        "country": "GB",
        "A3": address.locality,
        "RD": address.thoroughfare,
        "NAM": " ".join(part for part in who if part),
        "PC": address.postcode,
        **_premises(address.premises),
    }
    return tuple((name, " ".join(found[name].replace("&", " and ").split())) for name in ORDER if found.get(name))


def _premises(text: str) -> dict[str, str]:
    number = _NUMBER.match(text)
    if number:
        return {"HNO": number[1], "HNS": (number[2] or "").upper()}
    return {"LOC": text} if any(character.isdigit() for character in text) else {"BLD": text}
