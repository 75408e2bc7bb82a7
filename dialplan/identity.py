"""Whose number each trunk shows (claim NN-6; Ofcom General Condition C6; RFC 3323, 3325 and 5806).

A withheld number stays withheld. A caller's number that is not a valid presentation number is never passed on: the DID is
shown instead. Nothing but the caller's number, the called number and the diversion leaves, and these only as the trunk's rule says.
"""

from __future__ import annotations

import msgspec

from dialplan.call import CallFacts
from dialplan.numbers import classify, format_for
from ringfence.errors import Invalid
from ringfence.values import E164, CallerIdMode, NumberClass, NumberFormat, PlanTrunk

UNPRESENTABLE = frozenset({NumberClass.PREMIUM, NumberClass.PERSONAL, NumberClass.PAGER, NumberClass.UNUSED, NumberClass.SERVICE})


class Identity(msgspec.Struct, frozen=True):
    """What one leg's INVITE says of the caller."""

    number: str  # From, in the trunk's format; empty only towards a phone, when there is none
    withheld: bool  # From becomes anonymous
    network_number: str  # P-Asserted-Identity; empty = none is sent
    diversion: str  # Diversion, E.164; empty = none is sent


def signalled_number(text: str) -> E164 | None:
    """Return the E.164 form of a number as a UK carrier signals it, or None when it cannot be one.

    Args:
        text: digits with an optional `+`: `+44…`, `0044…`, `020…` or `44…`.
    """
    if text.startswith("+"):
        number = text
    elif text.startswith("00"):
        number = "+" + text[2:]
    elif text.startswith("0"):
        number = "+44" + text[1:]
    elif text.startswith("44") and len(text) >= 11:
        number = "+" + text
    else:
        return None
    digits = number[1:]
    return E164(number) if digits.isdigit() and 7 <= len(digits) <= 15 and digits[0] != "0" else None


def presentable(text: str) -> E164 | None:
    """Return the caller's number when it may be shown, else None (uk-rules: 09, 070, 076, 084, 087, 08979 and short numbers never)."""
    number = signalled_number(text)
    if number is None:
        return None
    try:
        number_class = classify(number)
    except Invalid:
        return None
    return None if number_class in UNPRESENTABLE else number


def for_trunk(facts: CallFacts, did: E164, trunk: PlanTrunk) -> Identity:
    """Return what a trunk is told of a forwarded call's caller."""
    caller = None if trunk.caller_id_mode is CallerIdMode.DID else presentable(facts.caller)
    return Identity(
        number=format_for(caller or did, trunk.number_format),
        withheld=facts.withheld,
        network_number=trunk.network_number or "",
        diversion=did if trunk.caller_id_mode is CallerIdMode.PASS_DIVERSION else "",
    )


def for_own_call(did: E164, trunk: PlanTrunk, *, withheld: bool) -> Identity:
    """Return what a trunk is told of a call that a customer's phone makes: its own DID, whatever the trunk's mode."""
    return Identity(number=format_for(did, trunk.number_format), withheld=withheld, network_number=trunk.network_number or "", diversion="")


def for_phone(facts: CallFacts) -> Identity:
    """Return what a customer's own phone is shown."""
    caller = presentable(facts.caller)
    return Identity(number="" if caller is None else format_for(caller, NumberFormat.E164_PLUS), withheld=facts.withheld, network_number="", diversion="")
