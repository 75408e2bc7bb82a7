"""Is any class behind? Then bring it to its cutoff. What was missed, killed or stopped is made good by the next turn, because only the store is asked."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

import structlog

from retention.calendar import local_date, midnight
from retention.purge import brakes, files
from retention.purge.batch import ContendedError
from retention.purge.executor import Purge
from retention.purge.outcome import Outcome, Report
from retention.standing import BEHIND, ClassStanding, Standing
from retention.worker import late
from retention.worker.job import Context
from retention.worker.progress import Progressing
from ringfence.errors import Conflict
from ringfence.models.base import DataClass
from ringfence.queries import nodes
from ringfence.queries.standing import ENDED

RETRY = timedelta(hours=1)  # before a class that failed, or a run that a brake stopped, is tried again by itself
LOOK_AGAIN = timedelta(seconds=15)  # at a lease that another has: it ends two minutes after its holder died
_FILES = frozenset(data_class.value for data_class in files.CLASSES)

log = structlog.get_logger()


class Turn(StrEnum):
    """What a turn came to."""

    NOTHING_DUE = "nothing_due"
    NOT_YET = "not_yet"  # the day's hour has not come
    POSTPONED = "postponed"  # it failed, or a brake stopped it, a short while ago
    WAITING = "waiting"  # another worker has the lease
    DONE = "done"
    CONTENDED = "contended"  # others were in the way, or it was told to stop
    STOPPED = "stopped"  # by a brake
    FAILED = "failed"  # some class


def act(at: Context) -> timedelta | None:
    """Take a turn; while another worker has the lease, look again soon."""
    return LOOK_AGAIN if take_turn(at) is Turn.WAITING else None


def take_turn(at: Context, *, asked: bool = False) -> Turn:
    """Look what is due; when something is and the lease is free, purge. Incidents open and close by what is found before and after.

    Args:
        at: the store and the rest.
        asked: somebody asked for it now: the day's hour and earlier failures do not count.

    Raises:
        Misconfigured: an account is under a policy that nobody knows.
    """
    late.clock_jumped(at.sessions, at.clock, at.steady)
    found = at.standing()
    late.review(at.sessions, at.clock, found)
    begin = found.at if asked else begins(found.at, at.settings.worker.start_hours)
    wanted = choose(found, at.settings.node, begin, asked=asked)
    if isinstance(wanted, Turn):
        return wanted
    turn = _purge(at, wanted, everything={each.data_class for each in found.classes})
    at.metrics.runs.labels(turn.value).inc()
    if turn is Turn.WAITING:
        log.info("lease_taken", by_another="waits")
    else:
        late.review(at.sessions, at.clock, at.standing())
    return turn


def begins(now: datetime, hours: int) -> datetime:
    """Return when the run of today, in London, may begin: so many hours after midnight, also on the two days that have 23 and 25. Pure."""
    return midnight(local_date(now)) + timedelta(hours=hours)


def choose(found: Standing, node: str, begin: datetime, *, asked: bool = False) -> frozenset[str] | Turn:
    """Return the classes to purge now, or why none is. Pure.

    Args:
        found: where retention stands.
        node: this node, whose own files are its own to remove, whatever other nodes have done.
        begin: when the day's run may begin. What was missed or broken off does not wait for it.
        asked: postpone nothing, unless the clock jumped.
    """
    now, due = found.at, {each.data_class: each for each in found.due}
    own = next((each.files_purged_at for each in found.workers if each.node == node), None)
    today = midnight(local_date(now))
    if own is None or own < today:
        due |= {each.data_class: each for each in found.classes if each.data_class in _FILES}
    if not due:
        return Turn.NOTHING_DUE
    if any(incident.cause == brakes.JUMPED for incident in found.incidents) or (not asked and _braked(found)):
        return Turn.POSTPONED
    failed = {name for name, each in due.items() if not asked and _failed_lately(each, now)}
    if failed & _FILES:
        failed |= _FILES  # a node's files are looked at together
    wanted = {name: each for name, each in due.items() if name not in failed}
    if not wanted:
        return Turn.POSTPONED
    missed = own is not None and own < today - timedelta(days=1)
    if now < begin and not missed and not any(_cannot_wait(each) for each in wanted.values()):
        return Turn.NOT_YET
    return frozenset(wanted)


def _purge(at: Context, wanted: frozenset[str], everything: set[str]) -> Turn:
    only = None if wanted == everything else [DataClass(name) for name in sorted(wanted)]
    purge = Purge(
        at.engine,
        at.settings,
        at.clock,
        policy=at.settings.retention.policy,
        holder=at.holder,
        store_now=at.store_now,
        progress=Progressing(at.clock, at.metrics),
        largest=at.largest,
    )
    at.metrics.running = True
    try:
        report = purge.run(at.stop, only=only)
    except Conflict as error:
        log.warning("lease_lost", error=error.message)
        return Turn.WAITING
    except ContendedError:
        return Turn.CONTENDED
    finally:
        at.metrics.running, at.metrics.rows_left = False, 0
        at.engine.dispose()  # its connections hold a cache as large as a purge needs
    if report is None:
        return Turn.WAITING
    _note_files(at, report)
    return _turn(report)


def _note_files(at: Context, report: Report) -> None:
    outcomes = [result.outcome.value in ENDED for result in report.results if result.data_class in _FILES]
    if outcomes and all(outcomes):
        with at.sessions.begin() as session:
            nodes.report_node(session, at.settings.node, files_purged_at=at.clock.now())


def _turn(report: Report) -> Turn:
    if report.stopped:
        return Turn.STOPPED
    outcomes = {result.outcome for result in report.results}
    if Outcome.FAILED in outcomes:
        return Turn.FAILED
    return Turn.CONTENDED if Outcome.CONTENDED in outcomes else Turn.DONE


def _braked(found: Standing) -> bool:
    """Tell whether a brake stopped the last run a short while ago and nobody has settled its incident."""
    last = found.last_run
    if last is None or last.stopped is None or found.at - last.started_at >= RETRY:
        return False
    return any(incident.cause == last.stopped for incident in found.incidents)


def _failed_lately(each: ClassStanding, now: datetime) -> bool:
    return each.outcome == Outcome.FAILED and each.tried_at is not None and now - each.tried_at < RETRY


def _cannot_wait(each: ClassStanding) -> bool:
    """Tell whether a class was missed, or its last run broke off."""
    return each.condition in BEHIND or (each.due_now and each.tried_at is not None and each.outcome not in ENDED)
