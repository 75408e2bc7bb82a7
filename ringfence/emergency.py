"""What is known of a number for 999: the address record, where the number is used, and how far the record has come at the carrier.

Values only. How text becomes a record, which state follows which, and what blocks a call are in `dialplan.emergency`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class LocationClass(StrEnum):
    """How a number is used, which decides whether 999 needs an address for it."""

    FIXED = "fixed"  # a phone at one place
    NOMADIC = "nomadic"  # a softphone or laptop; also apps that call back or through with the number
    MULTI_SITE = "multi_site"  # one of several sites of an exchange; each site's number has its own record
    FORWARD_ONLY = "forward_only"  # forwarded to somebody else's line; makes no calls
    OUTSIDE_UK = "outside_uk"  # used in the Channel Islands, the Isle of Man or abroad, which the UK's 999 database does not take


class AddressState(StrEnum):
    """How far a number's record has come at the carrier."""

    MISSING = "missing"  # there is none
    DRAFT = "draft"  # here, not with the carrier
    SUBMITTED = "submitted"  # the carrier took it in
    PENDING_REVIEW = "pending_review"  # a person at the carrier looks at it
    ACCEPTED = "accepted"  # the 999 database has it
    REJECTED = "rejected"  # the carrier refused it, and said why
    REPORTED_MISSING = "reported_missing"  # somebody called 999 and the operator there saw no record
    WITHDRAWING = "withdrawing"  # the carrier was, or will be, asked to take it out
    WITHDRAWN = "withdrawn"  # it is out


class DueCause(StrEnum):
    """Why calls to 999 must be tested."""

    NEVER = "never_tested"  # no test was ever passed on that node
    TRUNKS = "trunks"  # the emergency trunks, or how they are tried
    DIALPLAN = "dialplan"  # whatever else a call to 999 goes through
    NUMBERS = "numbers"  # how a number is used


class HowTested(StrEnum):
    """How calls to 999 were tested."""

    WALKED = "walked"  # our own command, to an answering point of its own
    CARRIER = "carrier"  # by hand, as the carrier says


class SubmissionAction(StrEnum):
    """What a carrier is asked to do."""

    SUBMIT = "submit"
    WITHDRAW = "withdraw"


class SubmissionState(StrEnum):
    """How far a request to a carrier has come."""

    QUEUED = "queued"  # not sent, or sent in vain and to be tried again
    WAITING = "waiting"  # the carrier has it and has not decided: ask again at `next_at`
    DONE = "done"
    FAILED = "failed"  # given up; a person must look
    DROPPED = "dropped"  # overtaken by a newer version before it was sent


class EmergencyAddress(msgspec.Struct, frozen=True):
    """One record as carriers take it. An empty text is a field that is not given."""

    title: str = ""
    forename: str = ""
    name: str = ""  # surname, or the business's name over the door
    honours: str = ""
    bussuffix: str = ""  # Ltd, plc, or what it is: Hospital, Fuel depot. Set for a business only
    premises: str = ""  # number or name of the building, with flat and floor
    thoroughfare: str = ""  # street
    locality: str = ""  # village or district, and town: carriers have no field of its own for the town
    postcode: str = ""

    @property
    def business(self) -> bool:
        """Whether the record is of a business."""
        return bool(self.bussuffix)


class RecordFacts(msgspec.Struct, frozen=True):
    """What decisions need to know of a number's record; says nothing of where it is."""

    location: LocationClass | None = None  # None = nobody has said
    state: AddressState = AddressState.MISSING
    standing: bool = False  # an earlier version of the same owner is with the carrier until this one is
    acknowledged: bool = False  # the customer knows that 999 does not work from it


class Confirmation(msgspec.Struct, frozen=True):
    """Who said that an address is right, and how."""

    by: str  # a name, up to 60 characters
    how: str  # one of CONFIRMED_HOW


CONFIRMED_HOW = ("phone", "email", "letter", "portal", "contract", "visit")
NOTHING_KNOWN = RecordFacts()

# States in which a carrier has, or may have, the record: what leaves one of them is withdrawn there.
AT_CARRIER = frozenset({AddressState.SUBMITTED, AddressState.PENDING_REVIEW, AddressState.ACCEPTED, AddressState.REJECTED, AddressState.REPORTED_MISSING})
# States in which a number may make ordinary calls: "at least submitted".
SUFFICIENT = AT_CARRIER - {AddressState.REJECTED}
# Classes of which the 999 database takes a record.
WITH_ADDRESS = frozenset({LocationClass.FIXED, LocationClass.NOMADIC, LocationClass.MULTI_SITE})
