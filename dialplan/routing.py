"""Where does this call go next? One pure function, the same for a live call, the FastAGI server, and `number explain`.

It remembers nothing: what was tried comes with the question, so any process can answer it at any time.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Protocol

import msgspec

from dialplan import causes
from dialplan.call import CallFacts, Leg, LegResult, Routed, TriedAttempt
from dialplan.causes import Verdict
from dialplan.emergency.matrix import judge
from dialplan.identity import Identity, for_own_call, for_phone, for_trunk, signalled_number
from dialplan.numbers import Dialled, ShortCodeKind, classify, format_for, last_code, parse_dialled
from ringfence.errors import Invalid
from ringfence.values import (
    E164,
    AccountState,
    DidState,
    Direction,
    NumberClass,
    PlanAccount,
    PlanDid,
    PlanEndpoint,
    PlanTarget,
    PlanTrunk,
    RoutedBy,
    TargetKind,
)


class Plan(Protocol):
    """The routing plan as a decision reads it: in memory, of one version."""

    version: int

    def did(self, e164: str) -> PlanDid | None:
        """Return the DID, or None when it is not ours."""
        ...

    def account(self, account_id: int) -> PlanAccount | None:
        """Return the account, or None."""
        ...

    def endpoint(self, name: str) -> PlanEndpoint | None:
        """Return the phone, or None."""
        ...

    def trunk(self, name: str) -> PlanTrunk | None:
        """Return the trunk, or None."""
        ...

    def outbound_trunks(self) -> Sequence[PlanTrunk]:
        """Return the enabled trunks that take outbound calls, by priority."""
        ...


class Rules(msgspec.Struct, frozen=True):
    """The operator's rules that a decision needs."""

    max_diversions: int = 5
    max_repeats: int = 8
    international: bool = False


class Question(msgspec.Struct, frozen=True):
    """One question of where a call goes next."""

    facts: CallFacts
    seed: str  # the call's linkedid: spreads calls over trunks of equal priority, the same way at each attempt
    tried: tuple[TriedAttempt, ...] = ()
    repeats: int = 0  # calls with the same caller and called number within the last seconds
    overloaded: bool = False  # calls arrive faster than this node may take them


class AttemptLeg(msgspec.Struct, frozen=True):
    """One leg to dial, with what its INVITE says."""

    leg: Leg
    dial_number: str  # user part of the Request-URI, in the trunk's format; empty for a phone
    identity: Identity
    capacity: int | None  # the trunk's channel limit


class Attempt(msgspec.Struct, frozen=True):
    """Ring these together."""

    routed: Routed
    facts: CallFacts  # as the ledger shall have them
    legs: tuple[AttemptLeg, ...]
    ring_seconds: int
    concurrency_limit: int | None  # the account's


class End(msgspec.Struct, frozen=True):
    """Nothing more to ring: tell the caller."""

    routed: Routed  # its `refusal` is empty when attempts were made and failed
    facts: CallFacts
    cause: int  # Q.850, for Hangup()


Decision = Attempt | End


class Trace(Protocol):
    """Takes down each rule that was looked at."""

    def note(self, rule: str, applies: bool, why: str) -> None:
        """Note a rule, whether it decided something, and why or why not."""
        ...


class _Silent:
    def note(self, rule: str, applies: bool, why: str) -> None:
        """Take down nothing: a live call has no reader."""


SILENT = _Silent()


def decide(question: Question, plan: Plan, rules: Rules, *, by: RoutedBy = RoutedBy.ARI, trace: Trace = SILENT) -> Decision:
    """Return the next attempt, or the end with the cause that the caller hears.

    Args:
        question: the call, and what was tried.
        plan: the routing plan.
        rules: the operator's rules.
        by: which part of the system asks; goes into the ledger.
        trace: takes down every rule that was looked at.
    """
    context = _Context(question, plan, rules, by, trace)
    trace.note("overload", question.overloaded, "calls arrive faster than this node may take them" if question.overloaded else "within the rate")
    if question.overloaded and not question.tried:
        return context.end("overload", causes.CONGESTION)
    if question.facts.direction is Direction.INBOUND:
        return context.forward(signalled_number(question.facts.called))
    return context.own_call()


class _Context:
    """One decision being made."""

    def __init__(self, question: Question, plan: Plan, rules: Rules, by: RoutedBy, trace: Trace) -> None:
        self.question = question
        self.facts = question.facts
        self.plan = plan
        self.rules = rules
        self.by = by
        self.note = trace.note
        self.account: PlanAccount | None = None
        self.did: E164 | None = None

    def end(self, refusal: str, cause: int) -> End:
        """Return the end of the call."""
        return End(routed=self._routed(refusal), facts=self.facts, cause=cause)

    def forward(self, number: E164 | None) -> Decision:
        """Decide a call to one of our numbers."""
        did = self.plan.did(number) if number else None
        self.note("number", did is None, "not one of ours" if did is None else f"ours, {did.state}")
        if did is None:
            return self.end("unknown_number", causes.UNALLOCATED)
        self.did = did.e164
        if did.state is not DidState.ACTIVE or did.account_id is None:
            self.note("number state", True, f"{did.state}, {'no account' if did.account_id is None else 'assigned'}")
            return self.end("number_not_active", causes.UNALLOCATED)
        refusal = self._check_account(did.account_id)
        if refusal:
            return self.end(refusal, causes.REJECTED)
        loop = self._loop(did)
        if loop:
            return self.end(loop, causes.CONGESTION)
        self.note("targets", not did.targets, f"{len(did.targets)} set")
        if not did.targets:
            return self.end("no_target", causes.UNREACHABLE)
        return self._next_attempt(did)

    def own_call(self) -> Decision:
        """Decide a call that a customer's phone makes; it presents its DID (claim VF-10)."""
        phone = self.plan.endpoint(self.facts.origin)
        self.note("phone", phone is None or not phone.enabled, "unknown" if phone is None else ("enabled" if phone.enabled else "disabled"))
        if phone is None or not phone.enabled:
            return self.end("unknown_endpoint", causes.REJECTED)
        if phone.receive_only:
            self.note("receive only", True, "the phone takes calls only")
            return self.end("receive_only", causes.REJECTED)
        essential = self._essential()
        refusal = self._check_account(phone.account_id)
        if refusal and not essential:
            return self.end(refusal, causes.REJECTED)
        own = self.plan.did(phone.caller_did) if phone.caller_did else None
        usable = own is not None and own.state is DidState.ACTIVE and own.account_id == phone.account_id
        self.note("own number", not usable, "presents its DID" if usable else "has no active DID of its account to present")
        if own is None or not usable:
            return self.end("no_caller_number", causes.REJECTED)
        try:
            dialled = parse_dialled(self.facts.called)
        except Invalid as error:
            self.note("dialled number", True, error.message)
            return self.end("invalid_number", causes.UNALLOCATED)
        self.did = own.e164
        if essential:
            self.facts = msgspec.structs.replace(self.facts, called=essential, caller=own.e164)
            return self._own_attempt(essential, own.e164, withheld=False)
        if dialled.e164 is None:
            return self._short_code(dialled)
        refusal = self._emergency_record(phone)
        if refusal:
            return self.end(refusal, causes.REJECTED)
        withheld = dialled.withhold or (self.facts.withheld and not dialled.release)
        presentation = "prohib" if withheld else "allowed"
        self.facts = msgspec.structs.replace(self.facts, called=dialled.e164, caller=own.e164, presentation=presentation)
        if self.plan.did(dialled.e164) is not None:
            self.note("own network", True, "the number called is one of ours: routed inside")
            self.facts = msgspec.structs.replace(self.facts, direction=Direction.INTERNAL)
            return self.forward(dialled.e164)
        refusal = self._barred(dialled.e164)
        if refusal:
            return self.end(refusal, causes.REJECTED)
        return self._own_attempt(dialled.e164, own.e164, withheld=withheld)

    def _essential(self) -> str:
        """Return the code when one is called that must always be possible (101, 111, 116 123, ...), whatever the account's state and limit."""
        code = last_code(self.facts.called)
        if code is None or code.kind is not ShortCodeKind.ESSENTIAL:
            return ""
        self.note("essential number", True, "always possible, with the number shown")
        return code.code

    def _short_code(self, dialled: Dialled) -> End:
        code = dialled.short_code
        slug = "emergency_not_provisioned" if code is not None and code.emergency else "short_code_not_provisioned"
        self.note("short code", True, slug)
        return self.end(slug, causes.REJECTED)

    def _emergency_record(self, phone: PlanEndpoint) -> str:
        """Refuse ordinary calls of a phone whose number 999 has no address of; emergency numbers never come here."""
        verdict = judge(phone.record)
        self.note("999 address", bool(verdict.blocks), verdict.why)
        return verdict.blocks

    def _barred(self, number: E164) -> str:
        number_class = classify(number)
        if number_class is NumberClass.INTERNATIONAL:
            self.note("international", not self.rules.international, "allowed" if self.rules.international else "not allowed by routing.international")
            return "" if self.rules.international else "international_barred"
        barred = number_class in {NumberClass.PREMIUM, NumberClass.PERSONAL, NumberClass.PAGER, NumberClass.UNUSED}
        self.note("number class", barred, str(number_class))
        return "number_class_barred" if barred else ""

    def _check_account(self, account_id: int) -> str:
        account = self.plan.account(account_id)
        self.account = account
        active = account is not None and account.state is AccountState.ACTIVE
        self.note("account", not active, "unknown" if account is None else str(account.state))
        return "" if active else "account_not_active"

    def _loop(self, did: PlanDid) -> str:
        facts, rules = self.facts, self.rules
        diverted = signalled_number(facts.diverted_from) if facts.diverted_from else None
        from_target = diverted is not None and any(target.address == diverted for target in did.targets)
        checks = (
            ("diversions", facts.diversions >= rules.max_diversions, f"{facts.diversions} of at most {rules.max_diversions - 1}", "too_many_diversions"),
            ("diverted back", from_target, "a target sent it back" if from_target else "not from one of its targets", "diverted_back"),
            ("repeats", self.question.repeats >= rules.max_repeats, f"{self.question.repeats} alike within seconds", "repeated_call"),
        )
        refusal = ""
        for rule, applies, why, slug in checks:
            self.note(rule, applies, why)
            refusal = refusal or (slug if applies else "")
        return refusal

    def _next_attempt(self, did: PlanDid) -> Decision:
        results = [result for attempt in self.question.tried for result in attempt.results]
        caller = signalled_number(self.facts.caller)
        for position in sorted({target.position for target in did.targets}):
            legs = []
            for target in (target for target in did.targets if target.position == position):
                leg = self._leg_to(target, did.e164, caller, results)
                if leg is not None:
                    legs.append((leg, target.ring_seconds))
            if legs:
                return self._attempt(tuple(leg for leg, _ in legs), max(seconds for _, seconds in legs))
        return self._exhausted(results)

    def _leg_to(self, target: PlanTarget, did: E164, caller: E164 | None, results: list[LegResult]) -> AttemptLeg | None:
        name = f"target {target.position}"
        mine = [result for result in results if result.leg.kind is target.kind and result.leg.address == target.address]
        if target.kind is TargetKind.ENDPOINT:
            phone = self.plan.endpoint(target.address)
            usable = phone is not None and phone.enabled and phone.account_id == (self.account.account_id if self.account else None)
            if mine or not usable:
                self.note(name, False, "already rung" if mine else "the phone is not there, disabled, or of another account")
                return None
            self.note(name, True, "rings the phone")
            return AttemptLeg(leg=Leg(target.kind, target.address, ""), dial_number="", identity=for_phone(self.facts), capacity=None)
        if target.address == caller or self.plan.did(target.address) is not None:
            self.note(name, False, "the target is the caller" if target.address == caller else "the target is one of our own numbers: a loop")
            return None
        trunk = self._pick_trunk(name, mine)
        if trunk is None:
            return None
        number = format_for(E164(target.address), trunk.number_format)
        leg = Leg(target.kind, target.address, trunk.name)
        return AttemptLeg(leg=leg, dial_number=number, identity=for_trunk(self.facts, did, trunk), capacity=trunk.capacity)

    def _pick_trunk(self, rule: str, mine: list[LegResult]) -> PlanTrunk | None:
        for result in mine:
            trunk = self.plan.trunk(result.leg.trunk)
            if causes.verdict(result, trunk.causes if trunk else {}) is Verdict.FINAL:
                self.note(rule, False, f"answered the question: {result.dialstatus} {result.sip_status or ''}".rstrip())
                return None
        used = {result.leg.trunk for result in mine}
        trunks = self.plan.outbound_trunks()
        left = [trunk for trunk in trunks if trunk.name not in used]
        if not left:
            self.note(rule, False, "every trunk was tried" if trunks else "no outbound trunk is enabled")
            return None
        first = [trunk for trunk in left if trunk.priority == left[0].priority]
        trunk = first[0] if len(first) == 1 else max(first, key=lambda candidate: _weighted(self.question.seed, candidate))
        self.note(rule, True, f"by trunk {trunk.name} (priority {trunk.priority}, weight {trunk.weight})")
        return trunk

    def _own_attempt(self, number: str, own: E164, *, withheld: bool) -> Decision:
        results = [result for attempt in self.question.tried for result in attempt.results]
        trunk = self._pick_trunk("destination", results)
        if trunk is None:
            return self._exhausted(results)
        short = not number.startswith("+")
        mobile = not short and classify(E164(number)) is NumberClass.MOBILE
        leg = AttemptLeg(
            leg=Leg(TargetKind.MOBILE if mobile else TargetKind.LANDLINE, number, trunk.name),
            dial_number=number if short else format_for(E164(number), trunk.number_format),
            identity=for_own_call(own, trunk, withheld=withheld),
            capacity=trunk.capacity,
        )
        attempt = self._attempt((leg,), 120)
        return msgspec.structs.replace(attempt, concurrency_limit=None) if short else attempt

    def _attempt(self, legs: tuple[AttemptLeg, ...], ring_seconds: int) -> Attempt:
        limit = self.account.concurrency_limit if self.account else None
        return Attempt(routed=self._routed(""), facts=self.facts, legs=legs, ring_seconds=ring_seconds, concurrency_limit=limit)

    def _exhausted(self, results: list[LegResult]) -> End:
        for result in reversed(results):
            trunk = self.plan.trunk(result.leg.trunk)
            if causes.verdict(result, trunk.causes if trunk else {}) is Verdict.FINAL:
                return self.end("", causes.cause_for_caller(result))
        away = bool(results) and not any(result.leg.trunk for result in results)  # only phones, none registered: no trunk failed
        return self.end("" if results else "no_route", causes.UNREACHABLE if away else causes.CONGESTION)

    def _routed(self, refusal: str) -> Routed:
        account_id = self.account.account_id if self.account else None
        return Routed(by=self.by, plan_version=self.plan.version, account_id=account_id, did=self.did, refusal=refusal)


def _weighted(seed: str, trunk: PlanTrunk) -> float:
    """Return a trunk's lot in a weighted draw that comes out the same for the same call (weighted rendezvous hashing)."""
    digest = hashlib.blake2b(f"{seed}/{trunk.name}".encode(), digest_size=8).digest()
    share = ((int.from_bytes(digest, "big") >> 11) + 0.5) / 2**53  # 53 bits: with more it could round to 1, which has no logarithm below 0
    return -trunk.weight / math.log(share)
