"""Address records as acts: entered, confirmed, answered by a carrier. The rules are `dialplan.emergency`'s, the store's part `queries.emergency`'s."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from sqlalchemy.orm import Session

from dialplan.emergency.address import Parsed, parse_address
from dialplan.emergency.matrix import judge
from dialplan.emergency.state import AddressEvent, Move, move
from dialplan.numbers import is_crown_dependency
from ringfence.clock import Clock
from ringfence.emergency import CONFIRMED_HOW, SUFFICIENT, WITH_ADDRESS, AddressState, Confirmation, LocationClass
from ringfence.errors import Conflict, Invalid, NotFound, Refused
from ringfence.models import EmergencyRecord
from ringfence.provisioning import check_display_name
from ringfence.queries import emergency
from ringfence.queries.emergency import Answer, Version
from ringfence.values import E164


class Wish(msgspec.Struct, frozen=True):
    """What somebody wants to be held of a number, with what they must be shown."""

    e164: E164
    version: Version
    shown: tuple[str, ...] = ()  # what was shortened, and warnings


def parse_wish(e164: E164, location: LocationClass, fields: Mapping[str, str], *, confirmed: Confirmation | None, acknowledged: bool) -> Wish:
    """Return what a command or a row of a file wants.

    Raises:
        Invalid: the address cannot be one, or one is given for a class that has none, or the other way round.
        Refused: the number or the place is outside the UK, or nobody has acknowledged that 999 does not work from it.
    """
    given = {field: text for field, text in fields.items() if text.strip()}
    if location not in WITH_ADDRESS:
        if given:
            raise Invalid(
                f"a number of the class {location} has no address for 999", hint="leave the address out, or give the class fixed, nomadic or multi_site"
            )
        if location is LocationClass.OUTSIDE_UK and not acknowledged:
            raise Refused(
                "999 does not work from outside the UK, and the customer must know that",
                hint="tell them, and add --acknowledged (in a file: the column acknowledged) when they have said so",
            )
        return Wish(e164, Version(location, None, confirmed, acknowledged))
    if is_crown_dependency(e164):
        raise Refused("the number is of Guernsey, Jersey or the Isle of Man, which are not in the UK's 999 database", hint="give it the class outside_uk")
    parsed = parse_address(given)
    return Wish(e164, Version(location, parsed.address, confirmed, acknowledged), _shown(parsed))


def check_confirmation(by: str | None, how: str | None) -> Confirmation | None:
    """Return who confirmed an address and how; None when neither is given.

    Raises:
        Invalid: one is given without the other, or cannot be what it should be.
    """
    if not by and not how:
        return None
    if not by or not how:
        raise Invalid("a confirmation says who and how", hint=f"give both: a name, and one of {', '.join(CONFIRMED_HOW)}")
    if how not in CONFIRMED_HOW:
        raise Invalid("an address is not confirmed like that", hint=f"give one of {', '.join(CONFIRMED_HOW)}")
    name = check_display_name(by)
    if len(name) > 60:
        raise Invalid("the name of who confirmed it has more than 60 characters")
    return Confirmation(name, how)


def set_address(session: Session, clock: Clock, wish: Wish) -> EmergencyRecord:
    """Write a new version of a number's record and queue it for the carrier; the version before is kept.

    Raises:
        NotFound: the number is not ours.
        Conflict: it has no owner.
    """
    return emergency.add_version(session, clock, wish.e164, wish.version)


def confirm(session: Session, clock: Clock, e164: str, confirmation: Confirmation) -> EmergencyRecord:
    """Write down that somebody said a number's address is right.

    Raises:
        NotFound: nothing is held of the number.
    """
    record = require(session, e164)
    emergency.confirm(session, clock, record, confirmation)
    return record


def require(session: Session, e164: str) -> EmergencyRecord:
    """Return the version that holds.

    Raises:
        NotFound: nothing is held of the number.
    """
    record = emergency.current(session, e164)
    if record is None:
        raise NotFound("nothing is held of this number for 999", hint=f"enter it with 'ringfence emergency address set {e164} …'")
    return record


def happened(
    session: Session,
    clock: Clock,
    record_id: str,
    event: AddressEvent,
    answer: Answer = Answer(),  # noqa: B008  frozen
    *,
    actor: str = "worker",
    held: AddressState | None = None,
) -> Move:
    """Apply what a carrier said of a version, in the caller's transaction, which has changed nothing yet; return the change.

    Args:
        session: an open transaction.
        clock: the clock.
        record_id: the version.
        event: what happened.
        answer: what the carrier said.
        actor: for the audit log.
        held: the state that the carrier was asked about, if it was asked: another one meanwhile is not what it spoke of.

    Raises:
        NotFound: there is no such version.
        Conflict: that cannot happen to a record in its state, or somebody else changed it at the same moment.
    """
    record = emergency.get_record(session, record_id)
    if held is not None and record.state is not held:
        raise Conflict("the address record was changed while the carrier was asked", hint="it is asked again")
    step = move(record.state, event, standing=record.standing)
    before = emergency.facts_of(record)
    standing = record.standing and step.after not in SUFFICIENT
    after = msgspec.structs.replace(before, state=step.after, standing=standing)
    reroutes = record.superseded_at is None and judge(before).blocks != judge(after).blocks
    emergency.apply_step(session, clock, record, step, answer, actor=actor, reroutes=reroutes)
    return step


def may_submit(record: EmergencyRecord) -> None:
    """Return when a version may go to a carrier.

    Raises:
        Conflict: a newer one took its place, or it has no address.
    """
    if record.superseded_at is not None or record.location not in WITH_ADDRESS:
        raise Conflict("the address record is not one to submit", hint="'ringfence emergency address show NUMBER' shows the one that holds")


def _shown(parsed: Parsed) -> tuple[str, ...]:
    return (*(str(one) for one in parsed.shortened), *parsed.warnings)
