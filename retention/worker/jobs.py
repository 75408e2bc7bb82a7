"""The worker's jobs. Each is harmless to repeat, on one store from several workers at once."""

from __future__ import annotations

from datetime import timedelta

import structlog

from retention.emergency import alarms, submitting
from retention.emergency.carriers.make import make_carrier
from retention.purge import brakes, conservation
from retention.worker import enforce, late
from retention.worker.job import Context, Job
from ringfence.audit import log as audit
from ringfence.audit.keys import load_signer
from ringfence.audit.publish import publish
from ringfence.queries import incidents, moments, nodes, runs
from ringfence.queries.conservation import begin_alone
from ringfence.settings import Settings

HEARTBEAT = timedelta(seconds=15)

log = structlog.get_logger()


def make_jobs(settings: Settings) -> tuple[Job, ...]:
    """Return the jobs, in the order in which one pass does them."""
    return (
        Job("heartbeat", HEARTBEAT, beat),
        Job("retention", timedelta(minutes=settings.worker.interval_minutes), enforce.act),
        Job("standing", timedelta(minutes=1), review),
        Job("seal", timedelta(hours=1), seal),
        Job("checkpoint", timedelta(hours=1), checkpoint),
        Job("emergency", timedelta(minutes=1), to_carrier),
        Job("coverage", timedelta(hours=1), watch_coverage),
    )


def beat(at: Context) -> None:
    """Tell the store that this node's worker is alive, and that the clock jumped if it did."""
    with at.sessions.begin() as session:
        nodes.report_node(session, at.settings.node, worker_seen_at=at.clock.now())
    late.clock_jumped(at.sessions, at.clock, at.steady)


def review(at: Context) -> None:
    """Look where retention stands, also while a run goes on here or elsewhere; a run that takes too long opens its incident."""
    late.review(at.sessions, at.clock, at.standing())


def seal(at: Context) -> None:
    """Count the days that are over into the audit log, unless the time is in doubt: a day that is sealed too early would be sealed empty."""
    late.clock_jumped(at.sessions, at.clock, at.steady)
    now = at.clock.now()
    with at.sessions() as session:
        doubts = [each.cause for each in brakes.clock(now, at.store_now(session), runs.newest_receipt_at(session), moments.last_seen(session))]
        if incidents.find_open(session, brakes.JUMPED, None) is not None:
            doubts.append(brakes.JUMPED)
    if doubts:
        log.warning("not_sealed", cause=doubts[0])
        return
    sealed = conservation.seal(at.engine, at.clock, now)
    if sealed:
        log.info("sealed", days=sealed)


def checkpoint(at: Context) -> None:
    """Sign the audit log as it is and publish that, when this node has the key.

    Raises:
        Conflict: the log was begun with another key.
        Misconfigured: others can read the key, or it is none.
    """
    if not at.settings.audit_key_path.exists():
        return
    signer = load_signer(at.settings)
    with at.sessions.begin() as session:
        begin_alone(session)
        made = audit.make_checkpoint(session, at.clock, signer)
    publish(made, at.settings.audit_dir)


def to_carrier(at: Context) -> timedelta | None:
    """Submit, ask after and withdraw addresses for 999 that are due, when this node has the carrier's login.

    Raises:
        Misconfigured: the settings name a carrier that cannot be had.
    """
    carrier = make_carrier(at.settings, at.clock)
    if carrier is None:
        return None
    turned = submitting.turn(at.sessions, at.clock, carrier, at.stop)
    return timedelta(seconds=1) if turned.more else None


def watch_coverage(at: Context) -> None:
    """Open and close the incidents of addresses that are missing, refused or unconfirmed for too long, and of tests of 999 that are overdue.

    Raises:
        Misconfigured: a setting is no period.
    """
    alarms.review(at.sessions, at.clock, at.settings.emergency)
