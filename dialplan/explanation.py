"""Why a call goes where it goes: the decision of a live call with every rule written down, and what would follow each failure.

Nothing is decided here. `dialplan.routing.decide` is asked as a live call asks it, then again as if the attempt had failed: once in a
way that another trunk may cure, and once with an answer that is final. So the explanation cannot differ from what calls do.
"""

from __future__ import annotations

import msgspec

from dialplan import causes
from dialplan.call import CallFacts, LegResult, TriedAttempt
from dialplan.handover import hand_over
from dialplan.routing import Attempt, AttemptLeg, Decision, Plan, Question, Rules, decide
from ringfence.values import TargetKind

# Asterisk's hangup_cause2sip, for the causes that a decision ends with.
HEARD = {
    causes.UNALLOCATED: "404 Not Found",
    causes.BUSY: "486 Busy Here",
    causes.NO_ANSWER: "480 Temporarily Unavailable",
    causes.UNREACHABLE: "480 Temporarily Unavailable",
    causes.REJECTED: "403 Forbidden",
    causes.CONGESTION: "503 Service Unavailable",
    causes.DECLINED: "603 Decline",
}

ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>'


class Rule(msgspec.Struct, frozen=True):
    """One rule that was looked at."""

    rule: str
    applies: bool  # did it decide something?
    why: str


class LegShown(msgspec.Struct, frozen=True):
    """One leg, with what its INVITE says; an empty header is not sent."""

    kind: TargetKind
    address: str
    trunk: str  # empty for a registered phone
    dialled: str  # user part of the Request-URI
    from_header: str
    p_asserted_identity: str
    privacy: str
    diversion: str
    capacity: int | None  # the trunk's channels at once on one node


class Step(msgspec.Struct, frozen=True):
    """One question and its answer."""

    number: int
    asked: str  # what had happened before the question
    rules: tuple[Rule, ...]
    rings: tuple[LegShown, ...]  # together; empty when the call ends
    ring_seconds: int | None
    concurrency_limit: int | None  # the account's
    refusal: str  # slug; empty when it rings, or ends because all attempts failed
    cause: int | None  # Q.850, when the call ends
    caller_hears: str  # SIP status, when the call ends
    context: str  # where the dialplan goes on
    extension: str  # a ticket, when no variables are needed
    variables: dict[str, str]  # what Asterisk gets first
    after_final: str  # what follows when every leg of it gives a final answer


class _Notes:
    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def note(self, rule: str, applies: bool, why: str) -> None:
        self.rules.append(Rule(rule, applies, why))


def explain(facts: CallFacts, plan: Plan, rules: Rules, *, seed: str, host: str) -> tuple[Step, ...]:
    """Return the decisions of a call, each attempt failing so that the next one is made, until the call ends.

    Args:
        facts: the call as Asterisk would give it.
        plan: the routing plan.
        rules: the operator's rules.
        seed: the call's linkedid, which draws among trunks of equal priority.
        host: the address in our SIP headers.
    """
    steps: list[Step] = []
    tried: tuple[TriedAttempt, ...] = ()
    asked = "the call arrives"
    while True:
        notes = _Notes()
        decision = decide(Question(facts=facts, seed=seed, tried=tried), plan, rules, trace=notes)
        after = ""
        if isinstance(decision, Attempt):
            final = decide(Question(facts=decision.facts, seed=seed, tried=(*tried, _failed(decision, "BUSY"))), plan, rules)
            after = _summary(final)
        steps.append(_step(len(steps) + 1, asked, notes, decision, facts, host, after))
        if not isinstance(decision, Attempt):
            return tuple(steps)
        asked = f"attempt {len(steps)} fails in a way that another trunk may cure"
        tried = (*tried, _failed(decision, "CHANUNAVAIL"))
        facts = decision.facts


def _failed(attempt: Attempt, dialstatus: str) -> TriedAttempt:
    """Return an attempt of which each leg failed so; without SIP status and cause, no trunk's own rules say otherwise."""
    legs = tuple(leg.leg for leg in attempt.legs)
    return TriedAttempt(legs, dialstatus, False, tuple(LegResult(leg, dialstatus, False, None, None) for leg in legs))


def _step(number: int, asked: str, notes: _Notes, decision: Decision, facts: CallFacts, host: str, after: str) -> Step:
    handed = hand_over(decision, facts)
    rings = isinstance(decision, Attempt)
    return Step(
        number=number,
        asked=asked,
        rules=tuple(notes.rules),
        rings=tuple(_shown(leg, host) for leg in decision.legs) if isinstance(decision, Attempt) else (),
        ring_seconds=decision.ring_seconds if isinstance(decision, Attempt) else None,
        concurrency_limit=decision.concurrency_limit if isinstance(decision, Attempt) else None,
        refusal=decision.routed.refusal,
        cause=None if isinstance(decision, Attempt) else decision.cause,
        caller_hears="" if isinstance(decision, Attempt) else HEARD.get(decision.cause, f"cause {decision.cause}"),
        context=handed.context,
        extension=handed.extension,
        variables=handed.variables,
        after_final=after if rings else "",
    )


def _shown(leg: AttemptLeg, host: str) -> LegShown:
    identity = leg.identity
    domain = "anonymous.invalid" if identity.withheld else host  # Asterisk puts From's into Diversion
    asserted = f"<sip:{identity.network_number}@{host}>" if identity.network_number else ""
    return LegShown(
        kind=leg.leg.kind,
        address=leg.leg.address,
        trunk=leg.leg.trunk,
        dialled=leg.dial_number or leg.leg.address,
        from_header=ANONYMOUS if identity.withheld else f"<sip:{identity.number or 'anonymous'}@{host}>",
        p_asserted_identity=asserted,
        privacy="id" if asserted and identity.withheld else "",
        diversion=f"<sip:{identity.diversion}@{domain}>;reason=unconditional" if identity.diversion else "",
        capacity=leg.capacity,
    )


def _summary(decision: Decision) -> str:
    if isinstance(decision, Attempt):
        return "rings " + " and ".join(f"{leg.leg.address} by {leg.leg.trunk}" if leg.leg.trunk else f"phone {leg.leg.address}" for leg in decision.legs)
    return f"ends: the caller hears {HEARD.get(decision.cause, f'cause {decision.cause}')}"
