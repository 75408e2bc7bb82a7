"""The booker's process: one for each node, apart from the app, so that neither takes the other down."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import structlog

from ari_app.cdr import reconciler
from ari_app.cdr.booker import Booker
from ari_app.cdr.metrics import BookerMetrics
from ringfence import health, migrate
from ringfence.clock import SystemClock
from ringfence.errors import Conflict, Unavailable
from ringfence.session import make_engine
from ringfence.settings import Settings
from ringfence.watchdog import Notifier

log = structlog.get_logger()


def run(settings: Settings, *, stop: Event | None = None, alive: Callable[[], None] | None = None) -> None:
    """Book this node's ledger until SIGTERM or SIGINT; ends within one batch.

    Args:
        settings: the settings.
        stop: set it to end instead of by signal; then no handler of signals is installed.
        alive: told at least every half second while it turns; by default the supervisor of this process.

    Raises:
        Conflict: another booker of this node runs, or the store's schema is not that of this release.
    """
    if stop is None:
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    spare_the_collector()
    notifier = Notifier()
    engine = make_engine(settings)
    with _only_one(settings.home_path / "booker.lock"):
        try:
            migrate.check(engine)
        except Unavailable:
            log.warning("store_away_at_start")  # the ledger waits on disk; the booker tries again
        booker = Booker(
            engine,
            node=settings.node,
            ledger_path=settings.ledger_path,
            journal_dir=settings.journal_dir,
            clock=SystemClock(),
            alive=alive or notifier.alive,
        )
        metrics = BookerMetrics(booker.stats)
        server = health.serve(settings.health.host, settings.health.ledger, metrics.registry, live={}, ready={"store": metrics.store})
        notifier.ready()
        reconciler.keep(engine, settings, SystemClock(), stop, lambda: booker.stats.store_up and not booker.stats.lag_bytes)
        try:
            booker.run(stop)
        finally:
            notifier.stopping()
            server.close()
            engine.dispose()


def spare_the_collector() -> None:
    """Let the cyclic collector run rarely: a batch is many small objects without cycles, and looking through them cost 2 to 15 % of the CPU."""
    gc.set_threshold(50_000, 50, 100)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however that ends.

    Raises:
        Conflict: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Conflict("another booker of this node runs", hint="'ringfence node status' shows it; stop it first") from None
    try:
        yield
    finally:
        os.close(descriptor)
