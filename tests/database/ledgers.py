"""Ledgers for the tests of booking: made with the benchmark's generator, so that they hold every kind of call."""

from __future__ import annotations

import random
from pathlib import Path

from sqlalchemy import Engine, text

from bench.ledger import NODE, call_lines

__all__ = ["NODE", "append", "calls_of", "stored_ids"]


def calls_of(first: int, count: int, *, interleaved: bool = False) -> list[str]:
    """Return the lines of `count` calls; interleaved, every two neighbours that belong to different calls change places."""
    chance = random.Random(first)  # noqa: S311  the same calls every time
    lines = [line for number in range(first, first + count) for line in call_lines(number, chance)]
    if interleaved:
        for at in range(0, len(lines) - 1, 2):
            if lines[at].split(",", 1)[0] != lines[at + 1].split(",", 1)[0]:
                lines[at], lines[at + 1] = lines[at + 1], lines[at]
    return lines


def append(path: Path, lines: list[str]) -> None:
    """Write lines as Asterisk does: open, append, close for each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for line in lines:
        with path.open("a", encoding="ascii") as file:
            file.write(line)


def stored_ids(engine: Engine) -> list[str]:
    """Return the ids of every call row, doubles included."""
    with engine.connect() as connection:
        return [row[0] for row in connection.execute(text("SELECT call_id FROM call ORDER BY call_id"))]
