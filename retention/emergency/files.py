"""Addresses from a file: what each row wants, what it would change, and every reason against it. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec
from sqlalchemy.orm import Session

from dialplan.emergency.address import FIELDS
from dialplan.numbers import parse_number
from retention.emergency.records import Wish, check_confirmation, parse_wish
from ringfence.emergency import LocationClass
from ringfence.errors import Invalid, RingfenceError
from ringfence.models import EmergencyRecord
from ringfence.queries import emergency
from ringfence.queries.emergency import Version
from ringfence.queries.imports import Problem

REQUIRED = ("number", "class")
OPTIONAL = (*FIELDS, "confirmed_by", "confirmed_how", "acknowledged")
COLUMNS = (*REQUIRED, *OPTIONAL)
_YES, _NO = frozenset({"yes", "true", "1"}), frozenset({"", "no", "false", "0"})


class Effect(StrEnum):
    """What a row does."""

    NEW = "new"  # nothing was held of the number
    CHANGED = "changed"
    UNCHANGED = "unchanged"


class AddressImport(msgspec.Struct, frozen=True):
    """What a file would do; with a problem it does nothing."""

    changes: tuple[tuple[Effect, Wish], ...]  # without those that change nothing
    unchanged: int
    problems: tuple[Problem, ...]

    def count(self, effect: Effect) -> int:
        """Return how many numbers it does this to."""
        return sum(1 for found, _ in self.changes if found is effect)


def read_wishes(rows: Iterable[tuple[int, Mapping[str, str] | Invalid]]) -> tuple[list[tuple[int, Wish]], list[Problem]]:
    """Return what the rows want by line, and what is wrong with those that cannot be read."""
    wishes: list[tuple[int, Wish]] = []
    problems: list[Problem] = []
    for line, fields in rows:
        try:
            if isinstance(fields, Invalid):
                raise fields
            wishes.append((line, parse_row(fields)))
        except RingfenceError as error:
            problems.append(Problem(line, f"{error.message}; {error.hint}" if error.hint else error.message))
    return wishes, problems


def parse_row(fields: Mapping[str, str]) -> Wish:
    """Return what one row wants.

    Raises:
        Invalid, Refused: as `records.parse_wish`.
    """
    number = parse_number(fields["number"])
    if fields["class"] not in set(LocationClass):
        raise Invalid("the class is none", hint=f"write one of {', '.join(LocationClass)}")
    acknowledged = fields.get("acknowledged", "").lower()
    if acknowledged not in _YES | _NO:
        raise Invalid("acknowledged is neither yes nor no")
    confirmed = check_confirmation(fields.get("confirmed_by"), fields.get("confirmed_how"))
    address = {field: fields[field] for field in FIELDS if field in fields}
    return parse_wish(number, LocationClass(fields["class"]), address, confirmed=confirmed, acknowledged=acknowledged in _YES)


def plan_import(session: Session, wishes: Sequence[tuple[int, Wish]], problems: Iterable[Problem] = ()) -> AddressImport:
    """Return what the wishes would change, and every reason against them, by line."""
    found = list(problems)
    lines: dict[str, int] = {}
    numbers = [wish.e164 for _, wish in wishes]
    owners, held = emergency.owners_of(session, numbers), emergency.currents(session, numbers)
    changes: list[tuple[Effect, Wish]] = []
    for line, wish in wishes:
        if wish.e164 in lines:
            found.append(Problem(line, f"the number is in line {lines[wish.e164]} already"))
            continue
        lines[wish.e164] = line
        if wish.e164 not in owners:
            found.append(Problem(line, "the number is not one of ours"))
        elif owners[wish.e164] is None:
            found.append(Problem(line, "the number has no owner, so nobody calls from it"))
        elif not says_the_same(held.get(wish.e164), wish.version):
            changes.append((Effect.NEW if wish.e164 not in held else Effect.CHANGED, wish))
    wrong = {problem.line for problem in found}
    return AddressImport(tuple(changes), len([line for line, _ in wishes if line not in wrong]) - len(changes), tuple(sorted(found, key=lambda one: one.line)))


def says_the_same(record: EmergencyRecord | None, version: Version) -> bool:
    """Tell whether a version that is held says all that a wanted one does; a confirmation that is new counts."""
    if record is None or record.location is not version.location:
        return False
    if version.address is not None and emergency.address_of(record) != version.address:
        return False
    if version.confirmed is not None and (record.confirmed_by, record.confirmed_how) != (version.confirmed.by, version.confirmed.how):
        return False
    return record.acknowledged_at is not None or not version.acknowledged


def exported_row(record: EmergencyRecord) -> tuple[str, ...]:
    """Return a version as a row that an import reads, in the order of `COLUMNS`."""
    address = emergency.address_of(record)
    texts = (getattr(address, field) for field in FIELDS)
    return (record.e164, record.location.value, *texts, record.confirmed_by or "", record.confirmed_how or "", "yes" if record.acknowledged_at else "")
