"""The webhook: heads and bodies from the network, hostile until parsed; and its server on a real socket, with clients that are slow, wrong or too many."""

from __future__ import annotations

import base64
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from ari_app.private.ports import free_ports
from retention.webhook import server
from retention.webhook.http import LONGEST_BODY, PATH, Answer, Head, admit, read_head, shown_secret
from retention.webhook.report import Report, read_report
from retention.webhook.server import serve
from ringfence.clock import SystemClock
from ringfence.errors import Conflict, Invalid, Misconfigured, Unavailable
from ringfence.settings import Emergency, Settings, load

SECRET = "a-secret-of-the-carrier-0123456789"
EVENT = {
    "app": "eha_missing_data",
    "id": "e17",
    "timestamp": 1795000000,
    "data": {"number": "442079460123", "calldate": "2026-11-20 03:14:15", "charge": 150, "charge_date": "2026-11-20"},
}
BEARER = f"Authorization: Bearer {SECRET}"


def body(**changes: Any) -> bytes:
    return msgspec.json.encode({**EVENT, **changes})


def post(content: bytes, *headers: str, path: str = PATH, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.0", "Host: ringfence.example.com", f"Content-Length: {len(content)}", *(headers or (BEARER,)), "", ""]
    return "\r\n".join(lines).encode() + content


# What the event says.


def test_a_report_is_a_number_and_a_key_that_its_repetition_has_too() -> None:
    report = read_report(body())
    assert report is not None
    assert report.number == "+442079460123"
    assert read_report(body(timestamp=1, more=[1])) == report
    others = [read_report(body(id="e18")), read_report(body(id=None)), read_report(body(id=17))]
    assert len({other.key for other in others if other} | {report.key}) == 4
    assert read_report(body(app="sms_inbound", data={"message": "Hello"})) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 16_000,
        body(data=None),
        body(data={}),
        body(data={"number": ""}),
        body(data={"number": "999"}),
        body(data={"number": None}),
        body(data={"number": "12025550123"}),
        body(data={"number": "${SHELL(id)}"}),
        body(id={"a": 1}),
        body(app=7),
    ],
)
def test_what_is_no_report_is_said_without_repeating_it(content: bytes) -> None:
    with pytest.raises(Invalid) as wrong:
        read_report(content)
    assert "12025550123" not in wrong.value.message
    assert "SHELL" not in wrong.value.message


@given(
    st.one_of(
        st.binary(max_size=400),
        st.recursive(st.none() | st.integers() | st.text(max_size=30), lambda inner: st.lists(inner, max_size=3)).map(msgspec.json.encode),
    )
)
def test_any_body_is_a_report_another_event_or_invalid(content: bytes) -> None:
    with contextlib.suppress(Invalid):
        assert isinstance(read_report(content), Report | None)


@given(st.dictionaries(st.sampled_from(["app", "id", "data", "number"]), st.one_of(st.text(max_size=20), st.integers(), st.just({"number": "442079460123"}))))
def test_any_event_is_a_report_another_event_or_invalid(event: dict[str, Any]) -> None:
    with contextlib.suppress(Invalid):
        report = read_report(msgspec.json.encode({"app": "eha_missing_data", **event}))
        assert report is None or (report.number.startswith("+44") and len(report.key) == 32)


# What the request says.


@given(st.binary(max_size=600))
def test_any_head_is_a_head_or_an_answer(raw: bytes) -> None:
    found = read_head(raw)
    assert isinstance(found, Answer) or isinstance(admit(found, SECRET.encode()), int | Answer)


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=80))
def test_no_header_shows_the_secret_by_chance(value: str) -> None:
    for scheme in ("Bearer ", "Basic ", ""):
        assert shown_secret(scheme + value) != SECRET.encode()


def test_the_secret_is_a_token_or_the_password_of_any_user_and_never_in_the_address() -> None:
    basic = base64.b64encode(f"simwood:{SECRET}".encode()).decode()
    for authorization in (f"Bearer {SECRET}", f"bearer  {SECRET} ", f"Basic {basic}"):
        assert admit(Head("POST", PATH, "10", authorization), SECRET.encode()) == 10
    for authorization in ("", SECRET, f"Bearer {SECRET}x", "Basic !", "Basic QQ==", f"Basic {base64.b64encode(SECRET.encode()).decode()}", f"Digest {SECRET}"):
        answer = admit(Head("POST", PATH, "10", authorization), SECRET.encode())
        assert isinstance(answer, Answer)
        assert answer.status is HTTPStatus.UNAUTHORIZED
    found = read_head(f"POST {PATH}?secret={SECRET} HTTP/1.1".encode())
    assert isinstance(found, Head)
    assert isinstance(admit(found, SECRET.encode()), Answer)


# The server.


class Office:
    """What takes reports in, in the place of the store."""

    def __init__(self) -> None:
        self.reports: list[Report | None] = []
        self.fails: Exception | None = None
        self.counts: Counter[str] = Counter()

    def take(self, report: Report | None) -> str:
        if self.fails:
            raise self.fails
        self.reports.append(report)
        return "sent_again"

    def count(self, outcome: str) -> None:
        self.counts[outcome] += 1


def settings_of(tmp_path: Path, secret: str = SECRET, mode: int = 0o600) -> Settings:
    path = tmp_path / "webhook"
    path.write_text(f"{secret}\n", encoding="utf-8")
    path.chmod(mode)
    return Settings(emergency=Emergency(webhook_port=free_ports(1)[0], webhook_secret_file=str(path)))


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
def port(tmp_path: Path, office: Office) -> Iterator[int]:
    running = serve(settings_of(tmp_path), SystemClock(), office.take, office.count)
    yield running.port
    running.close()


def talk(port: int, sent: bytes) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(sent)
        said = b""
        while chunk := client.recv(4096):
            said += chunk
    return said.decode()


def test_a_report_is_taken_in_and_answered_with_200_and_a_body(port: int, office: Office) -> None:
    said = talk(port, post(body()))
    assert said.startswith("HTTP/1.1 200 OK\r\n")
    assert said.endswith("\r\n\r\nsent_again\n")
    assert [report.number for report in office.reports if report] == ["+442079460123"]
    assert "200" in talk(port, post(body(app="call_inbound")))
    assert office.counts == {"sent_again": 1, "other_event": 1}


@pytest.mark.parametrize(
    ("sent", "status", "counted"),
    [
        (post(body(), "Authorization: Bearer wrong"), 401, "wrong_secret"),
        (post(body(), "X: y", path=f"{PATH}?Authorization=Bearer%20{SECRET}"), 401, "wrong_secret"),
        (post(b"", method="GET"), 405, "refused"),
        (post(body(), path="/"), 404, "refused"),
        (post(body(), BEARER, BEARER), 400, "refused"),
        (post(body(), BEARER, " folded: line"), 400, "refused"),
        (post(body(), BEARER, "Transfer-Encoding: chunked"), 411, "refused"),
        (f"POST {PATH} HTTP/1.1\r\n{BEARER}\r\n\r\n".encode(), 411, "refused"),
        (f"POST {PATH} HTTP/1.1\r\n{BEARER}\r\nContent-Length: -1\r\n\r\n".encode(), 411, "refused"),
        (post(b"x" * (LONGEST_BODY + 1)), 413, "refused"),
        (post(b"", BEARER, "Long: " + "x" * 9_000), 431, "refused"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, "refused"),
        (post(b"{}"), 400, "unreadable"),
    ],
)
def test_what_is_refused_is_said_counted_and_taken_in_by_nobody(port: int, office: Office, sent: bytes, status: int, counted: str) -> None:
    with capture_logs() as logged:
        said = talk(port, sent)
    assert said.startswith(f"HTTP/1.1 {status} ")
    assert office.counts == {counted: 1}
    assert [report for report in office.reports if report] == []
    assert office.reports == ([None] if counted == "unreadable" else [])  # a person hears of it
    assert SECRET not in said + str(logged)


def test_what_may_become_better_is_not_answered_with_200(port: int, office: Office) -> None:
    office.fails = Unavailable("the store is away")
    assert "503" in talk(port, post(body()))
    office.fails = ZeroDivisionError()
    assert "500" in talk(port, post(body()))
    office.fails = None
    assert "200" in talk(port, post(body()))
    assert office.counts == {"store_away": 1, "failed": 1, "sent_again": 1}


def test_wrong_secrets_fill_no_log(port: int, office: Office) -> None:
    with capture_logs() as logged:
        for _ in range(5):
            talk(port, post(body(), "Authorization: Bearer wrong"))
    assert [each["event"] for each in logged] == ["webhook_wrong_secret"]
    assert office.counts["wrong_secret"] == 5


def test_slow_clients_are_let_go_and_too_many_are_turned_away(port: int, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE", 0.5)
    with contextlib.ExitStack() as held:
        began = time.monotonic()
        slow = [held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(server.AT_ONCE + 1)]
        for client in slow[::2]:
            with contextlib.suppress(ConnectionError):
                client.sendall(post(body())[:-5])
        with contextlib.suppress(ConnectionError):
            assert slow[-1].recv(10) == b""  # turned away at once
        for client in slow[:-1]:
            assert client.recv(10) == b""
        assert time.monotonic() - began < 5
    assert "200" in talk(port, post(body()))
    assert office.counts == {"broken_off": server.AT_ONCE, "sent_again": 1}


def test_it_is_off_by_default_and_says_what_is_wrong(tmp_path: Path, office: Office) -> None:
    def start(settings: Settings) -> None:
        serve(settings, SystemClock(), office.take, office.count).close()

    assert serve(Settings(), SystemClock(), office.take, office.count).port == 0
    with pytest.raises(Misconfigured, match="others can read"):
        start(settings_of(tmp_path, mode=0o640))
    with pytest.raises(Misconfigured, match="cannot be one of a webhook"):
        start(settings_of(tmp_path, "short"))
    settings = settings_of(tmp_path)
    running = serve(settings, SystemClock(), office.take, office.count)
    with pytest.raises(Conflict, match="cannot listen"):
        start(settings)
    running.close()
    start(settings)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"RINGFENCE_EMERGENCY__WEBHOOK_PORT": "9480"}, "go together"),
        ({"RINGFENCE_EMERGENCY__WEBHOOK_SECRET_FILE": "/etc/ringfence/webhook"}, "go together"),
        ({"RINGFENCE_EMERGENCY__WEBHOOK_PORT": "70000", "RINGFENCE_EMERGENCY__WEBHOOK_SECRET_FILE": "x"}, "go together"),
        ({"RINGFENCE_EMERGENCY__WEBHOOK_HOST": "192.0.2.1"}, "not a loopback address"),
    ],
)
def test_half_of_the_settings_are_refused(environment: dict[str, str], said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        load(None, environment)
