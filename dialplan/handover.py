"""A decision as Asterisk gets it: a ticket or channel variables for the static dialplan, and the AstDB value of the fall-back.

An ordinary decision, one leg with nothing special, fits into the extension that the call goes on at: one request, a ticket. Any other sets
channel variables first, as FastAGI always does, and goes on at context `forward` to dial, or `finish` to end.
Every value is made of checked numbers and names, so none can carry dialplan syntax; `_safe` refuses the rest all the same.
"""

from __future__ import annotations

import re

import msgspec

from dialplan.call import CallFacts, format_facts, format_legs, format_routed
from dialplan.routing import Attempt, AttemptLeg, Decision, Plan, Question, decide
from dialplan.routing import Rules as RoutingRules
from ringfence.errors import Invalid
from ringfence.values import Direction, PlanDid, RoutedBy, TargetKind

DIAL_CONTEXT = "forward"
END_CONTEXT = "finish"
TICKET_MAX = 79  # characters of an extension (Asterisk's AST_MAX_EXTENSION is 80)

_DIAL = re.compile(r"PJSIP/(\+?[0-9]{1,20}@)?[a-z0-9][a-z0-9-]{0,39}(&PJSIP/(\+?[0-9]{1,20}@)?[a-z0-9][a-z0-9-]{0,39})*\Z")
_NUMBER = re.compile(r"\+?[0-9]{0,20}\Z")
_SAFE = re.compile(r'[0-9A-Za-z+\-_.#:=&^~/@()<>" ]{0,1000}\Z')


class HandOver(msgspec.Struct, frozen=True):
    """How a call is handed back to the dialplan."""

    variables: dict[str, str]  # set first; none when the ticket says all
    context: str
    extension: str


def hand_over(decision: Decision, asked: CallFacts) -> HandOver:
    """Return what ARI is asked to do: go on with a ticket when the decision fits one, else set variables and go on.

    Args:
        decision: what was decided.
        asked: the facts as Asterisk gave them.

    Raises:
        Invalid: a value carries a character that no number or name has.
    """
    context, extension = _ticket(decision) if decision.facts == asked else ("", "")
    if 0 < len(extension) <= TICKET_MAX:
        _safe(extension.replace(",", ""))
        return HandOver({}, context, extension)
    return HandOver(variables(decision, asked), *place(decision))


def _ticket(decision: Decision) -> tuple[str, str]:
    """Return context and extension that say it all, or two empty texts when more has to be said.

    Raises:
        Invalid: a number or name is none.
    """
    routed = format_routed(decision.routed)
    if not isinstance(decision, Attempt):
        return "refuse", f"{decision.cause},{routed}"
    first = decision.legs[0]
    identity, facts = first.identity, decision.facts
    plain = len(decision.legs) == 1 and first.leg.kind is not TargetKind.ENDPOINT and first.dial_number == first.leg.address
    plain = plain and first.capacity is None and decision.concurrency_limit is None
    plain = plain and not identity.network_number and not identity.diversion and identity.withheld == facts.withheld
    dial_string(decision)  # the ticket's leg becomes one too
    shows = {facts.called: "show-did", facts.caller: "show-caller"}.get(identity.number, "")
    return (shows, f"{decision.ring_seconds},{routed},{format_legs((first.leg,))}") if plain and shows else ("", "")


def place(decision: Decision) -> tuple[str, str]:
    """Return the context and extension where the dialplan goes on."""
    if not isinstance(decision, Attempt):
        return (END_CONTEXT, str(decision.cause))
    limited = decision.concurrency_limit is not None or any(leg.capacity is not None for leg in decision.legs)
    return (DIAL_CONTEXT, "limits" if limited else "dial")


def variables(decision: Decision, asked: CallFacts) -> dict[str, str]:
    """Return the channel variables to set.

    Args:
        decision: what was decided.
        asked: the facts as Asterisk gave them; written again only where the decision made them clearer.

    Raises:
        Invalid: a value carries a character that no number or name has.
    """
    values = {"RF_BY": format_routed(decision.routed)}
    if decision.facts != asked:
        values["RF_IN"] = format_facts(decision.facts)
    if isinstance(decision, Attempt):
        values |= _attempt(decision)
        if asked.withheld and not decision.facts.withheld:
            values["CALLERID(pres)"] = "allowed"  # the caller dialled 1470: the phone's own privacy is lifted for this call
    for value in values.values():
        _safe(value)
    return values


def astdb_value(did: PlanDid, plan: Plan, rules: RoutingRules) -> str | None:
    """Return what AstDB keeps for a number: the first attempt, for calls that arrive while nobody can be asked; None = no route.

    Shape: `<RF_BY>|<RF_LEGS>|<dial string>|<seconds>|<shown number, empty = the caller's own>`. Limits are not applied: in the fall-back, ringing
    the customer counts for more.
    """
    facts = CallFacts(direction=Direction.INBOUND, called=did.e164, caller="", presentation="allowed", origin="", diversions=0, diverted_from="")
    decision = decide(Question(facts=facts, seed=did.e164), plan, rules, by=RoutedBy.ASTDB)
    if not isinstance(decision, Attempt):
        return None
    passes = all(_passes_caller(leg, plan) for leg in decision.legs)
    shown = "" if passes else decision.legs[0].identity.number
    fields = (format_routed(decision.routed), format_legs(tuple(leg.leg for leg in decision.legs)), dial_string(decision), str(decision.ring_seconds), shown)
    for field in fields:
        _safe(field)
    return "|".join(fields)


def dial_string(attempt: Attempt) -> str:
    """Return the first argument of `Dial()`.

    Raises:
        Invalid: a number or name in it is none.
    """
    text = "&".join(f"PJSIP/{leg.dial_number}@{leg.leg.trunk}" if leg.leg.trunk else f"PJSIP/{leg.leg.address}" for leg in attempt.legs)
    if not _DIAL.match(text) or text.count("&") != len(attempt.legs) - 1:
        raise _unsafe()
    return text


def _attempt(attempt: Attempt) -> dict[str, str]:
    first = attempt.legs[0].identity
    values = {
        "RF_DIAL": dial_string(attempt),
        "RF_SECS": str(attempt.ring_seconds),
        "RF_LEGS": format_legs(tuple(leg.leg for leg in attempt.legs)),
        "CALLERID(all)": f'"" <{first.number}>',
    }
    if first.withheld:
        values["CALLERID(pres)"] = "prohib"
    if attempt.concurrency_limit is not None:
        values["RF_GROUP"] = str(attempt.routed.account_id)
        values["RF_LIMIT"] = str(attempt.concurrency_limit)
    diversion = next((leg.identity.diversion for leg in attempt.legs if leg.identity.diversion), "")
    if diversion:
        values["REDIRECTING(from-num,i)"] = diversion
        values["REDIRECTING(reason,i)"] = "cfu"
        values["REDIRECTING(count,i)"] = str(attempt.facts.diversions + 1)
    capacities: dict[str, tuple[int, int]] = {}
    for leg in attempt.legs:
        if leg.capacity is not None:
            capacities[leg.leg.trunk] = (leg.capacity, capacities.get(leg.leg.trunk, (0, 0))[1] + 1)
    if capacities:
        values["RF_CAPACITY"] = "&".join(f"{trunk}:{capacity}:{count}" for trunk, (capacity, count) in capacities.items())
    per_leg = _per_leg(attempt, first.number)
    values |= per_leg
    if per_leg or capacities:
        values["RF_OPTIONS"] = "b(leg^s^1)"
    return values


def _per_leg(attempt: Attempt, shown: str) -> dict[str, str]:
    """Return what the pre-dial handler sets on single legs: a network number, or another presented number than the first leg's."""
    values: dict[str, str] = {}
    for leg in attempt.legs:
        name = leg.leg.endpoint
        if not (_NUMBER.match(leg.identity.number) and _NUMBER.match(leg.identity.network_number) and _NUMBER.match(leg.identity.diversion)):
            raise _unsafe()
        if leg.identity.network_number:
            values[f"RF_PAI_{name}"] = leg.identity.network_number
            values[f"RF_PRIVACY_{name}"] = "id" if leg.identity.withheld else "none"
        if leg.identity.number != shown:
            values[f"RF_SHOW_{name}"] = leg.identity.number
    return values


def _passes_caller(leg: AttemptLeg, plan: Plan) -> bool:
    trunk = plan.trunk(leg.leg.trunk)
    return trunk is None or trunk.caller_id_mode != "did"


def _safe(value: str) -> None:
    if not _SAFE.match(value):
        raise _unsafe()


def _unsafe() -> Invalid:
    return Invalid("a routing value carries a character that no number or name has", hint="report this: provisioning should have refused it")


__all__ = ["DIAL_CONTEXT", "END_CONTEXT", "TICKET_MAX", "HandOver", "astdb_value", "dial_string", "hand_over", "place", "variables"]
