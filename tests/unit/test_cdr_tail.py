"""The tail: whole lines, once each, through rotation, copies, truncation and torn ends."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ari_app.cdr.tail import LONGEST, Tail, ledger_files
from ringfence.ledgerfile import file_identity

NOW = 2_000_000_000.0


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="ascii") as file:
        file.write(text)


def drain(tail: Tail, limit: int = LONGEST, now: float = NOW) -> list[str]:
    found: list[str] = []
    while chunks := tail.read(now, limit):
        for chunk in chunks:
            found += [chunk.broken] if chunk.broken else chunk.data.decode().splitlines()
    return found


def test_no_file_yet(tmp_path: Path) -> None:
    assert Tail(tmp_path / "none" / "ledger.json", {}).read(NOW) == []


def test_a_torn_last_line_waits(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.json"
    tail = Tail(ledger, {})
    append(ledger, "one\ntw")
    assert drain(tail) == ["one"]
    assert drain(tail) == []
    assert tail.lag == 2
    append(ledger, "o\n")
    assert drain(tail) == ["two"]
    assert tail.lag == 0


def test_rotation_keeps_the_place_and_takes_what_the_old_name_still_gets(tmp_path: Path) -> None:
    ledger, rotated = tmp_path / "ledger.json", tmp_path / "ledger.json.20261121"
    tail = Tail(ledger, {})
    append(ledger, "a1\na2\n")
    assert drain(tail) == ["a1", "a2"]
    append(ledger, "a3\n")
    ledger.rename(rotated)
    append(ledger, "b1\n")
    assert drain(tail) == ["a3", "b1"]
    append(rotated, "a4\n")
    assert drain(tail) == ["a4"]
    again = Tail(ledger, tail.positions)
    assert drain(again) == []
    assert ledger_files(ledger) == [rotated, ledger]


def test_a_copy_is_not_read_twice_and_packed_files_not_at_all(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.json"
    append(ledger, "a1\na2\n")
    shutil.copy(ledger, tmp_path / "ledger.json.bak")
    (tmp_path / "ledger.json.gz").write_bytes(b"packed\n")
    tail = Tail(ledger, {})
    assert drain(tail) == ["a1", "a2"]


def test_copied_then_truncated(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.json"
    append(ledger, "a1\na2\n")
    tail = Tail(ledger, {})
    assert drain(tail) == ["a1", "a2"]
    append(ledger, "a3\n")
    shutil.copy(ledger, tmp_path / "ledger.json.1")
    os.truncate(ledger, 0)
    append(ledger, "b1\n")
    assert drain(tail) == ["a3", "b1"]


def test_deleted_and_its_inode_used_again(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.json"
    append(ledger, "a1 a long first line\n")
    tail = Tail(ledger, {})
    assert drain(tail) == ["a1 a long first line"]
    ledger.unlink()
    append(ledger, "b1\n")
    assert drain(tail) == ["b1"]


def test_a_file_cut_short_is_read_again(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.json"
    append(ledger, "a1\na2\na3\n")
    tail = Tail(ledger, {})
    drain(tail)
    os.truncate(ledger, 6)
    assert drain(tail) == ["a1", "a2"]


def test_a_rotated_file_that_ends_torn_is_given_up_after_a_while(tmp_path: Path) -> None:
    ledger, rotated = tmp_path / "ledger.json", tmp_path / "ledger.json.1"
    append(rotated, "a1\nto")
    os.utime(rotated, (NOW, NOW))
    tail = Tail(ledger, {}, grace=60)
    assert drain(tail, now=NOW + 10) == ["a1"]
    assert drain(tail, now=NOW + 61) == ["torn: it has no line end"]
    assert drain(tail, now=NOW + 62) == []


def test_a_line_without_end_is_passed_over_in_bounded_memory(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.json"
    append(ledger, "a1\n" + "x" * (LONGEST * 2 + 10) + "\na2\n")
    tail = Tail(ledger, {})
    assert drain(tail) == ["a1", "longer than a line can be", "a2"]


def test_another_start_inside_a_long_line_finds_the_next(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.json"
    append(ledger, "a1\nxxxxxxxxxx\na2\n")
    identity = file_identity(b"a1\n")
    assert identity
    assert drain(Tail(ledger, {identity: 7})) == ["a2"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["append", "torn", "rotate", "read", "restart"]), st.integers(1, 60)), max_size=25), st.integers(8, 100))
def test_every_line_comes_once_and_in_order_whatever_happens(steps: list[tuple[str, int]], limit: int) -> None:
    import tempfile  # noqa: PLC0415  a folder for each example

    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger.json"
        tail = Tail(ledger, {})
        written: list[str] = []
        got: list[str] = []
        tear, rotations = "", 0
        for step, size in steps:
            if step in {"append", "torn"}:
                line = f"{len(written)}-" + "y" * size
                text = tear + ("" if tear else line)
                if step == "torn" and not tear:
                    append(ledger, line[:-1])
                    tear = line[-1] + "\n"
                    written.append(line)
                    continue
                append(ledger, text if tear else text + "\n")
                if not tear:
                    written.append(line)
                tear = ""
            elif step == "rotate" and ledger.exists() and not tear:
                rotations += 1
                ledger.rename(ledger.with_name(f"ledger.json.{rotations:03}"))
            elif step == "read":
                got += [line for chunk in tail.read(NOW, limit) for line in chunk.data.decode().splitlines()]
            elif step == "restart":
                tail = Tail(ledger, tail.positions)
        if tear:
            append(ledger, tear)
        got += drain(tail, limit)
        assert sorted(got, key=lambda line: int(line.split("-")[0])) == written
