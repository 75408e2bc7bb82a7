"""Where retention stands: which classes are at today's cutoff, which are behind and since when, what runs, and whether a worker is alive.

A class's lateness runs from the moment at which the first datum that no run has reached became due, not from when a run was planned.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from sqlalchemy.orm import Session

from retention.calendar import Cutoff, deletable_at, local_date, midnight
from retention.policies.model import Policy
from retention.purge.governing import Governing
from retention.purge.planner import items_of
from ringfence.models import Incident, PurgeRun, PurgeRunClass
from ringfence.queries import incidents, leases, nodes, standing

TARGET = timedelta(hours=24)  # what is due is gone within this
CEILING = timedelta(days=7)  # and never later than this
SILENT_AFTER = timedelta(minutes=2)  # a worker beats every 15 s


class Condition(StrEnum):
    """How a class is."""

    CURRENT = "current"  # at today's cutoff
    DUE = "due"  # the next run has something to do
    LATE = "late"  # past the target
    OVERDUE = "overdue"  # past the ceiling
    NEVER = "never"  # no run has brought it to a cutoff yet


BEHIND = (Condition.LATE, Condition.OVERDUE, Condition.NEVER)


class ClassStanding(msgspec.Struct, frozen=True):
    """One class under one policy."""

    data_class: str
    policy: str
    policy_version: int
    default: bool
    condition: Condition
    cutoff: datetime  # today's
    reached: datetime | None  # the cutoff that a run brought it to last
    reached_at: datetime | None  # when that run ended for this class
    since: datetime | None  # since when something may be due that no run has reached; None = nothing is
    due_now: bool  # a run is to be made today: the cutoff has moved, or it was not looked at today
    tried_at: datetime | None  # when the last run began, whatever it came to
    outcome: str | None  # what that came to; None = it runs, it died, or there was none
    reason: str | None
    rows: int  # that it deleted
    held: int  # that legal holds keep and anybody may know of

    @property
    def behind(self) -> bool:
        """Tell whether it is past the target, or was never reached."""
        return self.condition in BEHIND


class RunStanding(msgspec.Struct, frozen=True):
    """A run."""

    run: str
    as_of: datetime
    started_at: datetime
    finished_at: datetime | None
    stopped: str | None  # the brake that stopped it
    rows: int
    receipts: int


class Running(msgspec.Struct, frozen=True):
    """The run that goes on."""

    run: RunStanding
    holder: str
    seen_at: datetime  # when it was last alive
    classes_done: int
    classes: int
    rows_done: int
    rows_due: int  # as it was planned, with what legal holds keep


class Heartbeat(msgspec.Struct, frozen=True):
    """A node's worker."""

    node: str
    seen_at: datetime | None
    age_seconds: float | None
    silent: bool
    files_purged_at: datetime | None  # when this node's old files were last removed


class OpenIncident(msgspec.Struct, frozen=True):
    """Something that a person must look at."""

    id: str
    cause: str
    data_class: str | None
    opened_at: datetime
    detail: str


class Standing(msgspec.Struct, frozen=True):
    """The whole of it, at one moment."""

    at: datetime
    classes: tuple[ClassStanding, ...]
    last_run: RunStanding | None  # whatever became of it
    last_finished: RunStanding | None  # the last that came to its end
    running: Running | None
    workers: tuple[Heartbeat, ...]
    incidents: tuple[OpenIncident, ...]
    files_left: int = 0  # given up more than a day ago, and still there

    @property
    def behind(self) -> tuple[ClassStanding, ...]:
        """The classes past the target, or never reached."""
        return tuple(each for each in self.classes if each.behind)

    @property
    def due(self) -> tuple[ClassStanding, ...]:
        """The classes that a run is to be made for."""
        return tuple(each for each in self.classes if each.due_now)

    @property
    def well(self) -> bool:
        """Tell whether nothing is behind and nobody is asked for."""
        return not self.behind and not self.incidents


def look(session: Session, policies: Governing, now: datetime) -> Standing:
    """Return where retention stands at `now`. Reads only; counts no rows of data.

    Args:
        session: read only.
        policies: those in force at `now`.
        now: the moment every cutoff is computed for, aware.
    """
    items = [(policy, item) for policy in policies.all for item in items_of(policy, now, default=policy is policies.default)]
    keys = [item.key for _, item in items]
    reached, tried = standing.last_of_each(session, keys, ended=True), standing.last_of_each(session, keys)
    since = standing.policies_since(session)
    classes = [
        class_standing(policy, item.cutoff, reached.get(item.key), tried.get(item.key), now, default=item.default, begun=since.get(policy.key))
        for policy, item in items
    ]
    last = standing.newest_run(session)
    finished = standing.newest_run(session, ended=True)
    return Standing(
        at=now,
        classes=tuple(sorted(classes, key=lambda each: (not each.default, each.policy, each.data_class))),
        last_run=_run(last) if last else None,
        last_finished=_run(finished) if finished else None,
        running=_running(session, last, now) if last else None,
        workers=tuple(heartbeat(node.name, node.worker_seen_at, node.files_purged_at, now) for node in nodes.list_nodes(session)),
        incidents=tuple(_incident(each) for each in incidents.list_incidents(session)),
        files_left=standing.files_left(session, now - TARGET),
    )


def class_standing(
    policy: Policy, cutoff: Cutoff, reached: PurgeRunClass | None, tried: PurgeRunClass | None, now: datetime, *, default: bool, begun: datetime | None
) -> ClassStanding:
    """Return where one class stands. Pure.

    Args:
        policy: its policy.
        cutoff: today's.
        reached: what the last run did that brought it to its cutoff.
        tried: what the last run did, whatever it came to.
        now: the present moment.
        default: whether it is the operator's policy.
        begun: when the first account came under it, for one that is not the operator's; lateness does not count before.
    """
    since = _since(policy, cutoff, reached.cutoff_at, begun) if reached else None
    return ClassStanding(
        data_class=cutoff.data_class,
        policy=policy.key,
        policy_version=policy.version,
        default=default,
        condition=Condition.NEVER if reached is None else _condition(since, now),
        cutoff=cutoff.at,
        reached=reached.cutoff_at if reached else None,
        reached_at=reached.finished_at if reached else None,
        since=since,
        due_now=reached is None or since is not None or reached.started_at < midnight(local_date(now)),
        tried_at=tried.started_at if tried else None,
        outcome=tried.outcome if tried else None,
        reason=tried.reason if tried else None,
        rows=tried.rows if tried else 0,
        held=tried.held if tried else 0,
    )


def heartbeat(node: str, seen_at: datetime | None, files_purged_at: datetime | None, now: datetime) -> Heartbeat:
    """Return how a node's worker is. Pure."""
    age = None if seen_at is None else max((now - seen_at).total_seconds(), 0.0)
    return Heartbeat(node, seen_at, age, age is None or age > SILENT_AFTER.total_seconds(), files_purged_at)


def _since(policy: Policy, cutoff: Cutoff, reached: datetime, begun: datetime | None) -> datetime | None:
    """Return when the first moment after what was reached became due; None when it is not due yet. A new version makes nothing late before it holds."""
    if reached >= cutoff.at:
        return None
    starts = [deletable_at(reached, cutoff.period, cutoff.year_end), midnight(policy.effective)]
    return max([*starts, begun] if begun else starts)


def _condition(since: datetime | None, now: datetime) -> Condition:
    if since is None:
        return Condition.CURRENT
    late = now - since
    return Condition.OVERDUE if late > CEILING else Condition.LATE if late > TARGET else Condition.DUE


def _run(run: PurgeRun) -> RunStanding:
    return RunStanding(run.id, run.as_of, run.started_at, run.finished_at, run.stopped, run.rows, run.receipts)


def _running(session: Session, last: PurgeRun, now: datetime) -> Running | None:
    lease = leases.read(session, leases.PURGE)
    if last.finished_at is not None or lease is None or lease.token != last.token or lease.until <= now:
        return None  # it ended, or it died: the next run goes on from its last receipt
    classes = standing.classes_of(session, last.id)
    done = [each for each in classes if each.outcome is not None]
    return Running(
        run=_run(last),
        holder=lease.holder,
        seen_at=lease.seen_at,
        classes_done=len(done),
        classes=len(classes),
        rows_done=standing.rows_gone(session, last.id),
        rows_due=sum(each.due for each in classes),
    )


def _incident(incident: Incident) -> OpenIncident:
    return OpenIncident(incident.id, incident.cause, incident.data_class, incident.opened_at, incident.detail)
