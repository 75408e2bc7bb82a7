"""Asking for a decision in a test, and what is looked at in it."""

from __future__ import annotations

from typing import Any

from dialplan.call import CallFacts, TriedAttempt
from dialplan.routing import Attempt, Decision, End, Question, Rules, decide
from tests.unit.plans import PlanOf


def ask(facts: CallFacts, plan: PlanOf, *tried: TriedAttempt, rules: Rules | None = None, **more: Any) -> Decision:
    return decide(Question(facts=facts, seed="node1-1795302588.12", tried=tried, **more), plan, rules or Rules())


def attempt(decision: Decision) -> Attempt:
    assert isinstance(decision, Attempt)
    return decision


def end(decision: Decision) -> tuple[str, int]:
    assert isinstance(decision, End)
    return decision.routed.refusal, decision.cause


def rung(decision: Decision) -> list[tuple[str, str]]:
    return [(leg.leg.address, leg.leg.trunk) for leg in attempt(decision).legs]
