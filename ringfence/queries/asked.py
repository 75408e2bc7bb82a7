"""How a figure was asked: the statements that a session sent, with their parameters and when, for whoever reads the figure."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import msgspec
from sqlalchemy import event
from sqlalchemy.orm import Session

from ringfence.clock import Clock

_MOST = 6  # values of a list that are shown
_LONGEST = 120  # characters of a value


class Asked(msgspec.Struct, frozen=True):
    """One question and how it was put."""

    query: str  # SQL, or what was done instead
    parameters: Mapping[str, Any]
    at: datetime
    times: int = 1  # the same statement, with other parameters; the first ones are shown
    milliseconds: int = 0  # all together
    result: str = ""  # in words, when it is not what stands above it


class Recording:
    """What is being recorded."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._found: dict[str, Asked] = {}
        self._began = 0.0

    def add(self, asked: Asked) -> None:
        """Add a question that was put in another way than by SQL."""
        self._found[asked.query] = asked

    def taken(self) -> tuple[Asked, ...]:
        """Return what was recorded since it was taken the last time, in order."""
        found = tuple(self._found.values())
        self._found.clear()
        return found

    def before(self, _connection: Any, _cursor: Any, _statement: str, _parameters: Any, _context: Any, _many: bool) -> None:
        """Note when a statement begins."""
        self._began = time.perf_counter()

    def after(self, _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        """Note a statement. What only opens or closes a transaction asks nothing."""
        if not statement.lstrip().upper().startswith(("SELECT", "WITH")):
            return
        took = round((time.perf_counter() - self._began) * 1000)
        known = self._found.get(statement)
        if known is not None:
            self._found[statement] = msgspec.structs.replace(known, times=known.times + 1, milliseconds=known.milliseconds + took)
            return
        self._found[statement] = Asked(statement, _named(parameters), self._clock.now(), 1, took)


@contextmanager
def recording(session: Session, clock: Clock) -> Iterator[Recording]:
    """Record the statements of a session while the body runs."""
    found = Recording(clock)
    connection = session.connection()
    event.listen(connection, "before_cursor_execute", found.before)
    event.listen(connection, "after_cursor_execute", found.after)
    try:
        yield found
    finally:
        event.remove(connection, "before_cursor_execute", found.before)
        event.remove(connection, "after_cursor_execute", found.after)


def _named(parameters: Any) -> dict[str, Any]:
    if isinstance(parameters, Mapping):
        return {str(name): _shown(value) for name, value in parameters.items()}
    return {str(place): _shown(value) for place, value in enumerate(parameters or (), 1)}


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value.tzinfo else value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        shown = [_shown(each) for each in value[:_MOST]]
        return [*shown, f"and {len(value) - _MOST} more"] if len(value) > _MOST else shown
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
