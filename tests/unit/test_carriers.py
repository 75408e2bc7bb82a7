"""Clients of carriers that keep 999 addresses, against servers that speak their protocols: what they send, and that no answer, or none, is an exception."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ari_app.private.address_carrier import ACCOUNT, LOGIN, SimwoodLike, authority, tell
from retention.emergency.carriers.carrier import Outcome, Reply, Request, later, said, same
from retention.emergency.carriers.exchange import Broken, Patience, trust
from retention.emergency.carriers.magrathea import Line, Magrathea, encoded, read_line, read_state
from retention.emergency.carriers.simwood import Said, Simwood, read_put, read_record
from ringfence.emergency import EmergencyAddress
from ringfence.errors import Invalid
from tests.unit.fake_carriers import FakeMagrathea, closed_port

ADDRESS = EmergencyAddress(
    forename="Zoë", name="Example", premises="Flat 2, 104", thoroughfare="King Street", locality="Attercliffe, Sheffield", postcode="S9 5AD"
)
REQUEST = Request("+442079460123", ADDRESS, "k1")
PORTED = Request("+442079460124", ADDRESS, "k2")
QUICK = Patience(connect=2.0, answer=2.0, whole=4.0)
HASTY = Patience(connect=0.3, answer=0.3, whole=0.6)


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def simwood(paper: tuple[Path, ssl.SSLContext]) -> Iterator[SimwoodLike]:
    with SimwoodLike().running(paper[1]) as fake:
        yield fake


@pytest.fixture
def magrathea(paper: tuple[Path, ssl.SSLContext]) -> Iterator[FakeMagrathea]:
    with FakeMagrathea().running(paper[1]) as fake:
        yield fake


def at_simwood(fake: SimwoodLike, ca: Path | str, *, login: tuple[str, str] = LOGIN, patience: Patience = QUICK) -> Simwood:
    return Simwood(f"https://127.0.0.1:{fake.port}/v3", ACCOUNT, login, trust(str(ca)), patience)


def at_magrathea(fake: FakeMagrathea, ca: Path | str, *, login: tuple[str, str] = LOGIN, patience: Patience = QUICK) -> Magrathea:
    return Magrathea(("127.0.0.1", fake.port), login, trust(str(ca)), {PORTED.number}, patience)


def test_simwood_takes_a_record_in_and_reads_it_back(simwood: SimwoodLike, paper: tuple[Path, ssl.SSLContext]) -> None:
    carrier = at_simwood(simwood, paper[0])
    assert carrier.poll(REQUEST) == Reply(Outcome.MISSING, "no_record")
    assert carrier.submit(REQUEST) == Reply(Outcome.SUBMITTED)
    assert simwood.asked[-1] == f"PUT /v3/numbers/{ACCOUNT}/allocated/442079460123/999"
    assert simwood.records["442079460123"]["forename"] == "ZOË"
    assert carrier.poll(REQUEST) == Reply(Outcome.ACCEPTED)  # in capitals, and the same all the same
    moved = msgspec.structs.replace(REQUEST, address=msgspec.structs.replace(ADDRESS, premises="105"))
    assert carrier.poll(moved) == Reply(Outcome.MISSING, "differs")
    assert carrier.withdraw(REQUEST).code == "by_hand"
    simwood.records["442079460123"] = {}
    assert carrier.withdraw(REQUEST) == Reply(Outcome.WITHDRAWN)


def test_simwood_gets_again_what_999_was_found_to_lack_whatever_it_says_it_has(simwood: SimwoodLike, paper: tuple[Path, ssl.SSLContext]) -> None:
    carrier = at_simwood(simwood, paper[0])
    for request, puts in ((REQUEST, 1), (REQUEST, 1), (msgspec.structs.replace(REQUEST, renew=True), 2)):
        assert carrier.submit(request) == Reply(Outcome.SUBMITTED)
        assert sum(line.startswith("PUT ") for line in simwood.asked) == puts


def test_simwood_is_not_charged_twice_for_a_record_whose_answer_was_lost(simwood: SimwoodLike, paper: tuple[Path, ssl.SSLContext]) -> None:
    def half(handler: Any) -> bool:
        handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"succ')
        handler.close_connection = True
        return True

    simwood.after_put = half
    carrier = at_simwood(simwood, paper[0])
    assert carrier.submit(REQUEST) == later("half_written")
    simwood.after_put = None
    assert carrier.submit(REQUEST) == Reply(Outcome.SUBMITTED)
    assert simwood.puts == 1


def test_simwood_refuses(simwood: SimwoodLike, paper: tuple[Path, ssl.SSLContext]) -> None:
    simwood.errors = ["Postcode is not in PAF", "premises too long"]
    carrier = at_simwood(simwood, paper[0])
    assert carrier.submit(REQUEST) == Reply(Outcome.REJECTED, "refused", "Postcode is not in PAF; premises too long")
    unknown = msgspec.structs.replace(REQUEST, number="+442079460999")
    assert carrier.submit(unknown).code == "number_unknown"
    assert carrier.withdraw(unknown) == Reply(Outcome.WITHDRAWN)
    assert carrier.submit(msgspec.structs.replace(REQUEST, number="+33123456789")).code == "not_uk"
    assert at_simwood(simwood, paper[0], login=("ringfence", "wrong")).submit(REQUEST) == later("credentials", 3600)


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (429, {"Retry_After": "90"}, later("busy", 90)),
        (503, {"Retry_After": "9" * 40}, later("http_503", 60)),
        (500, {}, later("http_500")),
        (302, {"Location": "https://127.0.0.1:1/elsewhere"}, later("redirected", 3600)),
        (200, {}, later("garbled")),
    ],
)
def test_simwood_at_fault_is_asked_again(
    simwood: SimwoodLike, paper: tuple[Path, ssl.SSLContext], status: int, headers: dict[str, str], expected: Reply
) -> None:
    def broken(handler: Any) -> bool:
        tell(handler, status, b"<html>Bad", **headers)
        return True

    simwood.instead = broken
    carrier = at_simwood(simwood, paper[0])
    assert carrier.submit(REQUEST) == expected
    assert carrier.poll(REQUEST) == expected
    assert simwood.puts == 0  # while it cannot be said what is there, nothing is sent


def test_simwood_that_is_slow_drips_floods_or_hangs_up(simwood: SimwoodLike, paper: tuple[Path, ssl.SSLContext]) -> None:
    def drips(handler: Any) -> bool:
        for _ in range(30):
            handler.wfile.write(b"H")
            time.sleep(0.1)
        return True

    def floods(handler: Any) -> bool:
        tell(handler, 200, b"[" * 200_000)
        return True

    def hangs_up(handler: Any) -> bool:
        handler.close_connection = True
        return True

    for instead, patience, code in ((drips, HASTY, "timeout"), (floods, QUICK, "too_long"), (hangs_up, QUICK, "half_written")):
        simwood.instead = instead
        began = time.monotonic()
        answer = at_simwood(simwood, paper[0], patience=patience).submit(REQUEST)
        assert (answer.outcome, answer.code) == (Outcome.LATER, code)
        assert time.monotonic() - began < 5
    gone = Simwood(f"https://127.0.0.1:{closed_port()}/v3", ACCOUNT, LOGIN, trust(str(paper[0])), QUICK)
    assert gone.submit(REQUEST) == later("unreachable")


def test_a_certificate_that_nobody_vouches_for_gets_no_login(
    simwood: SimwoodLike, magrathea: FakeMagrathea, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stranger, _ = authority(tmp_path / "stranger")
    with caplog.at_level(logging.DEBUG):
        assert at_simwood(simwood, stranger).submit(REQUEST) == later("certificate", 3600)
        assert at_magrathea(magrathea, stranger).submit(REQUEST) == later("certificate", 3600)
    assert (simwood.asked, magrathea.said) == ([], [])
    assert LOGIN[1] not in caplog.text


def test_magrathea_takes_a_record_in_field_by_field(magrathea: FakeMagrathea, paper: tuple[Path, ssl.SSLContext]) -> None:
    carrier = at_magrathea(magrathea, paper[0])
    assert carrier.poll(REQUEST) == Reply(Outcome.MISSING, "no_record")
    magrathea.said.clear()
    assert carrier.submit(REQUEST) == Reply(Outcome.SUBMITTED)
    subject = "INFO 02079460123 999"
    fields = ["FORENAME Zoë", "NAME Example", "PREMISES Flat 2, 104", "THOROUGHFARE King Street", "LOCALITY Attercliffe, Sheffield", "POSTCODE S9 5AD"]
    assert magrathea.said[:-1] == [f"AUTH {LOGIN[0]} {LOGIN[1]}", *(f"{subject} {what}" for what in ("DATA", "CREATE", *fields, "VALIDATE"))]
    assert carrier.submit(REQUEST) == Reply(Outcome.SUBMITTED)
    assert magrathea.said.count(f"{subject} CREATE") == 1  # the record and its owner are there already
    magrathea.validate = "1 Parsed OK. Check later for status."
    assert carrier.submit(PORTED) == Reply(Outcome.SUBMITTED)
    assert "INFO P2079460124 999 CREATE" in magrathea.said


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("0 Accepted", Reply(Outcome.ACCEPTED)),
        ("1 Info received", Reply(Outcome.SUBMITTED)),
        ("2 Awaiting further validation", Reply(Outcome.PENDING_REVIEW)),
        ("3 Submitted", Reply(Outcome.SUBMITTED)),
        ("6 Submitted, awaiting manual processing", Reply(Outcome.PENDING_REVIEW)),
        ("8 Rejected", Reply(Outcome.REJECTED, "status_8", "Rejected")),
        ("9 No record found", Reply(Outcome.MISSING, "no_record")),
        ("5 What", later("garbled")),
    ],
)
def test_magrathea_says_how_far_a_record_has_come(magrathea: FakeMagrathea, paper: tuple[Path, ssl.SSLContext], status: str, expected: Reply) -> None:
    carrier = at_magrathea(magrathea, paper[0])
    carrier.submit(REQUEST)
    magrathea.status["02079460123"] = status
    assert carrier.poll(REQUEST) == expected


def test_an_acceptance_of_another_address_is_none(magrathea: FakeMagrathea, paper: tuple[Path, ssl.SSLContext]) -> None:
    carrier = at_magrathea(magrathea, paper[0])
    carrier.submit(REQUEST)
    magrathea.status["02079460123"] = "0 Accepted"
    magrathea.data["02079460123"]["PREMISES"] = "7"
    assert carrier.poll(REQUEST) == Reply(Outcome.MISSING, "differs")


def test_another_owner_or_a_field_that_is_emptied_begins_a_new_record(magrathea: FakeMagrathea, paper: tuple[Path, ssl.SSLContext]) -> None:
    carrier = at_magrathea(magrathea, paper[0])
    carrier.submit(REQUEST)
    shop = EmergencyAddress(name="Example Bakery", bussuffix="Ltd", premises="104", thoroughfare="King Street", locality="Sheffield", postcode="S9 5AD")
    carrier.submit(msgspec.structs.replace(REQUEST, address=shop))
    assert "FORENAME" not in magrathea.data["02079460123"]
    assert magrathea.said.count("INFO 02079460123 999 CREATE") == 2


def test_magrathea_refuses(magrathea: FakeMagrathea, paper: tuple[Path, ssl.SSLContext]) -> None:
    carrier = at_magrathea(magrathea, paper[0])
    magrathea.validate = "4 Postcode not found"
    assert carrier.submit(REQUEST) == Reply(Outcome.REJECTED, "validate_4", "Postcode not found")
    magrathea.refused["LOCALITY"] = "2 Too long"
    assert carrier.submit(REQUEST) == Reply(Outcome.REJECTED, "locality_2", "Too long")
    assert carrier.submit(msgspec.structs.replace(REQUEST, number="+442079460999")).code == "create_9"
    assert at_magrathea(magrathea, paper[0], login=("ringfence", "wrong")).submit(REQUEST) == later("credentials", 3600)
    assert carrier.withdraw(REQUEST) == Reply(Outcome.WITHDRAWN)  # VALIDATE never passed, so there is no record
    magrathea.status["02079460123"] = "0 Accepted"
    assert carrier.withdraw(REQUEST).code == "by_hand"


@pytest.mark.parametrize(
    ("what", "raw", "code"),
    [
        ("BANNER", b"", "timeout"),
        ("BANNER", None, "hung_up"),
        ("AUTH", b"0 Acc-", "half_written"),
        ("DATA", b"0 NAME Example\r\n" * 100, "garbled"),
        ("DATA", b"\xff\xfb\x01\r\n", "garbled"),
        ("NAME", b"0" * 5_000, "garbled"),
        ("VALIDATE", None, "hung_up"),
        ("VALIDATE", b"0 Information", "timeout"),
    ],
)
def test_magrathea_that_breaks_off_is_asked_again(
    magrathea: FakeMagrathea, paper: tuple[Path, ssl.SSLContext], what: str, raw: bytes | None, code: str
) -> None:
    magrathea.instead[what] = raw
    answer = at_magrathea(magrathea, paper[0], patience=Patience(2.0, 0.3, 4.0)).submit(REQUEST)
    magrathea.hold.set()
    assert (answer.outcome, answer.code) == (Outcome.LATER, code)
    magrathea.instead.clear()
    assert at_magrathea(magrathea, paper[0]).submit(REQUEST) == Reply(Outcome.SUBMITTED)  # and what was left behind is overwritten


def test_plain_text_goes_to_a_private_address_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeMagrathea().running(None) as fake:
        carrier = Magrathea(("127.0.0.1", fake.port), LOGIN, None, patience=QUICK)
        assert carrier.submit(REQUEST) == Reply(Outcome.SUBMITTED)
        fake.said.clear()
        monkeypatch.setattr("retention.emergency.carriers.magrathea.peer_of", lambda _: ("192.0.9.1", 777))
        assert carrier.submit(REQUEST) == later("no_private_path", 3600)
        assert [command for command in fake.said if command != "QUIT"] == []


@given(st.binary(max_size=200))
def test_a_line_is_read_or_not_but_never_breaks(raw: bytes) -> None:
    line = read_line(raw + b"\r\n")
    assert line is None or (0 <= line.digit <= 9 and isinstance(read_state(line), Reply))
    assert read_line(b"0 " + raw.translate(None, b"\r\n \t\x0b\x0c\x85\xa0\x1c\x1d\x1e\x1f") + b"\r\n") is not None


def test_lines_as_they_are() -> None:
    assert read_line(b"0 Accepted\r\n") == Line(0, "Accepted")
    assert read_line(b"9\n") == Line(9)
    assert read_line(b"10 Two digits\r\n") is None


@given(st.text(max_size=50))
def test_no_value_ends_a_command(value: str) -> None:
    try:
        raw = encoded(f"INFO 02079460123 999 NAME {value}")
    except Invalid:
        return
    assert raw.count(b"\n") == raw.count(b"\r") == 1
    assert raw.endswith(b"\r\n")


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
JSON = st.recursive(LEAVES, lambda below: st.lists(below) | st.dictionaries(st.text(max_size=8), below), max_leaves=8)
ANSWERS = st.fixed_dictionaries({"success": JSON, "errors": JSON, "data": JSON})
BODIES = st.binary(max_size=200) | (JSON | ANSWERS).map(msgspec.json.encode)


@given(st.integers(100, 599), BODIES, st.text(max_size=8))
def test_an_answer_over_http_is_read_or_asked_for_again_but_never_breaks(status: int, body: bytes, wait: str) -> None:
    answer = Said(status, body, wait)
    reply = read_put(answer)
    assert reply.outcome in {Outcome.SUBMITTED, Outcome.REJECTED, Outcome.LATER}
    assert (reply.outcome is Outcome.LATER) is (reply.after > 0)
    assert reply.outcome is not Outcome.SUBMITTED or status in {200, 201, 202}
    held = held_or_reply(answer)
    if isinstance(held, Reply):
        assert held.outcome is Outcome.LATER
    else:
        assert all(isinstance(text, str) and text for text in held.values())


def held_or_reply(answer: Said) -> dict[str, str] | Reply:
    try:
        return read_record(answer)
    except Broken as broken:
        return broken.reply


def test_json_that_is_nested_without_end_is_garbled() -> None:
    assert read_put(Said(200, b"[" * 60_000)) == later("garbled")


@given(st.text())
def test_words_are_one_short_printable_line(text: str) -> None:
    assert said(text).isprintable()
    assert len(said(text)) <= 200


def test_case_and_spaces_do_not_make_another_address() -> None:
    assert same(ADDRESS, {"name": "EXAMPLE ", "postcode": "s9  5ad"}, ("name", "postcode"))
    assert not same(ADDRESS, {"name": "Example"}, ("name", "postcode"))
