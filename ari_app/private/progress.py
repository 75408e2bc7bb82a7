"""Shows what a download does: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from ari_app.private.apt import Progress

_QUARTERS = 4


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Give a progress function that writes to standard error; nothing is shown before the first call."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain()
        return
    bars = RichProgress(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), console=console)
    tasks: dict[str, TaskID] = {}

    def show(what: str, share: float | None) -> None:
        if what not in tasks:
            for task in tasks.values():
                bars.update(task, total=1.0, completed=1.0)
            bars.start()
            tasks[what] = bars.add_task(what, total=None)
        if share is not None:
            bars.update(tasks[what], total=1.0, completed=share)

    try:
        yield show
    finally:
        bars.stop()


def _plain() -> Progress:
    said: set[tuple[str, int]] = set()

    def show(what: str, share: float | None) -> None:
        quarter = int((share or 0.0) * _QUARTERS)
        if (what, quarter) not in said:
            said.add((what, quarter))
            sys.stderr.write(f"{what}: {quarter * 100 // _QUARTERS} %\n" if quarter else f"{what}...\n")
            sys.stderr.flush()

    return show
