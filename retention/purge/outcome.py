"""How a run ended, class by class. "Contended" is never mistaken for "nothing to do"."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec


class Outcome(StrEnum):
    """What became of a class in a run."""

    DONE = "done"
    NOTHING_DUE = "nothing_due"
    HELD = "held"  # done, but for what legal holds keep
    CONTENDED = "contended"  # others kept it from going on, or it was told to stop; the next run goes on
    FAILED = "failed"


_WORST = (Outcome.NOTHING_DUE, Outcome.DONE, Outcome.HELD, Outcome.CONTENDED, Outcome.FAILED)


class Result(msgspec.Struct, frozen=True):
    """What one class under one policy came to."""

    data_class: str
    policy: str
    outcome: Outcome
    rows: int = 0
    held: int = 0
    files: int = 0
    batches: int = 0
    longest_ms: int = 0
    reason: str = ""


class Report(msgspec.Struct, frozen=True):
    """What a run came to."""

    run: str
    token: int
    as_of: datetime
    results: tuple[Result, ...] = ()
    stopped: str = ""  # the brake that stopped it before it deleted anything
    receipts: int = 0
    sealed: int = 0  # days
    months: tuple[str, ...] = ()  # that were dropped

    @property
    def rows(self) -> int:
        """Rows that went."""
        return sum(result.rows for result in self.results)


def by_class(results: tuple[Result, ...]) -> list[list[str]]:
    """Return for each class the worst of its policies' outcomes, as the audit log says it."""
    worst: dict[str, Outcome] = {}
    for result in results:
        worst[result.data_class] = max(worst.get(result.data_class, Outcome.NOTHING_DUE), result.outcome, key=_WORST.index)
    return [[data_class, outcome.value] for data_class, outcome in sorted(worst.items())]
