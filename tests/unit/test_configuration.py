from __future__ import annotations

import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ari_app.configuration.files import changed, difference, locked, mask_secrets, read_files, write_files
from ari_app.configuration.gather import directories
from ari_app.configuration.reload import complaints, plan_reload
from ari_app.configuration.secrets import make_secrets
from ari_app.configuration.shown import shown_settings
from ari_app.configuration.verify import dialplan_size, listening
from ari_app.private.root import Root
from dialplan.render import SECRET_FILES, render
from retention.webhook.server import read_webhook_secret
from ringfence.errors import Conflict, Misconfigured
from ringfence.settings import Asterisk, Emergency, Settings, load_with_origins, read_secret
from tests.unit.test_render import CONF

ROOT = Root(path=None, version="22.10.1", modules_dir=Path("/usr/lib/m"), data_dir=Path("/usr/share/asterisk"), asterisk=(), sipp=())


def test_secrets_are_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    assert [made for _, made in make_secrets(settings)] == [True, True]
    secrets = [read_secret(settings.ari_secret_path), read_secret(settings.ami_secret_path)]
    assert secrets[0] != secrets[1]
    assert all(len(secret) >= 32 for secret in secrets)
    assert stat.S_IMODE(settings.ari_secret_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.ari_secret_path.parent.stat().st_mode) == 0o700
    assert [made for _, made in make_secrets(settings)] == [False, False]
    assert [read_secret(settings.ari_secret_path), read_secret(settings.ami_secret_path)] == secrets
    settings.ari_secret_path.chmod(0o644)
    with pytest.raises(Misconfigured, match="others can read"):
        make_secrets(settings)


def test_the_webhook_s_secret_is_made_when_the_settings_name_it(tmp_path: Path) -> None:
    path = tmp_path / "webhook"
    make_secrets(Settings(home=str(tmp_path), emergency=Emergency(webhook_port=9480, webhook_secret_file=str(path))))
    assert read_webhook_secret(path).decode() == read_secret(path)


def test_secrets_made_at_once_are_one(tmp_path: Path) -> None:
    code = (
        "import sys; from ari_app.configuration.secrets import make_secrets; from ringfence.settings import Settings; make_secrets(Settings(home=sys.argv[1]))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[2]) for _ in range(4)]
    assert [process.wait(30) for process in processes] == [0] * 4
    assert sorted(path.name for path in (tmp_path / "secrets").iterdir()) == ["ami", "ari"]
    assert len(read_secret(tmp_path / "secrets" / "ari")) >= 32


def test_files_are_written_whole_with_their_modes(tmp_path: Path) -> None:
    texts = render(CONF)
    folder = tmp_path / "etc"
    write_files(folder, dict(texts))
    assert read_files(folder, texts) == texts
    assert {path.name for path in folder.iterdir()} == set(texts)
    for name in texts:
        assert stat.S_IMODE((folder / name).stat().st_mode) == (0o600 if name in SECRET_FILES else 0o640)
    write_files(folder, {"acl.conf": None, "cdr.conf": "new\n"})
    assert changed(texts, read_files(folder, texts)) == ["acl.conf", "cdr.conf"]


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="ascii")
    with pytest.raises(Misconfigured, match="cannot write"):
        write_files(tmp_path / "file" / "etc", {"a": "b"})
    with pytest.raises(Misconfigured, match="cannot write"), locked(tmp_path / "file" / "etc"):
        pytest.fail("it was locked")


def test_the_lock_is_for_one_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(Conflict), locked(tmp_path):
        pytest.fail("it was locked twice")
    with locked(tmp_path):
        pass


def test_a_difference_shows_that_a_secret_changes_but_never_the_secret() -> None:
    before, after = {"ari.conf": "[x]\npassword = first-secret\nuser = a\n"}, {"ari.conf": "[x]\npassword = second-secret\nuser = a\n"}
    text = difference(after, dict(before))
    assert "-password = <secret " in text
    assert "+password = <secret " in text
    assert "first-secret" not in text
    assert "second-secret" not in text
    assert difference(before, dict(before)) == ""
    assert difference(after, {"ari.conf": None}).startswith("--- ari.conf (in place)")


def test_every_secret_that_is_rendered_is_masked() -> None:
    for name, text in render(CONF).items():
        masked = mask_secrets(text)
        for secret in ("ari-secret", "ami-secret", "a-pass", "0" * 32):
            assert secret not in masked, name


def test_what_makes_a_change_take_effect() -> None:
    before = render(CONF)
    everything = plan_reload(before, {}, list(before))
    assert {"res_pjsip.so", "pbx_config.so", "manager"} < set(everything.modules)
    assert {"asterisk.conf", "modules.conf", "http.conf", "pjsip.conf"} < set(everything.restart)
    moved = {**before, "pjsip.conf": before["pjsip.conf"].replace(":5061", ":5071")}
    assert plan_reload(moved, dict(before), ["pjsip.conf"]).restart == ("pjsip.conf",)
    other = {**before, "pjsip.conf": before["pjsip.conf"].replace("retry_interval = 30", "retry_interval = 60")}
    assert plan_reload(other, dict(before), ["pjsip.conf"]).restart == ()
    assert plan_reload(before, dict(before), []).modules == ()


def test_what_asterisk_says_of_files_is_told_from_what_calls_cause() -> None:
    log = (
        "[2026-11-21T10:00:00.000Z] ERROR[1] config.c: parse error: no closing ']', line 7 of extensions.conf\n"
        "[2026-11-21T10:00:00.000Z] WARNING[2][C-0000001a] app_dial.c: nothing to do with files\n"
        "[2026-11-21T10:00:00.000Z] NOTICE[3] res_pjsip/pjsip_distributor.c: Request 'INVITE' failed\n"
        "[2026-11-21T10:00:00.000Z] ERROR[4] res_sorcery_config.c: Could not create an object of type 'endpoint'\n"
    )
    assert [line.partition(":")[0] for line in complaints(log)] == ["config.c", "res_sorcery_config.c"]


def test_folders_of_a_node_and_of_a_packaged_asterisk(tmp_path: Path) -> None:
    own = directories(Settings(home=str(tmp_path)), ROOT)
    assert (own.etc, own.db, own.run) == (f"{tmp_path}/asterisk/etc", f"{tmp_path}/asterisk/db", f"{tmp_path}/asterisk/run")
    packaged = directories(Settings(home=str(tmp_path), asterisk=Asterisk(conf_dir="/etc/asterisk", log_dir="/var/log/asterisk")), ROOT)
    assert (packaged.etc, packaged.db, packaged.run, packaged.log) == ("/etc/asterisk", "/var/lib/asterisk", "/var/run/asterisk", "/var/log/asterisk")
    assert packaged.modules == own.modules == "/usr/lib/m"


def test_every_setting_is_shown_with_its_origin(tmp_path: Path) -> None:
    path = tmp_path / "ringfence.toml"
    path.write_text('node = "n7"\n[ari]\nport = 8099\n', encoding="utf-8")
    settings, origins = load_with_origins(path, {"RINGFENCE_AMI__PORT": "5039"})
    shown = {setting.key: setting for setting in shown_settings(settings, origins)}
    assert (shown["node"].value, shown["node"].origin) == ("n7", str(path))
    assert (shown["ari.port"].value, shown["ari.port"].origin) == (8099, str(path))
    assert (shown["ami.port"].value, shown["ami.port"].origin) == (5039, "RINGFENCE_AMI__PORT")
    assert shown["agi.port"].origin == "default"


def test_the_size_of_a_dialplan_is_counted() -> None:
    assert dialplan_size("[general]\nstatic = yes\n[a]\nexten => s,1,NoOp()\n same => n,Hangup()\n[b]\ninclude => a\n") == {"a": 2, "b": 0}


def test_a_listening_port_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert [str(address) for address in listening(server.getsockname()[1])] == ["127.0.0.1"]
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        assert [str(address) for address in listening(server.getsockname()[1])] == ["::1"]
    assert listening(1) == []
