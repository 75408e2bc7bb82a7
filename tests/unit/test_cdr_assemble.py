"""Records in any order, of many calls at once, become complete calls."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ari_app.cdr.assemble import Assembler, Place
from ari_app.cdr.line import LedgerRecord


def record(call: int, sequence: int, *, ends: bool) -> LedgerRecord:
    return LedgerRecord(f"n1-1795302588.{call}", sequence, "", 1.0, 0.0, 1.0, "FAILED", "", "x" if ends else "")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.randoms())
def test_each_call_comes_out_once_with_all_its_records(sizes: list[int], chance: object) -> None:
    queues = [[record(call, sequence, ends=sequence == size - 1) for sequence in range(size)] for call, size in enumerate(sizes)]
    assembler, found, offset = Assembler(), {}, 0
    while any(queues):
        queue = chance.choice([queue for queue in queues if queue])  # type: ignore[attr-defined]
        done = assembler.add(queue.pop(0), Place("f", offset, 1, offset), 0.0)
        offset += 1
        if done:
            found[done.linkedid] = [item.sequence for item in done.records]
    assert found == {f"n1-1795302588.{call}": list(range(size)) for call, size in enumerate(sizes)}
    assert len(assembler) == 0


def test_what_comes_after_the_end_changes_nothing_and_is_counted() -> None:
    assembler = Assembler()
    assert assembler.add(record(1, 0, ends=True), Place("f", 0, 1, 0), 0.0)
    assert assembler.add(record(1, 1, ends=False), Place("f", 2, 1, 1), 0.0) is None
    assert assembler.add(record(1, 2, ends=True), Place("f", 4, 1, 2), 0.0) is None
    assert assembler.take_late() == 2
    assert assembler.take_late() == 0
    assert len(assembler) == 0


def test_the_first_waiting_line_of_each_file_holds_the_offset() -> None:
    assembler = Assembler()
    for place in (Place("a", 10, 5, 1), Place("a", 40, 5, 3), Place("b", 0, 5, 0)):
        assembler.add(record(place.offset, 0, ends=False), place, 0.0)
    assert {file: place.offset for file, place in assembler.first_places().items()} == {"a": 10, "b": 0}


def test_calls_that_never_end_are_given_up_and_memory_is_bounded() -> None:
    assembler = Assembler(capacity=10, remember=5)
    for call in range(20):
        assembler.add(record(call, 0, ends=False), Place("f", call, 1, call), float(call))
    assert [call.since for call in assembler.overdue(3.0)] == [float(second) for second in range(10)]
    assert len(assembler) == 10
    assert assembler.get("n1-1795302588.15")
    assembler.forget("n1-1795302588.15")
    assert assembler.get("n1-1795302588.15") is None
    for call in range(100, 120):
        assembler.add(record(call, 0, ends=True), Place("f", call, 1, call), 0.0)
    assert len(assembler._ended) == 5
