from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ari_app.private import apt, root
from ari_app.private.apt import PrivateApt, mirrors
from ari_app.private.progress import shown_progress
from ari_app.private.root import Root, cache_folder, ensure_root, private_root
from ringfence.errors import Misconfigured, Unavailable

NOWHERE = "file:///nonexistent/debian"


def silent(_what: str, _share: float | None) -> None:
    """Show nothing."""


def program(folder: Path, name: str, says: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Asterisk and SIPp of its own, and an empty cache."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(root, "_SYSTEM_PATH", str(programs))
    monkeypatch.setenv("RF_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("RF_APT_SITE", NOWHERE)
    return programs


def made_root(folder: Path, asterisk_root: Root) -> Path:
    """A private root in `folder`, standing on the files of the machine's real one."""
    folder.mkdir(parents=True)
    real = asterisk_root.modules_dir.parents[4] if asterisk_root.path is None else asterisk_root.path
    (folder / "usr").symlink_to(real / "usr")
    (folder / "ringfence-root.json").write_text('{"version":"22.10.1"}', encoding="utf-8")
    return folder


@pytest.mark.usefixtures("machine")
def test_the_root_in_the_cache_is_used_at_once(asterisk_root: Root) -> None:
    made_root(cache_folder() / "root", asterisk_root)
    found = ensure_root(progress=silent)
    assert (found.path, found.version) == (cache_folder() / "root", "22.10.1")
    assert found.asterisk_command("-V")[-2:] == [str(cache_folder() / "root/usr/sbin/asterisk"), "-V"]
    assert subprocess.run(found.asterisk_command("-V"), capture_output=True, check=True).stdout.startswith(b"Asterisk 22")
    assert b"SIPp v3" in subprocess.run(found.sipp_command("-v"), capture_output=True, check=False).stdout
    assert (found.modules_dir / "chan_pjsip.so").is_file()
    assert (found.data_dir / "documentation").is_dir()


@pytest.mark.parametrize("version", ["Asterisk 20.4.0", "Asterisk 22.9.9", "Asterisk certified/18.9-cert5", "Asterisk", ""])
def test_an_asterisk_too_old_is_passed_over(machine: Path, asterisk_root: Root, version: str) -> None:
    made_root(cache_folder() / "root", asterisk_root)
    program(machine, "asterisk", version)
    assert ensure_root(progress=silent).path == cache_folder() / "root"


def test_the_machines_own_asterisk_is_preferred(machine: Path, asterisk_root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    made_root(cache_folder() / "root", asterisk_root)
    program(machine, "asterisk", "Asterisk 23.1.0~dfsg")
    (machine.parent / "usr/lib/asterisk/modules").mkdir(parents=True)
    (machine.parent / "usr/share/asterisk").mkdir(parents=True)
    monkeypatch.setattr(root, "_SYSTEM_ROOT", machine.parent)
    found = ensure_root(progress=silent)
    assert (found.path, found.version, found.asterisk) == (None, "23.1.0", (str(machine / "asterisk"),))
    assert found.sipp[-1] == str(cache_folder() / "root/usr/bin/sipp")
    program(machine, "sipp", "SIPp")
    assert ensure_root(progress=silent).sipp == (str(machine / "sipp"),)


def test_the_machines_own_sipp_goes_with_a_private_asterisk(machine: Path, asterisk_root: Root) -> None:
    made_root(cache_folder() / "root", asterisk_root)
    program(machine, "sipp", "SIPp")
    found = ensure_root(progress=silent)
    assert (found.path, found.sipp) == (cache_folder() / "root", (str(machine / "sipp"),))


@pytest.mark.usefixtures("machine")
def test_a_failed_download_says_why_and_leaves_nothing() -> None:
    said: list[str] = []
    with pytest.raises(Unavailable, match="apt failed while reading the list of packages") as caught:
        ensure_root(progress=lambda what, _share: said.append(what))
    assert "RF_APT_SITE" in caught.value.hint
    assert set(said) == {"reading the list of packages"}
    assert [path.name for path in cache_folder().iterdir()] == ["lock"]


@pytest.mark.usefixtures("machine")
def test_what_an_interrupted_download_left_is_cleared() -> None:
    (cache_folder() / "fetch-abandoned" / "root").mkdir(parents=True)
    (cache_folder() / "root").mkdir()
    with pytest.raises(Unavailable):
        ensure_root(progress=silent)
    assert [path.name for path in cache_folder().iterdir()] == ["lock"]


@pytest.mark.usefixtures("machine")
def test_two_runs_at_once_fetch_once(asterisk_root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[Path] = []
    waiting = threading.Event()

    def fetch(_folder: Path, target: Path, _progress: apt.Progress) -> None:
        waiting.wait(10)
        made_root(target, asterisk_root)
        fetched.append(target)

    def second(what: str, _share: float | None) -> None:
        assert "waiting" in what
        waiting.set()

    monkeypatch.setattr(root, "_fetch", fetch)
    found: list[Root] = []
    threads = [threading.Thread(target=lambda: found.append(ensure_root(progress=second))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (len(fetched), len(found)) == (1, 2)


def test_a_machine_without_apt_is_told_what_to_install(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine))
    with pytest.raises(Misconfigured, match=r"no Asterisk 22\.10\.1 or newer.*apt-get") as caught:
        ensure_root(progress=silent)
    assert "asterisk.conf_dir" in caught.value.hint


@pytest.mark.usefixtures("machine")
def test_a_full_disk_is_said_before_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root, "_NEEDED_BYTES", 1 << 60)
    with pytest.raises(Unavailable, match="MB free"):
        ensure_root(progress=silent)


def test_a_folder_that_is_no_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no private Asterisk"):
        private_root(tmp_path)
    (tmp_path / "ringfence-root.json").write_text('{"version":"22.10.1"}', encoding="utf-8")
    with pytest.raises(Misconfigured, match="no loader"):
        private_root(tmp_path)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RF_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "ringfence"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "ringfence"


def test_mirrors_come_from_apts_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RF_APT_SITE", raising=False)
    program(
        tmp_path,
        "apt-get",
        """'https://packages.example.com/linux/debian/dists/bookworm/InRelease' packages.example.com_dists_InRelease 0
'http://security.example.org/debian-security/dists/bookworm-security/InRelease' x 0
'http://mirror.example.org/debian/dists/bookworm/InRelease' x 0
'http://mirror.example.org/debian/dists/bookworm-updates/InRelease' x 0
'cdrom:[Debian]/dists/bookworm/InRelease' x 0""",
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert mirrors() == ["http://mirror.example.org/debian", "https://packages.example.com/linux/debian"]


def test_apt_without_a_mirror_names_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RF_APT_SITE", raising=False)
    program(tmp_path / "bin", "apt-get", "")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(Misconfigured, match="no mirror") as caught:
        PrivateApt(tmp_path, "forky", progress=silent).download(("asterisk",))
    assert "RF_APT_SITE" in caught.value.hint


def test_a_missing_keyring_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RF_APT_KEYRING", str(tmp_path / "absent.gpg"))
    with pytest.raises(Misconfigured, match="keyring"):
        PrivateApt(tmp_path, "forky", progress=silent)


def test_the_settings_written_for_apt_hold_the_machines_proxy_and_no_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin", "apt-config", 'Acquire::http::Proxy "http://user:pass@proxy.example.com:3128";\nAPT::Update::Post-Invoke:: "touch /tmp/x";')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("RF_APT_SITE", NOWHERE)
    with pytest.raises(Unavailable):
        PrivateApt(tmp_path, "forky", progress=silent).download(("asterisk",))
    settings = tmp_path / "apt.conf"
    assert 'Acquire::http::Proxy "http://user:pass@proxy.example.com:3128";' in settings.read_text(encoding="utf-8")
    assert "Post-Invoke" not in settings.read_text(encoding="utf-8")
    assert settings.stat().st_mode & 0o077 == 0


def test_progress_is_plain_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as progress:
        for share in (None, 0.1, 0.3, 0.31, 0.6, 1.0):
            progress("downloading packages", share)
    assert capfd.readouterr().err.splitlines() == [f"downloading packages{end}" for end in ("...", ": 25 %", ": 50 %", ": 100 %")]


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with shown_progress() as progress:
        progress("reading", None)
        progress("unpacking", 0.5)
        progress("unpacking", 1.0)
    shown = capfd.readouterr().err
    assert "reading" in shown
    assert "100%" in shown


def test_the_module_says_where_asterisk_is(asterisk_root: Root, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "ari_app.private"], capture_output=True, text=True, check=True)
    assert done.stdout == f"Asterisk {asterisk_root.version}: {asterisk_root.path or asterisk_root.asterisk[-1]}\n"
    nothing = os.environ | {"PATH": str(tmp_path), "RF_CACHE_DIR": str(tmp_path / "cache")}
    failed = subprocess.run([sys.executable, "-m", "ari_app.private"], capture_output=True, text=True, check=False, env=nothing)
    assert failed.returncode == Misconfigured.exit_code
    assert "apt-get" in failed.stderr


FAKE_APT = """#!{python}
import os, shutil, sys
status = next((int(word.partition("=")[2]) for word in sys.argv if word.startswith("APT::Status-Fd=")), None)
if status is not None:
    os.write(status, b"dlstatus:1:50.0000:Retrieving file 1 of 2\\npmstatus:dpkg:90:Running\\n")
if "install" in sys.argv:
    shutil.copy("{package}", "cache/archives/")
if "download" in sys.argv:
    shutil.copy("{package}", ".")
"""


def test_packages_are_downloaded_and_laid_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    (source / "DEBIAN").mkdir(parents=True)
    (source / "DEBIAN/control").write_text("Package: hello\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.com>\nDescription: a\n", encoding="utf-8")
    (source / "usr").mkdir()
    (source / "usr/hello").write_text("hello", encoding="utf-8")
    package = tmp_path / "hello_1_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", str(source), str(package)], check=True, capture_output=True)
    program(tmp_path / "bin", "apt-get", "")
    (tmp_path / "bin/apt-get").write_text(FAKE_APT.format(python=sys.executable, package=package), encoding="utf-8")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("RF_APT_SITE", NOWHERE)
    work, said = tmp_path / "work", set[tuple[str, float | None]]()
    work.mkdir()
    fetcher = PrivateApt(work, "forky", progress=lambda what, share: said.add((what, share)))
    files = fetcher.download(("hello",))
    assert [file.name for file in files] == ["hello_1_all.deb"]
    assert fetcher.download_only("hello") == work / "hello_1_all.deb"
    fetcher.unpack(files, work / "root")
    assert (work / "root/usr/hello").read_text(encoding="utf-8") == "hello"
    assert {("downloading packages", 0.5), ("unpacking", 1.0)} <= said
    (work / "broken.deb").write_bytes(b"no package")
    with pytest.raises(Unavailable, match="cannot be unpacked"):
        fetcher.unpack([work / "broken.deb"], work / "root")


def test_a_debian_that_has_only_an_older_asterisk_is_said(machine: Path, asterisk_root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    class OldApt:
        def __init__(self, folder: Path, _suite: str, *, progress: apt.Progress) -> None:
            progress(str(folder), None)

        def download(self, packages: tuple[str, ...]) -> list[Path]:
            assert packages == root.PACKAGES
            return []

        def unpack(self, _files: list[Path], folder: Path) -> None:
            made_root(folder, asterisk_root)

    program(machine, "asterisk", "")
    monkeypatch.setattr(root, "PrivateApt", OldApt)
    monkeypatch.setattr(root, "OLDEST", (99, 0, 0))
    with pytest.raises(Unavailable, match=r"no Asterisk of at least 99\.0\.0"):
        ensure_root(progress=silent)
    assert [path.name for path in cache_folder().iterdir()] == ["lock"]


def test_a_fetched_root_is_moved_into_its_place(tmp_path: Path, asterisk_root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    class Apt:
        def __init__(self, _folder: Path, _suite: str, *, progress: apt.Progress) -> None:
            progress("", None)

        def download(self, _packages: tuple[str, ...]) -> list[Path]:
            return []

        def unpack(self, _files: list[Path], folder: Path) -> None:
            made_root(folder, asterisk_root)
            (folder / "ringfence-root.json").unlink()

    monkeypatch.setattr(root, "PrivateApt", Apt)
    monkeypatch.setattr(root, "_which", lambda _program: None)
    monkeypatch.setenv("RF_CACHE_DIR", str(tmp_path))
    found = ensure_root(progress=silent)
    assert (found.path, found.version) == (tmp_path / "root", asterisk_root.version)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "root"]
