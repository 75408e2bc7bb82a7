from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ari_app.private.sip_trace import read_messages

TRACE = """----------------------------------------------- 2026-11-21 23:30:00.123456
UDP message received [100] bytes :

INVITE sip:+447700900123@127.0.0.3:5060 SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:5060
diversion: <sip:+441174960111@127.0.0.2>
Diversion: <sip:+441174960112@127.0.0.2>
Subject:

v=0
s=-
----------------------------------------------- 2026-11-21 23:30:00.223456
UDP message sent (60 bytes):

SIP/2.0 486 Busy Here
Content-Length: 0

"""


def test_messages_are_taken_apart(tmp_path: Path) -> None:
    path = tmp_path / "messages"
    assert read_messages(path) == []
    path.write_text(TRACE.replace("\n", "\r\n"), encoding="utf-8")
    invite, busy = read_messages(path)
    assert (invite.sent, invite.method, invite.status) == (False, "INVITE", None)
    assert invite.all("DIVERSION") == ["<sip:+441174960111@127.0.0.2>", "<sip:+441174960112@127.0.0.2>"]
    assert (invite.get("subject"), invite.get("absent")) == ("", "")
    assert invite.body.startswith("v=0\ns=-")
    assert (busy.sent, busy.method, busy.status) == (True, "", 486)


@pytest.mark.filterwarnings("error")
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.binary(max_size=200))
def test_any_bytes_are_read(tmp_path: Path, noise: bytes) -> None:
    path = tmp_path / "noise"
    path.write_bytes(TRACE.encode() + noise)
    assert len(read_messages(path)) == 2
