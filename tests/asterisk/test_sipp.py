from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ari_app.private.node import wait_until
from ari_app.private.ports import free_ports
from ari_app.private.root import Root
from ari_app.private.scenario import Answers, Call, Callee, Refuses, Register, Rings
from ari_app.private.sipp import SilentServer, SippCalls, SippResult, SippServer, place_call, register_phone
from ringfence.errors import Invalid, Unavailable
from tests.asterisk.bare import CARRIER, MOBILE, PHONE, PHONE_SECRET, Bare

pytestmark = pytest.mark.asterisk

NUMBER, LANDLINE, UNKNOWN, LOOKED_AT = "+447700900123", "+441174960123", "+442000000000", "+442040000000"


@pytest.fixture(scope="module")
def bare(asterisk_root: Root, asterisk_home: Path) -> Iterator[Bare]:
    bare = Bare(asterisk_root, asterisk_home / "bare")
    bare.asterisk.start()
    bare.asterisk.wait_ready()
    yield bare
    bare.asterisk.stop()


def call(bare: Bare, scenario: Call, number: str = NUMBER, caller: str = "+442079460123") -> SippResult:
    to = ("127.0.0.1", bare.sip)
    return place_call(bare.asterisk.root, bare.home / "sipp", host=CARRIER, to=to, number=number, caller=caller, scenario=scenario)


def mobile(bare: Bare, scenario: Callee) -> SippServer:
    return SippServer(bare.asterisk.root, bare.home / "sipp", host=MOBILE, port=bare.mobile, scenario=scenario, trace=True)


@pytest.mark.parametrize(
    ("callee", "caller"),
    [
        (Answers(ring_ms=100), Call(hold_ms=100)),
        (Answers(ring_ms=None), Call(hold_ms=100)),
        (Answers(ring_ms=0, talk_ms=100), Call(hold_ms=None)),
        (Refuses(status=486), Call(expect=486)),
        (Refuses(status=603), Call(expect=403)),
        (Refuses(status=480, ring_ms=100), Call(expect=480)),
        (Refuses(status=404), Call(expect=404)),
        (Refuses(status=503, headers=("Reason: Q.850;cause=34",)), Call(expect=503)),
        (Rings(), Call(give_up_ms=300)),
        (Rings(), Call(expect=480)),
        (Answers(ring_ms=2000), Call(give_up_ms=200)),
    ],
    ids=lambda scenario: repr(scenario)[:40],
)
def test_callee_and_caller_agree(bare: Bare, callee: Callee, caller: Call) -> None:
    with mobile(bare, callee) as server:
        seen = call(bare, caller).check()
        assert (seen.successful, seen.retransmissions) == (1, 0)
    assert server.stop().check().successful == 1
    assert server.messages("INVITE", sent=False)[0].start == f"INVITE sip:{NUMBER}@{MOBILE}:{bare.mobile} SIP/2.0"


def test_what_was_not_expected_is_shown(bare: Bare) -> None:
    with mobile(bare, Refuses(status=486)), pytest.raises(Unavailable, match=r"486 Busy Here"):
        call(bare, Call(expect=200)).check()


def test_a_silent_carrier_gets_nothing_answered(bare: Bare) -> None:
    with SilentServer(MOBILE, bare.mobile):
        call(bare, Call(expect=480)).check()


def test_the_caller_identity_reaches_asterisk(bare: Bare) -> None:
    scenario = Call(
        expect=403,
        display='Ann "[A]" \\ ]]> ${X}',
        from_host="anonymous.invalid",
        asserted_identity="+442079460999",
        privacy="id",
        diverted_from=("+441174960111", "+441174960112"),
    )
    call(bare, scenario, number=LOOKED_AT, caller="anonymous").check()
    line = next(line for line in bare.log.splitlines() if "num=" in line)
    assert "num=+442079460999" in line
    assert "pres=prohib" in line
    assert "from=+441174960111" in line


def test_texts_arrive_as_they_are(bare: Bare) -> None:
    display = 'A "[local_port]" \\ ]]> ${X} \u00e9'
    with mobile(bare, Answers()):
        calls = SippCalls(
            bare.asterisk.root,
            bare.home / "sipp",
            host=CARRIER,
            to=("127.0.0.1", bare.sip),
            numbers=[NUMBER],
            caller="+442079460123",
            scenario=Call(display=display),
            trace=True,
        )
        calls.wait().check()
    quoted = display.replace("\\", "\\\\").replace('"', '\\"')
    assert calls.messages("INVITE", sent=True)[0].get("From").startswith(f'"{quoted}" <sip:+442079460123@')
    assert calls.messages()[-1].status == 200


def test_a_phone_registers_takes_calls_and_places_them(bare: Bare) -> None:
    root, folder, to = bare.asterisk.root, bare.home / "sipp", ("127.0.0.1", bare.sip)
    port = free_ports(1, (PHONE,))[0]
    assert register_phone(root, folder, host=PHONE, port=port, to=to, scenario=Register(user="desk", secret="wrong", expect=401)).check().successful == 1
    call(bare, Call(expect=404), number=LANDLINE).check()
    register_phone(root, folder, host=PHONE, port=port, to=to, scenario=Register(user="desk", secret=PHONE_SECRET)).check()
    with SippServer(root, folder, host=PHONE, port=port, scenario=Answers(), trace=True) as phone:
        call(bare, Call(), number=LANDLINE).check()
        wait_until(lambda: phone.messages("OPTIONS", sent=False), 20, "Asterisk's OPTIONS")
    assert phone.stop().failed == 0
    with mobile(bare, Answers()):
        scenario = Call(user="desk", secret=PHONE_SECRET)
        SippCalls(root, folder, host=PHONE, port=port, to=to, numbers=[NUMBER], caller="desk", scenario=scenario).wait().check()
    assert all(PHONE_SECRET not in path.read_text(encoding="utf-8", errors="replace") for path in folder.glob("*/output"))
    assert {path.stat().st_mode & 0o077 for path in folder.glob("*/scenario.xml")} == {0}
    register_phone(root, folder, host=PHONE, port=port, to=to, scenario=Register(user="desk", secret=PHONE_SECRET, expires=0)).check()
    call(bare, Call(expect=404), number=LANDLINE).check()


def test_many_calls_at_a_rate_with_their_set_up_times(bare: Bare) -> None:
    numbers = [f"+4477009001{n:02d}" for n in range(10)]
    with mobile(bare, Answers()) as server:
        to = ("127.0.0.1", bare.sip)
        calls = SippCalls(
            bare.asterisk.root, bare.home / "sipp", host=CARRIER, to=to, numbers=numbers, caller=numbers, scenario=Call(), count=40, rate=20, timed=True
        )
        assert calls.running()
        seen = calls.wait().check()
        invites = server.messages("INVITE")
    assert (seen.successful, len(seen.setup_ms)) == (40, 40)
    assert all(0 < value < 10_000 for value in seen.setup_ms)
    assert {message.start.split(":")[1].split("@")[0] for message in invites} - {NUMBER} == set(numbers)  # NUMBER: still sent to the silent one


def test_calls_over_tcp(bare: Bare) -> None:
    with mobile(bare, Answers()):
        to = ("127.0.0.1", bare.sip)
        SippCalls(bare.asterisk.root, bare.home / "sipp", host=CARRIER, to=to, numbers=[NUMBER], scenario=Call(), transport="t1").wait().check()


def test_calls_that_do_not_end_are_ended(bare: Bare) -> None:
    with mobile(bare, Rings()):
        to = ("127.0.0.1", bare.sip)
        with SippCalls(bare.asterisk.root, bare.home / "sipp", host=CARRIER, to=to, numbers=[NUMBER], scenario=Call()) as calls:
            with pytest.raises(Unavailable, match="did not end"):
                calls.wait(timeout=0.5)
            assert not calls.running()


def test_nothing_listens_outside_loopback(bare: Bare) -> None:
    with mobile(bare, Answers()) as server:
        inodes = {link.readlink().name for link in Path(f"/proc/{server.pid}/fd").iterdir() if link.is_symlink()}
        sockets = [line.split() for kind in ("udp", "tcp") for line in Path(f"/proc/net/{kind}").read_text(encoding="ascii").splitlines()[1:]]
        mine = [fields[1] for fields in sockets if f"socket:[{fields[9]}]" in inodes]
        assert mine
        assert all(address.split(":")[0].endswith("7F") for address in mine)


def test_a_server_whose_port_is_taken_says_so(bare: Bare) -> None:
    with SilentServer(MOBILE, bare.mobile):
        server = mobile(bare, Answers())
        server.start()  # the port is open: it belongs to somebody else
        wait_until(lambda: "bind" in (server.folder / "output").read_text(encoding="utf-8", errors="replace").lower(), 20, "its complaint")
        server.kill()


def test_only_sensible_scenarios_are_made(asterisk_root: Root, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="refuses nothing"):
        SippServer(asterisk_root, tmp_path, host=MOBILE, port=1, scenario=Refuses(status=200))
    with pytest.raises(Invalid, match="loopback"):
        SippServer(asterisk_root, tmp_path, host="192.0.2.1", port=1, scenario=Answers())
    with pytest.raises(Invalid, match="line end"):
        place_call(asterisk_root, tmp_path, host=CARRIER, to=("127.0.0.1", 9), number="1;2", scenario=Call())
