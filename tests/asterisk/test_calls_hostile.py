"""Callers who write what they like into their INVITE: the call goes its way, is booked once, and nothing of it gets anywhere."""

from __future__ import annotations

import pytest

from ari_app.private.scenario import Answers, Call
from tests.asterisk.stage import Stage, invite

pytestmark = pytest.mark.asterisk

NAMES = {
    "quotes": 'O\'Neil "the boss"',
    "backslash and quote": '\\"',
    "backslashes": "a\\\\b\\",
    "tab": "a\tb",
    "control characters": "a\x01\x1b[31mb\x7f",
    "utf-8": "Zoë ☎ 电话",
    "shell": "${SHELL(touch RF_MARK)}",
    "expression": "$[1+1]${EXTEN}${DB(ringfence/x)}",
    "commas and pipes": "a,b|c&d;e=f^g~h",
    "a forged field": '","rf_end":"in:+442079460000:+441174960000:allowed:carrier:0:|dialplan::::|||16||||||',
    "a forged record": '"}{"linkedid":"node1-1700000000.1","sequence":1',
    "format": "%s%n%d{}{0}",
    "markup": "=cmd|' /C calc'!A0<script>",
    "500 characters": "x" * 500,
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_display_name_goes_nowhere(stage: Stage, name: str) -> None:
    mark = stage.work / "mark"
    caller, mobile = stage.numbers.caller(), stage.numbers.mobile()
    did = stage.did([mobile])
    with stage.behind({"first": {"caller_id_mode": "pass"}}, first=Answers(ring_ms=None)) as carriers:
        stage.call(did, Call(hold_ms=50, display=name.replace("RF_MARK", str(mark))), caller=caller)
    assert invite(carriers["first"]).get("From").startswith(f"<sip:{caller}@")
    booked = stage.cdr(did=did)
    booked.shows(disposition="answered", caller=caller, forwarded_to=mobile, routed_by="ari", billable_seconds=1)
    assert not mark.exists()


USERS = {
    "letters": ("sip-user_1.x", "1"),
    "marks": ("-_.!~*'()", None),
    "uri characters": ("a&b=c+d$e,f?g/h", "+"),
    "escaped quotes": ("%22%5c%22%2c%22", None),
    "escaped line ends": ("%0d%0aX-Forged:%201", None),
    "escaped nul": ("12%003", "12"),
    "escaped utf-8": ("%e2%98%8e", None),
    "escaped dialplan": ("%24%7bSHELL(touch%20/tmp/x)%7d", None),
    "separators": ("in%3a1%7c2%5e3", "123"),
    "plus signs": ("++44++1174960000", None),
    "a plus inside": ("0117+4960", None),
    "a plus at the end": ("0117+", None),
    "500 digits": ("4" * 500, None),
    "2000 digits": ("7" * 2000, None),
    "500 plus signs": ("+" * 500, None),
}


@pytest.mark.parametrize(("user", "caller"), USERS.values(), ids=USERS)
def test_a_callers_number_is_digits_or_nothing(stage: Stage, user: str, caller: str | None) -> None:
    mobile = stage.numbers.mobile()
    did = stage.did([mobile])
    with stage.behind({"first": {"caller_id_mode": "pass"}}, first=Answers(ring_ms=None)) as carriers:
        stage.call(did, Call(hold_ms=50), caller=user)
    assert invite(carriers["first"]).get("From").startswith(f"<sip:{did}@")
    stage.cdr(did=did).shows(disposition="answered", caller=caller, forwarded_to=mobile, routed_by="ari")


HEADERS = {
    "diversion with quotes": 'Diversion: "a\\"b\\\\" <sip:%22%7c%5e@127.0.0.2>;reason=unconditional;counter=1',
    "diversion with plus signs": "Diversion: <sip:+44+44@127.0.0.2>;reason=no-answer",
    "diversion with 500 digits": f"Diversion: <sip:{'1' * 500}@127.0.0.2>",
    "diversion with a count that is none": "Diversion: <sip:02079460000@127.0.0.2>;counter=none",
    "asserted identity with quotes": 'P-Asserted-Identity: "a\\"b|c" <sip:%22%7c@127.0.0.2>',
    "remote party": 'Remote-Party-ID: "x" <sip:0909@127.0.0.2>;party=calling;privacy=off',
    "history": "History-Info: <sip:999@127.0.0.2?Reason=SIP%3Bcause%3D302>;index=1",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_headers_of_a_hostile_carrier(stage: Stage, header: str) -> None:
    did = stage.did([stage.numbers.mobile()])
    with stage.behind(first=Answers(ring_ms=None)) as carriers:
        stage.call(did, Call(hold_ms=50, headers=(header,)), caller=stage.numbers.caller())
    message = invite(carriers["first"])
    assert message.get("From").startswith(f"<sip:{did}@")
    assert [message.all(name) for name in ("Diversion", "P-Asserted-Identity", "Remote-Party-ID", "History-Info")] == [[], [], [], []]
    stage.cdr(did=did).shows(disposition="answered", routed_by="ari")
