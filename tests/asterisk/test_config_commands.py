"""`ringfence config …` on a running node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from ari_app.private.root import Root
from ringfence.clock import SystemClock
from ringfence.queries.trunks import set_trunk
from ringfence.settings import read_secret
from tests.asterisk.commands import Shell
from tests.asterisk.rendered import Rendered

pytestmark = pytest.mark.asterisk


@pytest.fixture(scope="module")
def node(asterisk_root: Root, asterisk_home: Path) -> Iterator[Rendered]:
    rendered = Rendered(asterisk_root, asterisk_home)
    rendered.start()
    yield rendered
    rendered.stop()


@pytest.fixture
def config(node: Rendered, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(node, capsys, "config")


def test_a_change_is_shown_applied_and_verified(node: Rendered, config: Shell) -> None:
    assert config("diff") == (0, "", "no difference\n")
    with Session(node.engine) as session:
        set_trunk(session, SystemClock(), "carrier-a", match=["127.0.0.7"])
        session.commit()
    code, out, _ = config("diff")
    assert code == 5
    assert "-match = 127.0.0.2\n+match = 127.0.0.7\n" in out
    code, out, _ = config("verify", "--json")
    assert code == 5
    assert {row["check"]: row["problem"] for row in json.loads(out)}["files"] == "differ from what would be rendered: pjsip.conf"
    code, out, err = config("apply")
    assert code == 0
    assert "999 must be tested: no test was ever passed; run 'ringfence emergency test'" in err
    assert out.startswith("changed: pjsip.conf\nreloaded and verified: res_pjsip.so")
    assert config("apply")[:2] == (0, "nothing has changed\n")
    done = json.loads(config("apply", "--json")[1])
    assert [each["cause"] for each in done.pop("tests_due")] == ["never_tested"]
    assert done == {"changed": [], "reloaded": [], "restart": [], "running": True}
    code, out, _ = config("verify", "--json")
    assert {row["check"] for row in json.loads(out) if not row["ok"]} == {"ari app"}  # none is started in this test


def test_render_writes_elsewhere_and_lists(node: Rendered, config: Shell, tmp_path: Path) -> None:
    code, out, _ = config("render")
    assert code == 0
    assert "pjsip.conf" in out
    assert config("render", "--out", str(tmp_path / "etc"))[0] == 0
    assert (tmp_path / "etc" / "pjsip.conf").read_text(encoding="utf-8") == node.texts()["pjsip.conf"]


def test_no_secret_is_ever_shown(node: Rendered, config: Shell) -> None:
    secrets = [read_secret(node.settings.ari_secret_path), read_secret(node.settings.ami_secret_path)]
    (node.settings.conf_dir / "manager.conf").unlink()
    shown = [config(*arguments) for arguments in (("secrets",), ("show",), ("show", "--json"), ("render",), ("diff",), ("apply",))]
    text = "".join(out + err for _, out, err in shown)
    assert "<secret " in text
    assert not [secret for secret in secrets if secret in text]


def test_a_template_that_names_no_variable_changes_nothing(node: Rendered, config: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    templates = tmp_path / "dialplan" / "templates"
    templates.mkdir(parents=True)
    (templates / "rtp.conf.j2").write_text("rtpstart = {{ rtp_begin }}\n", encoding="utf-8")
    monkeypatch.setattr("dialplan.render.resources.files", lambda _package: tmp_path / "dialplan")
    before = (node.settings.conf_dir / "rtp.conf").read_text(encoding="utf-8")
    code, _, err = config("apply")
    assert code == 78
    assert "rtp_begin" in err
    assert (node.settings.conf_dir / "rtp.conf").read_text(encoding="utf-8") == before


def test_without_asterisk_the_files_wait_for_its_start(node: Rendered, config: Shell) -> None:
    node.asterisk.stop()
    with Session(node.engine) as session:
        set_trunk(session, SystemClock(), "carrier-a", match=["127.0.0.2"])
        session.commit()
    code, out, err = config("apply")
    assert (code, out) == (0, "changed: pjsip.conf\n")
    assert "reads the files when it starts" in err
    assert config("verify")[0] == 69
    node.start()
    assert config("diff")[0] == 0
