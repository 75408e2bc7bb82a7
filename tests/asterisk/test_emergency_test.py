"""`ringfence emergency test`: what it finds right, what it finds wrong, and that nothing of it leaves this machine."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

import dialplan
from ari_app.configuration.files import write_files
from ari_app.private.node import wait_until
from ari_app.private.root import Root
from dialplan.emergency.state import AddressEvent
from ringfence.clock import SystemClock
from ringfence.models import EmergencyTest
from ringfence.queries.accounts import add_endpoint
from ringfence.queries.numbering import add_did, assign_did
from ringfence.queries.trunks import set_trunk
from ringfence.values import E164, EmergencyLocation, NumberClass, NumberFormat, Transport
from tests.asterisk.commands import Shell
from tests.asterisk.rendered import SITE, WAYS, Rendered
from tests.database.addressing import enter, happen

pytestmark = pytest.mark.asterisk

CHECKS = [
    "running Asterisk",
    "twin's dialplan",
    "registration",
    "999 by the first trunk",
    "112 by the first trunk",
    "18000 by the first trunk",
    "number of the site",
    "never withheld",
    "second-999 when first-999 refuse",
    "every trunk twice, then 503",
    "location only where asked",
]
OUTSIDE = ("192.0.2.77", "emergency.example.com")
HA1 = hashlib.md5(b"lobby:ringfence:another", usedforsecurity=False).hexdigest()


@pytest.fixture(scope="module")
def node(asterisk_root: Root, asterisk_home: Path) -> Iterator[Rendered]:
    """Emergency trunks to hosts that are not ours, with forms of numbers of their own; the second asks for addresses. Of two sites one has two phones."""
    rendered = Rendered(asterisk_root, asterisk_home)
    clock = SystemClock()
    with Session(rendered.engine) as session:
        for host, name, form in zip(OUTSIDE, WAYS, (NumberFormat.NATIONAL, NumberFormat.E164), strict=True):
            set_trunk(session, clock, name, host=host, number_format=form)
        set_trunk(session, clock, WAYS[1], transport=Transport.TCP, emergency_location=EmergencyLocation.CIVIC)
        other = E164("+442079460124")
        add_did(session, clock, other, NumberClass.GEOGRAPHIC)
        assign_did(session, clock, other, "ACME-1")
        for name in ("lobby", "attic"):
            add_endpoint(session, clock, name, "ACME-1", caller_did=None, emergency_did=other, ha1=HA1)
        session.commit()
        for did in (SITE, other):
            record = enter(session, clock, did, name="O'Example & Sons", bussuffix="Ltd")
            happen(session, clock, record, AddressEvent.SENT)
    rendered.start()
    yield rendered
    rendered.stop()


@pytest.fixture
def ringfence(node: Rendered, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(node, capsys)


def held(node: Rendered) -> int:
    with Session(node.engine) as session:
        return session.scalar(select(func.count()).select_from(EmergencyTest)) or 0


def test_what_is_due_is_walked_and_written_down_and_due_no_more(ringfence: Shell) -> None:
    assert "999 must be tested: no test was ever passed" in ringfence("config", "apply")[2]
    assert [each["status"] for each in ringfence.read("emergency", "tests")["due"]] == ["due"]
    code, out, err = ringfence("emergency", "test", "--by", "kim", "--json")
    found = json.loads(out)
    assert (code, [row["check"] for row in found["checks"]]) == (0, CHECKS)
    assert [row["problem"] for row in found["checks"]] == [""] * len(CHECKS)
    assert (found["result"], found["sites"], found["sites_in_all"], found["still_due"]) == ("passed", 2, 2, [])
    assert "dialling 18000" in err
    tests = ringfence.read("emergency", "tests")
    assert tests["due"] == []
    assert [(test["id"], test["how"], test["result"], test["by"], test["due"]) for test in tests["held"]] == [
        (found["id"], "walked", "passed", "kim", ["never_tested"])
    ]
    assert "must be tested" not in ringfence("config", "apply")[2]
    assert {row["check"]: row["ok"] for row in ringfence.read("config", "verify")}["emergency test"] is True


def test_what_is_not_in_place_is_not_tested(node: Rendered, ringfence: Shell) -> None:
    before = held(node)
    with Session(node.engine) as session:
        set_trunk(session, SystemClock(), WAYS[0], port=5077)
        session.commit()
    code, out, err = ringfence("emergency", "test")
    assert (code, out) == (5, "")
    assert "'ringfence config apply' first" in err
    assert held(node) == before
    assert "999 must be tested: the emergency trunks changed" in ringfence("config", "apply")[2]
    assert [each["cause"] for each in ringfence.read("emergency", "tests")["due"]] == ["trunks"]


def test_what_is_wrong_is_found_and_satisfies_nothing(node: Rendered, ringfence: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The templates are spoilt: no P-Asserted-Identity, one round only, and a location for everybody."""
    templates = tmp_path / "dialplan" / "templates"
    shutil.copytree(Path(dialplan.__file__).parent / "templates", templates, ignore=shutil.ignore_patterns("systemd"))
    for name, before, after in (
        ("pjsip.conf.j2", "send_pai = yes", "send_pai = no"),
        ("extensions.conf.j2", "{% for again in (false, true) %}", "{% for again in (false,) %}"),
        ("extensions.conf.j2", ",^{{ emergency_wait }},i{{", ",^{{ emergency_wait }},ib(spoilt^s^1){{"),
        ("extensions.conf.j2", "[finish]", "[spoilt]\nexten => s,1,Set(PJSIP_HEADER(add,Geolocation)=<cid:x>)\n same => n,Return()\n\n[finish]"),
    ):
        text = (templates / name).read_text(encoding="utf-8")
        assert before in text
        (templates / name).write_text(text.replace(before, after), encoding="utf-8")
    monkeypatch.setattr("dialplan.render.resources.files", lambda _package: tmp_path / "dialplan")
    write_files(node.settings.conf_dir, dict(node.texts()))  # 'config apply' would not have it
    code, out, _ = ringfence("emergency", "test", "--sites", "1", "--json")
    found = json.loads(out)
    wrong = {row["check"]: row["problem"] for row in found["checks"] if not row["ok"]}
    assert (code, found["result"], found["sites"]) == (5, "failed", 1)
    assert set(wrong) == {
        "twin's dialplan",
        "number of the site",
        "never withheld",
        "second-999 when first-999 refuse",
        "every trunk twice, then 503",
        "location only where asked",
    }
    assert "P-Asserted-Identity of " in wrong["number of the site"]
    assert wrong["every trunk twice, then 503"] == "first-999 got 1 call(s) instead of 2; second-999 got 1 call(s) instead of 2"
    assert wrong["location only where asked"].startswith("first-999 was told where ")
    assert "2079460" not in out
    tests = ringfence.read("emergency", "tests")
    assert [each["cause"] for each in tests["due"]] == ["trunks"]
    assert [row["check"] for row in tests["held"][0]["checks"] if not row["ok"]] == [check for check in CHECKS if check in wrong]
    monkeypatch.undo()
    assert ringfence("config", "apply")[0] == 0


def test_one_that_the_carrier_held_is_written_down_by_hand(ringfence: Shell) -> None:
    code, out, _ = ringfence("emergency", "record-test", "--result", "passed", "--by", "kim", "--note", "reference 4711")
    assert code == 0
    assert "no test is due" in out
    newest = ringfence.read("emergency", "tests")["held"][0]
    assert (newest["how"], newest["result"], newest["by"], newest["note"], newest["checks"]) == ("carrier", "passed", "kim", "reference 4711", [])
    assert ringfence("emergency", "record-test", "--result", "passed", "--note", "x" * 201)[0] == 2


def test_when_it_is_told_to_end_nothing_is_left(node: Rendered, tmp_path: Path) -> None:
    settings, before = node.settings, held(node)
    values = {"HOME": settings.home, "ASTERISK__ROOT": settings.asterisk.root, "ASTERISK__SIP_PORT": settings.asterisk.sip_port}
    values |= {"ASTERISK__RTP_START": settings.asterisk.rtp_start, "ASTERISK__RTP_END": settings.asterisk.rtp_end, "ASTERISK__QUALIFY_SECONDS": 0}
    values |= {"ARI__PORT": settings.ari.port, "AMI__PORT": settings.ami.port, "AGI__PORT": settings.agi.port}
    environment = {**os.environ, "TMPDIR": str(tmp_path), **{f"RINGFENCE_{name}": str(value) for name, value in values.items()}}
    command = [sys.executable, "-P", "-m", "cli", "emergency", "test"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "dialling 112" in line:
                break
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(20) == 130
    wait_until(lambda: not left_over(tmp_path), 5, "every process to be gone")
    assert list(tmp_path.iterdir()) == []
    assert held(node) == before


def left_over(folder: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in os.readlink(path / "cwd") or str(folder).encode() in (path / "cmdline").read_bytes():  # noqa: PTH115  /proc's links
                found.append(path.name)
        except OSError:
            continue
    return found
