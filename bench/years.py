"""Years of an operator's life against the naive reference, bigger than the test: `python -m bench.years [--seed 1] [--engine sqlite|postgresql] [--years 7]`.

Every night has a purge, unless the worker is off; after each the store must hold exactly what the reference says. Exits 1 with the seed and the day when it
does not. No figures: it looks for faults, and takes hours when asked for much.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import structlog

from ringfence import migrate
from ringfence.session import make_engine
from ringfence.settings import Database, Settings
from tests.database.years.script import SCRIPT
from tests.database.years.world import World, reported
from tests.postgres import PostgresServer


def live(url: str, options: argparse.Namespace) -> World:
    """Live through the years in a fresh store and return what became of it.

    Raises:
        AssertionError: the store does not hold what the reference says.
    """
    with tempfile.TemporaryDirectory(prefix="rf-years-") as home:
        settings = Settings(home=home, database=Database(url=url))
        engine = make_engine(settings)
        migrate.upgrade(engine)
        days = options.years * 365 + 20
        world = World(engine, settings, options.seed, date(2020, 1, 15), days, per_day=options.per_day, spacing=options.spacing)
        try:
            with reported(options.seed, world):
                world.live(SCRIPT, sigkills=10)
                world.finish(Path(home) / "bundle")
        finally:
            engine.dispose()
        return world


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--seed", type=int, default=1, help="says everything that happens")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--years", type=int, default=7)
    parser.add_argument("--per-day", type=float, default=4.0, help="calls a day, about")
    parser.add_argument("--spacing", type=int, default=1, help="about so many days between runs")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    server = PostgresServer() if options.engine == "postgresql" else None
    began = time.monotonic()
    try:
        if server:
            server.start()
        world = live(server.fresh_database("years") if server else "", options)
    except AssertionError as error:
        print(f"seed {options.seed}: {error}", file=sys.stderr)
        return 1
    finally:
        if server:
            server.remove()
    print(f"seed {options.seed} on {options.engine}: {time.monotonic() - began:.0f} s, {dict(world.happened)}, nothing early, nothing late")
    return 0


if __name__ == "__main__":
    sys.exit(main())
