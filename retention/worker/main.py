"""The worker's process: its jobs until it is told to end, or one pass of them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack
from threading import Event

import structlog

from retention.emergency import reported
from retention.webhook import server as webhook
from retention.webhook.report import Report
from retention.worker import jobs
from retention.worker.enforce import Turn, take_turn
from retention.worker.job import Context, make_context
from retention.worker.perform import AWAY, Performer
from retention.worker.schedule import make_scheduler
from ringfence import health, migrate
from ringfence.clock import SystemClock
from ringfence.errors import Conflict, Refused, Unavailable
from ringfence.session import make_engine
from ringfence.settings import Settings
from ringfence.watchdog import Notifier

log = structlog.get_logger()


def run(settings: Settings, *, stop: Event | None = None, alive: Callable[[], None] | None = None) -> None:
    """Do the worker's jobs until SIGTERM or SIGINT; ends within the batch in hand.

    Args:
        settings: the settings.
        stop: set it to end instead of by signal; then no handler of signals is installed.
        alive: told at least every half second while jobs have their turns; by default the supervisor of this process.

    Raises:
        Conflict: the store's schema is not that of this release, or a port is taken.
        Misconfigured: the webhook's secret is missing or unsafe.
    """
    stop = stop or stop_by_signal()
    clock, notifier, engine = SystemClock(), Notifier(), make_engine(settings)
    at = make_context(engine, settings, clock, stop)
    metrics = at.metrics
    try:
        try:
            migrate.check(engine)
        except Unavailable:
            log.warning("store_away_at_start")  # every turn tries again
        ready = {"store": metrics.store, "retention": metrics.retention}
        with ExitStack() as opened:
            server = health.serve(settings.health.host, settings.health.worker, metrics.registry, live={"clock": metrics.turning}, ready=ready)
            opened.callback(server.close)
            hears = webhook.serve(settings, clock, taking(at), lambda outcome: metrics.webhooks.labels(outcome).inc())
            opened.callback(hears.close)
            scheduler = make_scheduler(jobs.make_jobs(settings), Performer(at).perform, clock)
            try:
                scheduler.start()
                notifier.ready()
                log.info("worker_up", holder=at.holder)
                while not stop.wait(notifier.interval):
                    if not metrics.turning():  # else the supervisor ends this process: a clock that stands still purges nothing
                        (alive or notifier.alive)()
            finally:
                notifier.stopping()
                stop.set()
                scheduler.shutdown(wait=True)
                log.info("worker_down")
    finally:
        engine.dispose()


def run_once(at: Context) -> Turn:
    """Do one pass of every job, whatever the hour, and return what the purge came to.

    Raises:
        Conflict: another worker has the lease.
        Refused: a brake stopped the run, or a class failed; an incident says which.
        Unavailable: the store is away, or others were in the way: the next pass goes on.
    """
    try:
        turn = take_turn(at, asked=True)
        for act in (jobs.seal, jobs.checkpoint):
            act(at)
    except AWAY as error:
        raise Unavailable("the store is away", hint="the next pass goes on from the last receipt") from error
    if turn is Turn.WAITING:
        raise Conflict("another worker has the lease", hint="'ringfence retention status' shows how far it is")
    if turn in {Turn.STOPPED, Turn.FAILED}:
        what = "a brake stopped the run" if turn is Turn.STOPPED else "a class could not be purged"
        raise Refused(what, hint="'ringfence retention status' shows the incident")
    if turn is Turn.CONTENDED:
        raise Unavailable("others were in the way, or it was told to end", hint="the next pass goes on from the last receipt")
    return turn


def taking(at: Context) -> Callable[[Report | None], str]:
    """Return what takes the webhook's reports in; raises `Unavailable` when the store is away."""

    def take(report: Report | None) -> str:
        try:
            return reported.take_in(at.sessions, at.clock, report).value
        except AWAY as error:
            raise Unavailable("the store is away") from error

    return take


def stop_by_signal() -> Event:
    """Return an event that SIGTERM and SIGINT set from now on."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
