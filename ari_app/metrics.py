"""What the app, the route server and the AstDB keeper measure; the booker has `ari_app.cdr.metrics`.

No number, name or id is ever in a label: labels have few values, all from this code. Each process has a registry of its own. What is
counted per call uses children that were looked up once; what only stands somewhere (a version, an age) is read when somebody scrapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dialplan.routing import Attempt, Decision

DECISION_SECONDS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
AGI_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 2.0)


class PlanSnapshot(Protocol):
    """The plan in memory, as far as it is measured."""

    version: int

    @property
    def dids(self) -> object:
        """The numbers; its length is shown."""
        ...


class PlanFollower(Protocol):
    """Who keeps the plan equal to the store."""

    @property
    def age(self) -> float | None:
        """Seconds since the store last confirmed the plan."""
        ...


class Connection(Protocol):
    """The ARI socket."""

    reconnects: int

    @property
    def connected(self) -> bool:
        """Say whether it is up."""
        ...


class _Process:
    """What every process has: its registry, and readings taken at each scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._readings = _Readings()
        self.registry.register(self._readings)
        ProcessCollector(registry=self.registry)

    def _gauge(self, name: str, about: str, read: Callable[[], float | None]) -> None:
        self._readings.gauges[name] = (about, read)

    def _counter(self, name: str, about: str, read: Callable[[], float | None]) -> None:
        self._readings.counters[name] = (about, read)


class _Readings(Collector):
    """Values that stand somewhere else; one that is not known yet is left out."""

    def __init__(self) -> None:
        self.gauges: dict[str, tuple[str, Callable[[], float | None]]] = {}
        self.counters: dict[str, tuple[str, Callable[[], float | None]]] = {}

    def collect(self) -> Iterator[Metric]:
        for name, (about, read) in self.gauges.items():
            if (value := read()) is not None:
                yield GaugeMetricFamily(name, about, value=value)
        for name, (about, read) in self.counters.items():
            if (value := read()) is not None:
                yield CounterMetricFamily(name, about, value=value)


class _Decisions:
    """Decisions by outcome, refusal and direction, and the time they took."""

    def __init__(self, registry: CollectorRegistry, buckets: tuple[float, ...]) -> None:
        self._decisions = Counter("ringfence_decisions_total", "decisions by outcome", ("outcome", "refusal", "direction"), registry=registry)
        self._children: dict[tuple[str, str, str], Counter] = {}
        seconds = Histogram("ringfence_decision_seconds", "time from the question to the hand-over", buckets=buckets, registry=registry)
        self._observe = seconds.observe
        self._overload = Counter("ringfence_overload_refusals_total", "calls refused because they came too fast", registry=registry)
        self._failures = Counter("ringfence_decision_failures_total", "questions left to the fall-back, by reason", ("reason",), registry=registry)

    def decided(self, decision: Decision, seconds: float) -> None:
        """Count a decision and the time it took."""
        refusal = decision.routed.refusal
        outcome = "attempt" if isinstance(decision, Attempt) else ("refused" if refusal else "exhausted")
        key = (outcome, refusal, decision.facts.direction.value)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._decisions.labels(*key)
        child.inc()
        self._observe(seconds)
        if refusal == "overload":
            self._overload.inc()

    def failed(self, reason: str) -> None:
        """Count a question without an answer of ours."""
        self._failures.labels(reason).inc()


class _Routing(_Process):
    """A process that decides by a plan in memory."""

    def __init__(self, buckets: tuple[float, ...]) -> None:
        super().__init__()
        decisions = _Decisions(self.registry, buckets)
        self.decided = decisions.decided
        self.failed = decisions.failed

    def _watch_plan(self, snapshot: PlanSnapshot, follower: PlanFollower) -> None:
        self._gauge("ringfence_plan_version", "version of the plan that is routed by", lambda: snapshot.version)
        self._gauge("ringfence_plan_age_seconds", "since the store last confirmed the plan", lambda: follower.age)
        self._gauge("ringfence_plan_dids", "numbers in the plan", lambda: len(snapshot.dids))  # type: ignore[arg-type]


class DeciderMetrics(_Routing):
    """The ARI app (`ari_app.decider.Metrics`)."""

    def __init__(self) -> None:
        super().__init__(DECISION_SECONDS)

    def watch(self, *, snapshot: PlanSnapshot, follower: PlanFollower, socket: Connection) -> None:
        """Show where the plan and the socket stand, at each scrape."""
        self._watch_plan(snapshot, follower)
        self._gauge("ringfence_ari_connected", "1 while the ARI socket is up", lambda: socket.connected)
        self._counter("ringfence_ari_reconnects", "times that the ARI socket was lost", lambda: socket.reconnects)


class AgiMetrics(_Routing):
    """The FastAGI route server (`ari_app.agi.server.Metrics`)."""

    def __init__(self) -> None:
        super().__init__(AGI_SECONDS)
        self._asked = Counter("ringfence_agi_connections_total", "connections to the route server", registry=self.registry)

    def asked(self) -> None:
        """Count a connection."""
        self._asked.inc()

    def watch(self, *, snapshot: PlanSnapshot, follower: PlanFollower) -> None:
        """Show where the plan stands, at each scrape."""
        self._watch_plan(snapshot, follower)


class AmiMetrics(_Process):
    """The keeper of AstDB and the manager connection."""

    def __init__(self) -> None:
        super().__init__()
        self._written = Counter("ringfence_astdb_writes_total", "AstDB routes written or removed", ("what",), registry=self.registry)
        self._actions = Counter("ringfence_ami_failures_total", "manager actions that failed, by reason", ("reason",), registry=self.registry)
        self._checks = Counter("ringfence_astdb_checks_total", "full comparisons of AstDB with the plan", registry=self.registry)
        self._emergencies = Counter("ringfence_emergency_calls_begun_total", "calls to 999, 112 and 18000 that began", registry=self.registry)
        self._noted = Counter("ringfence_registrations_noted_total", "registrations of phones written down", registry=self.registry)
        self._differences = Counter("ringfence_astdb_differences_total", "routes that a full comparison found wrong", registry=self.registry)

    def wrote(self, *, put: int, removed: int) -> None:
        """Count routes written to AstDB, and taken out of it."""
        self._written.labels("put").inc(put)
        self._written.labels("removed").inc(removed)

    def checked(self, differences: int) -> None:
        """Count a full comparison, and what it found wrong."""
        self._checks.inc()
        self._differences.inc(differences)

    def noted(self, count: int) -> None:
        """Count phones' registrations that were written down."""
        self._noted.inc(count)

    def emergency(self) -> None:
        """Count a call to an emergency number, when it begins."""
        self._emergencies.inc()

    def failed(self, reason: str) -> None:
        """Count an action that failed: timeout, refused, lost."""
        self._actions.labels(reason).inc()

    def watch(self, *, connected: Callable[[], bool], astdb_version: Callable[[], int | None], reconnects: Callable[[], int] = lambda: 0) -> None:
        """Show where the connection and AstDB stand, at each scrape."""
        self._gauge("ringfence_ami_connected", "1 while the manager connection is up", connected)
        self._gauge("ringfence_astdb_version", "version of the plan that AstDB holds", astdb_version)
        self._counter("ringfence_ami_reconnects", "times that the manager connection was lost", reconnects)
