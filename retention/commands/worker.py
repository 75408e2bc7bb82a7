"""`worker`: what enforces the retention windows."""

from __future__ import annotations

import click

from retention.worker import main
from retention.worker.job import make_context
from ringfence import logs, migrate
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import example
from ringfence.output import say


@click.command(epilog=example("ringfence worker", "ringfence worker --once   from cron, every hour"))
@click.option("--once", is_flag=True, help="One pass, whatever the hour, then end.")
@installed
def worker(installation: Installation, *, once: bool) -> None:
    """Delete what is past its window, seal days, sign the audit log; in the foreground until SIGTERM, as a service unit does.

    It asks the store every few minutes whether a class is behind, so that a run that was missed or killed is made good by the next. Of several workers one
    runs and the others wait; each removes the old files of its own node. On SIGTERM it ends within the batch in hand.

    --once ends with 0 when everything is at its cutoff, 3 when a brake stopped it or a class failed, 5 when another worker runs, and 69 when the store is
    away or it was told to end: the next pass goes on.
    """
    settings = installation.settings
    logs.configure(settings.log_level)
    logs.catch_uncaught()
    if not once:
        main.run(settings)
        return
    migrate.check(installation.engine)
    at = make_context(installation.engine, settings, installation.clock, main.stop_by_signal())
    say(main.run_once(at).value.replace("_", " "))
