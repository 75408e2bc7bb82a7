"""UK postcodes for 999: their shape, those that 999 cannot use, and whether one exists, as far as can be known offline.

The shape is Royal Mail's, as strict as it can be with every live postcode of the ONS directory still passing. The optional extra
`postcodes` brings the ONS list (Open Government Licence; for Northern Ireland internal business use only, without a licence of LPS).
New postcodes appear each month, so that one which the list does not have is a reason to ask, never to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from importlib import import_module

from ringfence.errors import Invalid, Refused

MAX_LENGTH = 12  # characters typed
HOW_TO_WRITE = "write it like S9 5AD or EC1A 1BB"

_SHAPE = re.compile(
    r"(?P<out>[A-PR-UWYZ][0-9]{1,2}|[A-PR-UWYZ][A-HK-Y][0-9]{1,2}|[A-PR-UWYZ][0-9][A-HJKPSTUW]|[A-PR-UWYZ][A-HK-Y][0-9][ABEHMNPRVWXY])"
    r"(?P<inward>[0-9][ABD-HJLNP-UW-Z]{2})\Z",
    re.ASCII,
)
_AREA = re.compile(r"[A-Z]+")
_TYPED = re.compile(r"[A-Za-z0-9 ]+\Z", re.ASCII)
_LIKE_DIGITS = {"O": "0", "I": "1", "L": "1", "S": "5", "B": "8", "Z": "2"}
_LIKE_LETTERS = {"0": "O", "1": "I", "5": "S", "8": "B", "2": "Z"}

_AREA_NAMES = (
    "AB AL B BA BB BD BH BL BN BR BS BT CA CB CF CH CM CO CR CT CV CW DA DD DE DG DH DL DN DT DY E EC EH EN EX FK FY G GL GU HA HD HG HP HR HS HU "
    "HX IG IP IV KA KT KW KY L LA LD LE LL LN LS LU M ME MK ML N NE NG NN NP NR NW OL OX PA PE PH PL PO PR RG RH RM S SA SE SG SK SL SM SN SO SP "
    "SR SS ST SW SY TA TD TF TN TQ TR TS TW UB W WA WC WD WF WN WR WS WV YO ZE "
)
_AREAS = frozenset(_AREA_NAMES.split())
_ELSEWHERE = {
    "GY": "Guernsey is not in the UK's 999 database",
    "JE": "Jersey is not in the UK's 999 database",
    "IM": "the Isle of Man is not in the UK's 999 database",
    "BF": "BFPO addresses of the forces are nowhere in particular",
    "BX": "BX postcodes are for bulk mail and nowhere in particular",
    "XX": "XX postcodes are for returned mail and nowhere in particular",
    "QC": "QC postcodes are for bulk mail and nowhere in particular",
    "XM": "it is Father Christmas's",
    "GX": "Gibraltar is not in the UK's 999 database",
    "ZZ": "ZZ postcodes stand for 'none' and are nowhere",
}
_OVERSEAS = frozenset({"AI2640", "ASCN1ZZ", "BBND1ZZ", "BIQQ1ZZ", "FIQQ1ZZ", "PCRN1ZZ", "SIQQ1ZZ", "STHL1ZZ", "TDCU1ZZ", "TKCA1ZZ"})
_HISTORIC = {"GIR0AA": "GIR 0AA was Girobank's and is no longer in use", "SANTA1": "it is Father Christmas's"}
_WHERE = "999 addresses are for places in England, Scotland, Wales and Northern Ireland; a number used elsewhere is of the class outside_uk"


class Existence(StrEnum):
    """What is known offline of a postcode."""

    LIVE = "live"  # on the list
    UNKNOWN = "unknown"  # not on the list, or no list is installed
    IMPOSSIBLE = "impossible"  # no postcode can be like this


def parse_postcode(text: str) -> str:
    """Return a postcode in its proper form: capitals, one space.

    Raises:
        Invalid: it is not one. The hint names what may be meant, where an O was typed for a 0 or the like.
        Refused: it is one, or once was, but not of a place that the UK's 999 database takes; the message says why.
    """
    compact = text.upper().replace(" ", "").replace("-", "")
    if len(text) > MAX_LENGTH or not _TYPED.match(text.replace("-", " ")):
        raise Invalid("a postcode has letters, digits and one space", hint=HOW_TO_WRITE)
    reason = _special(compact)
    if reason:
        raise Refused(f"999 cannot use this postcode: {reason}", hint=_WHERE)
    proper = _proper(compact)
    if proper is None:
        meant = sorted(_meant(compact))
        raise Invalid("it is not a UK postcode", hint=f"did you mean {meant[0]}?" if meant else HOW_TO_WRITE)
    return proper


def existence(text: str) -> Existence:
    """Return what is known of a postcode, live, unknown or impossible. Never raises, and never goes to the network."""
    try:
        postcode = parse_postcode(text)
    except (Invalid, Refused):
        return Existence.IMPOSSIBLE
    outward, _, inward = postcode.partition(" ")
    return Existence.LIVE if inward in _inward_codes(outward) else Existence.UNKNOWN


def has_list() -> bool:
    """Tell whether the list of live postcodes is installed."""
    return bool(_inward_codes("SW1A"))


@lru_cache(maxsize=256)
def _inward_codes(outward: str) -> frozenset[str]:
    """Return the inward codes of a district; none where it has none, or where no list is installed."""
    try:  # the outward code is a name of letters and digits by now; the list is a module for each
        module = import_module(f"uk_postcodes_parsing.outcodes.{outward.lower()}")
    except ImportError:
        return frozenset()
    return frozenset(module.INCODES)


def _proper(compact: str) -> str | None:
    match = _SHAPE.match(compact)
    if match is None or _area(compact) not in _AREAS:
        return None
    return f"{match['out']} {match['inward']}"


def _area(compact: str) -> str:
    match = _AREA.match(compact)
    return match[0] if match else ""


def _special(compact: str) -> str:
    if compact.startswith("BFPO"):
        return _ELSEWHERE["BF"]
    if compact in _OVERSEAS:
        return "British overseas territories are not in the UK's 999 database"
    if compact in _HISTORIC:
        return _HISTORIC[compact]
    return _ELSEWHERE.get(_area(compact), "") if re.match(r"[A-Z]{2}[0-9]", compact) else ""


def _meant(compact: str) -> Iterator[str]:
    """Yield the postcodes that one letter typed for a digit, or the other way round, would make of it."""
    for index, character in enumerate(compact):
        for alike in (_LIKE_DIGITS, _LIKE_LETTERS):
            if character in alike:
                found = _proper(compact[:index] + alike[character] + compact[index + 1 :])
                if found:
                    yield found
