"""Shortening words of an address so that it fits a carrier's field: known words only, one after the other, each one told. Never a cut.

Carriers shorten in the same way before they check a length; doing it here lets the customer see what the 999 operator will read.
"""

from __future__ import annotations

import re

import msgspec

_WORD = re.compile(r"[^\W\d_]+")
_SHORT = {
    "and": "&",
    "apartment": "Apt",
    "apartments": "Apts",
    "association": "Assoc",
    "avenue": "Ave",
    "brothers": "Bros",
    "building": "Bldg",
    "buildings": "Bldgs",
    "centre": "Ctr",
    "church": "Ch",
    "close": "Cl",
    "community": "Comm",
    "company": "Co",
    "corporation": "Corp",
    "court": "Ct",
    "crescent": "Cres",
    "department": "Dept",
    "district": "Dist",
    "drive": "Dr",
    "east": "E",
    "engineering": "Eng",
    "estate": "Est",
    "floor": "Flr",
    "gardens": "Gdns",
    "government": "Govt",
    "great": "Gt",
    "ground": "Grd",
    "grove": "Gr",
    "headquarters": "HQ",
    "hospital": "Hosp",
    "house": "Hse",
    "industrial": "Ind",
    "international": "Intl",
    "junction": "Junc",
    "laboratory": "Lab",
    "lane": "Ln",
    "limited": "Ltd",
    "little": "Lt",
    "lower": "Lwr",
    "management": "Mgmt",
    "manufacturing": "Mfg",
    "mount": "Mt",
    "national": "Natl",
    "near": "Nr",
    "north": "N",
    "park": "Pk",
    "partnership": "Pship",
    "place": "Pl",
    "primary": "Prim",
    "road": "Rd",
    "saint": "St",
    "school": "Sch",
    "secondary": "Sec",
    "services": "Svcs",
    "south": "S",
    "square": "Sq",
    "station": "Stn",
    "street": "St",
    "technology": "Tech",
    "terrace": "Terr",
    "trading": "Trdg",
    "university": "Univ",
    "upper": "Upr",
    "west": "W",
}


class Shortened(msgspec.Struct, frozen=True):
    """A field that was shortened, for the customer to see."""

    field: str
    before: str
    after: str

    def __str__(self) -> str:
        """Return it as a sentence."""
        return f"{self.field} is shortened from '{self.before}' to '{self.after}'"


def shorten(text: str, limit: int) -> str:
    """Return a text with known words shortened until it has at most `limit` characters, or until none is left to shorten.

    The words that save most go first, so that as few as possible change; of equals the last, since the first words tell most.
    The result may still be too long: the caller refuses it.
    """
    while len(text) > limit:
        words = [match for match in _WORD.finditer(text) if match[0].lower() in _SHORT]
        if not words:
            break
        word = max(words, key=lambda match: (len(match[0]) - len(_SHORT[match[0].lower()]), match.start()))
        text = text[: word.start()] + _like(word[0], _SHORT[word[0].lower()]) + text[word.end() :]
    return text


def _like(word: str, short: str) -> str:
    """Return the short form in the word's own case."""
    return short.upper() if word.isupper() else short.lower() if word.islower() else short
