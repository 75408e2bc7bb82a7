"""An address record for 999, from what a person or a file says: the fields and limits that carriers share.

The limits are those of the carriers Simwood (API v3, "999 Emergency Services") and Magrathea (999 appendix), which agree; of the two the
stricter set of mandatory fields holds. Characters are few on purpose: Asterisk substitutes variables in a location when it builds an
INVITE, so that `${...}` or `$[...]` in an address would be evaluated. What the list below has not, cannot get into a record.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from dialplan.emergency.abbreviation import Shortened, shorten
from dialplan.emergency.postcode import Existence, existence, has_list, parse_postcode
from ringfence.emergency import EmergencyAddress
from ringfence.errors import Invalid, Refused

__all__ = ["FIELDS", "LIMITS", "MANDATORY", "EmergencyAddress", "Parsed", "Shortened", "one_line", "parse_address"]

LIMITS: Mapping[str, int] = MappingProxyType(
    {"title": 20, "forename": 20, "name": 50, "honours": 30, "bussuffix": 50, "premises": 60, "thoroughfare": 55, "locality": 30, "postcode": 12}
)
FIELDS = tuple(LIMITS)
MANDATORY = ("name", "premises", "thoroughfare", "locality", "postcode")
LONGEST_INPUT = 200  # characters of a field as typed

_LETTERS = "A-Za-zÀ-ÖØ-öø-ÿ"  # of Latin-1, all that carriers take
_ALLOWED = re.compile(rf"[{_LETTERS}0-9 '\-./&()#,:]*\Z")
_BEGINS = re.compile(rf"[('#]?[{_LETTERS}0-9]")
_SAME = str.maketrans({"\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u2013": "-", "\u2014": "-", "\u2010": "-", "\u2011": "-", "\u00a0": " ", "\t": " "})
_BOX = re.compile(r"(?:p\W*o\W*|post\W*office\W*)box\b", re.IGNORECASE)
_FOR_PERSONS = ("title", "forename", "honours")


class Parsed(msgspec.Struct, frozen=True):
    """A record, and what the person who gave it must be shown."""

    address: EmergencyAddress
    shortened: tuple[Shortened, ...] = ()
    warnings: tuple[str, ...] = ()


def parse_address(fields: Mapping[str, str]) -> Parsed:
    """Return the record that fields make. A field that is not there is empty.

    Raises:
        Invalid: a field is unknown, missing, too long even when shortened, or has characters that a record cannot have.
        Refused: the address is none where help could be sent to: a PO box, or outside the UK.
    """
    unknown = sorted(set(fields) - set(FIELDS))
    if unknown:
        raise Invalid("an address has no such field", hint=f"its fields are {', '.join(FIELDS)}")
    given = {field: _clean(field, fields.get(field, "")) for field in FIELDS if field != "postcode"}
    missing = [field for field in MANDATORY if not (fields.get(field, "").strip() if field == "postcode" else given[field])]
    if missing:
        raise Invalid(f"the address lacks {', '.join(missing)}", hint=_how_to_fill(missing[0]))
    postcode = parse_postcode(fields["postcode"].strip())
    _check_sense(given)
    fitted = {field: shorten(text, LIMITS[field]) for field, text in given.items()}
    for field, text in fitted.items():
        if len(text) > LIMITS[field]:
            raise Invalid(
                f"{field} has {len(text)} characters where carriers take {LIMITS[field]}, even with its known words shortened",
                hint="say it in fewer words; nothing is ever cut off",
            )
    shortened = tuple(Shortened(field, given[field], text) for field, text in fitted.items() if text != given[field])
    return Parsed(EmergencyAddress(**fitted, postcode=postcode), shortened, _warnings(fitted, postcode))


def one_line(address: EmergencyAddress) -> str:
    """Return a record as one line for a person: who, then where."""
    who = " ".join(part for part in (address.title, address.forename, address.name, address.honours, address.bussuffix) if part)
    return ", ".join(part for part in (who, address.premises, address.thoroughfare, address.locality, address.postcode) if part)


def _clean(field: str, text: str) -> str:
    """Return a field's text in the characters that carriers take, without space around or twice inside."""
    if len(text) > LONGEST_INPUT:
        raise Invalid(f"{field} has more than {LONGEST_INPUT} characters")
    text = "".join(_latin(character) for character in unicodedata.normalize("NFC", text.translate(_SAME)))
    text = " ".join(part for part in text.split(" ") if part)
    if not _ALLOWED.match(text):
        raise Invalid(f"{field} has a character that an address cannot have", hint="use letters, digits, spaces and ' - . / & ( ) # , :")
    if text and not _BEGINS.match(text):
        raise Invalid(f"{field} does not begin with a letter or a digit", hint="write it as it stands at the door")
    return text


def _latin(character: str) -> str:
    """Return a letter without the accent that Latin-1 has not (Welsh ŵ and ŷ), and any other character as it is."""
    if ord(character) < 256:
        return character
    base = unicodedata.normalize("NFD", character)
    return base[0] if len(base) == 2 and base[0].isascii() and base[0].isalpha() and unicodedata.combining(base[1]) else character


def _check_sense(given: Mapping[str, str]) -> None:
    if given["bussuffix"] and any(given[field] for field in _FOR_PERSONS):
        raise Invalid("a business has no title, forename or honours", hint="name is the business's name over the door, never its contact person")
    for field in ("premises", "thoroughfare", "locality"):
        if _BOX.search(given[field]):
            raise Refused("a PO box is no place where help could be sent to", hint="give the address where the phone is")
    if given["premises"].casefold() == given["name"].casefold():
        raise Invalid("premises only repeats the name", hint="give the number or the name of the building")


def _warnings(fitted: Mapping[str, str], postcode: str) -> tuple[str, ...]:
    found = []
    if existence(postcode) is Existence.UNKNOWN:
        found.append(
            f"the postcode {postcode} is not on the list of live postcodes: a new one, or a slip"
            if has_list()
            else "whether the postcode exists was not checked: the optional extra 'postcodes' is not installed"
        )
    if fitted["thoroughfare"].casefold() == fitted["locality"].casefold():
        found.append("the street and the locality are the same")
    return tuple(found)


def _how_to_fill(field: str) -> str:
    return {
        "name": "name is the surname of who lives there, or the business's name over the door",
        "premises": "premises is the number or the name of the building",
        "thoroughfare": "thoroughfare is the street; where there is none, the village's or the building's name again",
        "locality": "locality is the village or district and the town",
        "postcode": "the postcode says which control room answers",
    }[field]
