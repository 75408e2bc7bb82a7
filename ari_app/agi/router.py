"""What the route server answers: the decision of `dialplan.routing`, journalled, as channel variables."""

from __future__ import annotations

import re
from typing import Protocol

from ari_app.agi.protocol import AgiRequest
from ari_app.pace import Repeats
from dialplan.call import format_facts, format_legs, format_routed, parse_facts, parse_tried
from dialplan.handover import place, variables
from dialplan.routing import Attempt, Decision, Plan, Question, Rules, decide
from ringfence.clock import Clock
from ringfence.errors import Invalid
from ringfence.settings import Routing
from ringfence.values import RoutedBy

ROUTE = "route"
_LINKEDID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}-[0-9]{1,12}\.[0-9]{1,12}\Z")
_LAST = ("RF_BY", "RF_PLACE")  # set last, in this order: a conversation cut short leaves the call to AstDB


class Journal(Protocol):
    """Where decisions are written before they take effect."""

    def decided(self, call_id: str, by: str, attempt: int, *, facts: str, routed: str, legs: str) -> None:
        """Write one decision."""
        ...


class Answer:
    """A decision, and the variables that carry it out, in the order to set them."""

    def __init__(self, decision: Decision, values: dict[str, str]) -> None:
        context, extension = place(decision)
        values = {**values, "RF_PLACE": f"{context},{extension},1"}
        self.decision = decision
        self.variables = [(name, value) for name, value in values.items() if name not in _LAST] + [(name, values[name]) for name in _LAST]


class Router:
    """Answers route requests from a plan in memory.

    Args:
        plan: the routing plan.
        routing: the operator's rules.
        journal: written before the answer is given.
        clock: for the count of alike calls.
    """

    def __init__(self, plan: Plan, routing: Routing, journal: Journal, clock: Clock) -> None:
        self._plan = plan
        self._rules = Rules(max_diversions=routing.max_diversions, max_repeats=routing.max_repeats, international=routing.international)
        self._journal = journal
        self._clock = clock
        self._repeats = Repeats(routing.repeat_seconds)

    def answer(self, request: AgiRequest) -> Answer:
        """Decide.

        Args:
            request: script `route`; arguments RF_IN, RF_TRIED and the linkedid.

        Raises:
            Invalid: it is not what the dialplan sends.
        """
        if request.script != ROUTE or len(request.arguments) != 3:
            raise Invalid("the request is not for a route")
        facts_text, tried_text, linkedid = request.arguments
        if not _LINKEDID.match(linkedid):
            raise Invalid("the request names no call")
        facts, tried = parse_facts(facts_text), parse_tried(tried_text)
        repeats = 0 if tried else self._repeats.count(facts.caller, facts.called, self._clock.monotonic())
        decision = decide(Question(facts=facts, seed=linkedid, tried=tried, repeats=repeats), self._plan, self._rules, by=RoutedBy.AGI)
        answer = Answer(decision, variables(decision, facts))
        legs = format_legs(tuple(leg.leg for leg in decision.legs)) if isinstance(decision, Attempt) else ""
        routed = format_routed(decision.routed)
        self._journal.decided(linkedid, str(RoutedBy.AGI), len(tried) + 1, facts=format_facts(decision.facts), routed=routed, legs=legs)
        return answer
