"""Can this number make calls, does it need an address for 999, and what stands in the way: one function for every place that asks.

The rule: who offers calls to ordinary numbers gives 999 access and, as far as is feasible, an accurate location with it (Ofcom General
Conditions A3.2(b), A3.5, A3.6(a)); the address is asked for before calls are possible. That a number which only forwards needs none is
an inference from the conditions' scope, services that originate calls, and no statement of Ofcom's: have a lawyer look at it.
"""

from __future__ import annotations

import msgspec

from ringfence.emergency import SUFFICIENT, AddressState, LocationClass, RecordFacts

ADDRESS_MISSING = "emergency_address_missing"
ADDRESS_REJECTED = "emergency_address_rejected"
FORWARD_ONLY = "forward_only_number"
NOT_ACKNOWLEDGED = "emergency_access_not_acknowledged"


class Verdict(msgspec.Struct, frozen=True):
    """What holds for a number."""

    can_originate: bool  # it may be used for calls of its own, once nothing blocks them
    needs_record: bool  # 999 needs an accepted address for it
    covered: bool  # it needs none, or the carrier accepted it
    blocks: str  # why its ordinary calls are refused, as a slug; empty = nothing. Emergency calls are never refused
    why: str  # the same for a person


def judge(facts: RecordFacts, *, presented: bool = True) -> Verdict:
    """Return what holds for a number. Total: it has an answer for whatever is known, or not known.

    Args:
        facts: what is known of its record.
        presented: whether a phone presents the number; one that none presents makes no calls, whatever its class.
    """
    if not presented:
        return Verdict(False, False, True, "", "no phone presents the number: it makes no calls")
    if facts.location is LocationClass.FORWARD_ONLY:  # 999 goes out from the phone all the same, so this is a gap too
        return Verdict(False, False, False, FORWARD_ONLY, "the number is said to forward only, and a phone presents it")
    if facts.location is LocationClass.OUTSIDE_UK:
        if facts.acknowledged:
            return Verdict(True, False, True, "", "used outside the UK, and the customer knows that 999 does not work from there")
        return Verdict(True, False, False, NOT_ACKNOWLEDGED, "used outside the UK, and nobody has acknowledged that 999 does not work from there")
    covered = facts.state is AddressState.ACCEPTED
    if facts.state in SUFFICIENT:
        return Verdict(True, True, covered, "", f"the address is {_words(facts.state)}")
    if facts.standing:
        return Verdict(True, True, False, "", f"the new address is {_words(facts.state)}; the carrier has the one before")
    if facts.state is AddressState.REJECTED:
        return Verdict(True, True, False, ADDRESS_REJECTED, "the carrier rejected the address")
    why = "there is no address for 999" if facts.state is AddressState.MISSING else f"the address is {_words(facts.state)}"
    return Verdict(True, True, False, ADDRESS_MISSING, why)


def _words(state: AddressState) -> str:
    return state.replace("_", " ")
