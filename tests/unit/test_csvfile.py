from __future__ import annotations

import csv
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.csvfile import MAX_FIELD, harmless, plain, read_rows, write_rows
from ringfence.errors import Conflict, Invalid, RingfenceError, Unavailable


def read(path: Path) -> list[tuple[int, dict[str, str] | Invalid]]:
    return list(read_rows(path, required=("number",), optional=("account",)))


def written(path: Path, content: bytes) -> Path:
    file = path / "file.csv"
    file.write_bytes(content)
    return file


def test_rows_come_with_their_lines(tmp_path: Path) -> None:
    file = written(tmp_path, b'Number , ACCOUNT\r\n1,a\r\n\r\n , \n2,"b\nc"\n3,d\n')
    assert read(file) == [(2, {"number": "1", "account": "a"}), (6, {"number": "2", "account": "b\nc"}), (7, {"number": "3", "account": "d"})]


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    assert read(written(tmp_path, b"\xef\xbb\xbfnumber\n1\n")) == [(2, {"number": "1"})]


def test_a_row_of_another_width_or_with_a_huge_field_is_that_rows_problem(tmp_path: Path) -> None:
    rows = read(written(tmp_path, b"number,account\n1\n1,2,3\n" + b"9" * (MAX_FIELD + 1) + b",x\n4,ok\n"))
    assert [line for line, _ in rows] == [2, 3, 4, 5]
    assert [isinstance(fields, Invalid) for _, fields in rows] == [True, True, True, False]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"account\n1\n",
        b"number,colour\n1,2\n",
        b"number,number\n1,2\n",
        b"number;account\n1;2\n",
        "number\n1\n".encode("utf-16"),
        "number,account\n1,Zo\xeb\n".encode("latin-1"),
        b"number\n1\x002\n",
        b"num\x00ber\n1\n",
        b'number\n"1\n2\n3',
        b'number\n"1"2\n',
        b"number\n" + b"9" * 200_000 + b"\n",
        b"\x89PNG\r\n\x1a\n\x00\x00",
        b"PK\x03\x04" + bytes(range(256)),
    ],
)
def test_a_file_that_is_no_such_csv_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Invalid) as refusal:
        read(written(tmp_path, content))
    assert refusal.value.hint


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        read(tmp_path)


@given(st.binary(max_size=300) | st.text(alphabet="number,account\n\"\r\0;=+'x", max_size=100).map(str.encode))
@settings(max_examples=200)
def test_any_bytes_are_rows_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("any") / "file.csv"
    file.write_bytes(b"number,account\n" + content if len(content) % 2 else content)
    try:
        rows = read(file)
    except RingfenceError:
        return
    assert all(isinstance(fields, Invalid) or "number" in fields for _, fields in rows)


@pytest.mark.parametrize("cell", ["=1+1", "+442079460123", "-1", "@SUM(A1)", "\tx", "\r=1"])
def test_no_cell_is_a_formula(cell: str) -> None:
    assert harmless(cell) == "'" + cell
    assert harmless("x" + cell) == "x" + cell


@given(
    st.lists(
        st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20).map(str.strip).filter(lambda text: not text.startswith("'")),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=80)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    file = tmp_path_factory.mktemp("back") / "file.csv"
    assert write_rows(file, ("number", "account"), [("x", cell) for cell in cells]) == len(cells)
    assert [fields for _, fields in read(file)] == [{"number": "x", "account": cell} for cell in cells]
    with file.open(encoding="utf-8", newline="") as opened:
        assert not any(cell.startswith(("=", "+", "-", "@")) for row in csv.reader(opened) for cell in row)


def test_plain_takes_away_only_what_harmless_put_there() -> None:
    assert plain(" '+44 ") == "+44"
    assert plain("'quoted'") == "'quoted'"


def test_a_file_is_written_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    write_rows(file, ("number",), [("1",)])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(Conflict):
        write_rows(file, ("number",), [])
    write_rows(file, ("number",), [("2",)], replace=True)
    assert file.read_text() == "number\n2\n"


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_text("old")

    def rows() -> object:
        yield ("1",)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        write_rows(file, ("number",), rows(), replace=True)  # type: ignore[arg-type]
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(Unavailable):
        write_rows(tmp_path / "no" / "out.csv", ("number",), [])
