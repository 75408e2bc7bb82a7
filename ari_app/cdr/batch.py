"""Ledger bytes become what one transaction books: calls, lines set aside, and how far each file is settled then. No database here."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ari_app.cdr.assemble import Assembler, Place, Waiting
from ari_app.cdr.line import parse_line
from ari_app.cdr.record import build
from ari_app.cdr.tail import Chunk, Tail
from ringfence.errors import Invalid
from ringfence.queries.ledger import Booking, Position, SetAside

OVERDUE = 600.0  # seconds that a call waits for its end; Asterisk writes all its records within milliseconds


class Complete(msgspec.Struct, frozen=True):
    """A call to book, with the lines it was made from."""

    booking: Booking
    places: tuple[Place, ...]


class Batch(msgspec.Struct):
    """What the next transaction does."""

    calls: list[Complete] = msgspec.field(default_factory=list)
    set_aside: list[SetAside] = msgspec.field(default_factory=list)
    orphans: list[Waiting] = msgspec.field(default_factory=list)  # calls whose end never came
    positions: list[Position] = msgspec.field(default_factory=list)
    lines: int = 0
    read: bool = False  # was there anything new? A torn last line is not

    def __bool__(self) -> bool:
        return bool(self.calls or self.set_aside or self.orphans or self.positions)


class Reader:
    """Follows the ledger and makes batches of it.

    The stored offset of a file is never behind the first line of a call that still waits for its end: whoever starts again reads that line again.
    """

    def __init__(self, tail: Tail, node: str, stored: dict[str, Position]) -> None:
        self.assembler = Assembler()
        self._tail = tail
        self._node = node
        self._settled = {file_id: (at.offset, at.lines) for file_id, at in stored.items()}
        self._lines = {file_id: at.lines for file_id, at in stored.items()}  # lines before the place where the tail is

    @property
    def lag(self) -> int:
        """Bytes that wait in the files."""
        return self._tail.lag

    def read(self, now: float, monotonic: float) -> Batch:
        """Return the next batch; it is empty when nothing can be settled.

        Args:
            now: seconds since 1970.
            monotonic: seconds on a clock that never steps back.

        Raises:
            OSError: a file cannot be read.
        """
        batch = Batch()
        for chunk in self._tail.read(now):
            batch.read = True
            if chunk.broken:
                self._lines[chunk.file_id] = self._lines.get(chunk.file_id, 0) + 1
                batch.set_aside.append(SetAside(chunk.file_id, chunk.offset, len(chunk.data), chunk.broken))
            else:
                self._take(chunk, batch, monotonic)
        batch.orphans = self.assembler.overdue(monotonic - OVERDUE)
        batch.positions = self._positions()
        return batch

    def settle(self, positions: Sequence[Position]) -> None:
        """Take note that these positions are stored."""
        for at in positions:
            self._settled[at.file_id] = (at.offset, at.lines)

    def _take(self, chunk: Chunk, batch: Batch, monotonic: float) -> None:
        file_id, offset, number, node = chunk.file_id, chunk.offset, self._lines.get(chunk.file_id, 0), self._node
        add = self.assembler.add
        lines = chunk.data[:-1].split(b"\n")
        for line in lines:
            length = len(line)
            try:
                record = parse_line(line, node)
            except Invalid as error:
                if length:
                    batch.set_aside.append(SetAside(file_id, offset, length, error.message))
            else:
                call = add(record, Place(file_id, offset, length, number), monotonic)
                if call is not None:
                    self._finish(call, batch)
            offset += length + 1
            number += 1
        self._lines[file_id] = number
        batch.lines += len(lines)

    def _finish(self, call: Waiting, batch: Batch) -> None:
        try:
            batch.calls.append(Complete(build(call.records, self._node), tuple(call.places)))
        except Invalid as error:
            batch.set_aside += [SetAside(place.file_id, place.offset, place.length, error.message) for place in call.places]

    def _positions(self) -> list[Position]:
        """Return the files whose settled part has grown."""
        first = self.assembler.first_places() if len(self.assembler) else {}
        positions = []
        for file_id, offset in self._tail.positions.items():
            place = first.get(file_id)
            settled = (place.offset, place.line) if place else (offset, self._lines.get(file_id, 0))
            if settled[0] and settled != self._settled.get(file_id):
                positions.append(Position(file_id, "ledger", self._tail.names.get(file_id, ""), *settled))
        return positions
