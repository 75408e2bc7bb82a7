"""Carriers that take files: a batch that is whole or not there, and answers that are read when they are; and what the settings make."""

from __future__ import annotations

import csv
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.emergency.carriers.batch import COLUMNS, Batch, read_answers
from retention.emergency.carriers.carrier import Outcome, Reply, Request, later
from retention.emergency.carriers.magrathea import Magrathea
from retention.emergency.carriers.make import make_carrier, read_login
from retention.emergency.carriers.simwood import Simwood
from retention.files import folders, kind_of
from ringfence.clock import FixedClock
from ringfence.emergency import EmergencyAddress
from ringfence.errors import Misconfigured
from ringfence.models.base import DataClass
from ringfence.settings import Emergency, Settings

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
ADDRESS = EmergencyAddress(name="Example", premises="104", thoroughfare="King Street", locality="Sheffield", postcode="S9 5AD")
REQUEST = Request("+442079460123", ADDRESS, "k1")
OTHER = Request("+442079460124", msgspec.structs.replace(ADDRESS, name="=HYPERLINK(1)"), "k2")


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return Batch(tmp_path / "emergency", FixedClock(NOW))


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def answer(batch: Batch, text: str, name: str = "a.csv") -> None:
    batch.answers.mkdir(parents=True, exist_ok=True)
    (batch.answers / name).write_text(text, encoding="utf-8")


def test_a_batch_is_there_when_it_is_whole(batch: Batch, tmp_path: Path) -> None:
    assert batch.submit(REQUEST) == batch.submit(OTHER) == batch.withdraw(REQUEST) == Reply(Outcome.SUBMITTED)
    assert list((tmp_path / "emergency").glob("*.csv")) in ([], [tmp_path / "emergency" / ".open.csv"])
    batch.finish()
    batch.finish()  # nothing more was collected
    (made,) = (path for path in (tmp_path / "emergency").glob("*.csv"))
    assert made.name == "batch-20261128T120000.csv"
    assert made.stat().st_mode & 0o777 == 0o600
    header, first, second, third = rows(made)
    assert tuple(header) == COLUMNS
    assert (first[0], first[1], first[2], first[-1]) == ("k1", "submit", "442079460123", "S9 5AD")
    assert second[5] == "'=HYPERLINK(1)"  # a spreadsheet takes it for text
    assert third[1] == "withdraw"
    batch.submit(REQUEST)
    batch.finish()
    assert (tmp_path / "emergency" / "batch-20261128T120000-1.csv").exists()  # in the same second, and none is replaced


def test_a_line_that_a_power_cut_left_is_cut_off(batch: Batch, tmp_path: Path) -> None:
    batch.submit(REQUEST)
    with (tmp_path / "emergency" / ".open.csv").open("ab") as file:
        file.write(b"k9,submit,4420794")
    batch.submit(OTHER)
    batch.finish()
    (made,) = (tmp_path / "emergency").glob("batch-*.csv")
    assert [row[0] for row in rows(made)] == ["reference", "k1", "k2"]


def test_a_folder_that_cannot_be_written_is_tried_later(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert Batch(tmp_path / "file" / "emergency", FixedClock(NOW)).submit(REQUEST) == later("not_written")


def test_answers_are_of_a_request_and_not_of_a_number(batch: Batch) -> None:
    assert batch.poll(REQUEST) == Reply(Outcome.SUBMITTED)
    answer(batch, "reference,number,status,code,reason\nk1,442079460123,Pending Review,,\nk2,442079460124,rejected,17,Postcode\nk3,,dancing,,\n,,accepted,,\n")
    assert batch.poll(REQUEST) == Reply(Outcome.PENDING_REVIEW)
    assert batch.poll(OTHER) == Reply(Outcome.REJECTED, "17", "Postcode")
    assert batch.poll(msgspec.structs.replace(REQUEST, key="k3")) == Reply(Outcome.SUBMITTED)
    assert batch.poll(msgspec.structs.replace(REQUEST, key="")) == Reply(Outcome.SUBMITTED)
    answer(batch, "reference,status\nk1,accepted\nk5,withdrawn\n", "b.csv")
    os.utime(batch.answers / "b.csv", ns=(2_000_000_000_000_000_000,) * 2)
    assert batch.poll(REQUEST) == Reply(Outcome.ACCEPTED)  # the newer file
    assert batch.withdraw(msgspec.structs.replace(REQUEST, key="k5")) == Reply(Outcome.WITHDRAWN)


@pytest.mark.parametrize(
    "text", ["reference,status\nk1,accepted", "reference,status\nk1,acc", "nonsense\n", "", 'reference,status\n"k1,accepted\n', "reference,status\n\0\n"]
)
def test_answers_that_are_not_whole_are_not_read(batch: Batch, text: str) -> None:
    answer(batch, text)
    assert batch.poll(REQUEST) == Reply(Outcome.SUBMITTED)
    answer(batch, "reference,status\nk1,accepted\nk2,accepted\n")
    assert batch.poll(REQUEST) == Reply(Outcome.ACCEPTED)  # once it is


def test_no_file_of_answers_breaks_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"

    lines = st.text(alphabet='reference,status\n"k1acepd =\r', max_size=120).map(lambda text: f"reference,status\n{text}\n".encode())

    @given(st.binary(max_size=300) | lines)
    def read(raw: bytes) -> None:
        path.write_bytes(raw)
        assert all(key and reply.outcome is not Outcome.LATER for key, reply in read_answers(path).items())

    read()


def test_batches_end_as_files_that_are_on_their_way(tmp_path: Path) -> None:
    where = folders(Settings(home=str(tmp_path)))
    for name in ("emergency/batch-20261128T120000.csv", "emergency/.open.csv", "emergency/answers/a.csv"):
        kind = kind_of(tmp_path / name, where)
        assert kind is not None
        assert kind.data_class is DataClass.SPOOL


def settings(home: Path, **chosen: object) -> Settings:
    return Settings(home=str(home), emergency=msgspec.convert(chosen, Emergency))


def login(home: Path, name: str, text: str = "ringfence\nswordfish\n", mode: int = 0o600) -> Path:
    path = home / "secrets" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_the_settings_name_the_carrier(tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    assert make_carrier(settings(tmp_path), clock) is None
    assert isinstance(make_carrier(settings(tmp_path, carrier="batch"), clock), Batch)
    login(tmp_path, "simwood")
    login(tmp_path, "magrathea")
    assert isinstance(make_carrier(settings(tmp_path, carrier="simwood", simwood_account="930999"), clock), Simwood)
    (tmp_path / "ported").write_text("020 7946 0124\n\n", encoding="utf-8")
    made = make_carrier(settings(tmp_path, carrier="magrathea", magrathea_ported_file=str(tmp_path / "ported")), clock)
    assert isinstance(made, Magrathea)
    assert (made.named("+442079460124"), made.named("+442079460123")) == ("P2079460124", "02079460123")


@pytest.mark.parametrize(
    "chosen",
    [
        {"carrier": "pigeon"},
        {"carrier": "simwood", "simwood_account": "930999", "simwood_url": "http://api.simwood.com/v3"},
        {"carrier": "simwood", "simwood_account": "930999", "simwood_url": "https://user:secret@api.simwood.com/v3"},
        {"carrier": "simwood", "simwood_account": "../930999"},
        {"carrier": "simwood", "simwood_account": ""},
        {"carrier": "simwood", "simwood_account": "930999", "answer_seconds": 0},
        {"carrier": "simwood", "simwood_account": "930999", "ca_file": "/does/not/exist"},
        {"carrier": "simwood", "simwood_account": "930999", "secret_file": "/does/not/exist"},
        {"carrier": "magrathea", "magrathea_ported_file": "/does/not/exist"},
    ],
)
def test_settings_that_are_wrong_or_unsafe_make_none(tmp_path: Path, chosen: dict[str, object]) -> None:
    login(tmp_path, "simwood")
    login(tmp_path, "magrathea")
    with pytest.raises(Misconfigured):
        make_carrier(settings(tmp_path, **chosen), FixedClock(NOW))


@pytest.mark.parametrize(("text", "mode"), [("ringfence\nswordfish\n", 0o640), ("ringfence\n", 0o600), ("", 0o600), ("a\nb\nc\n", 0o600)])
def test_a_login_is_two_lines_that_nobody_else_reads(tmp_path: Path, text: str, mode: int) -> None:
    with pytest.raises(Misconfigured) as raised:
        read_login(login(tmp_path, "simwood", text, mode))
    assert "swordfish" not in raised.value.message + raised.value.hint
    assert "chmod 600" in raised.value.hint
