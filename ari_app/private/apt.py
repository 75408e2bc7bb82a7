"""Packages fetched by apt as an ordinary user, into a folder of their own; the machine's package database is only read.

Standard library only: the set-up of a new machine runs this before anything is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from ringfence.errors import Misconfigured, Unavailable

Progress = Callable[[str, float | None], None]
"""Told what is being done, and how much of it as 0.0 to 1.0; None when that is not known."""

KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp")
_NEEDED = ("apt-get", "apt-config", "dpkg-deb")
_INDEX = re.compile(r"'(?P<site>\S+?)/dists/(?P<suite>\S+)/InRelease'")
_NETWORK = re.compile(r"Acquire::(?!IndexTargets|Languages|Changelogs|cdrom)", re.IGNORECASE)  # proxies, time-outs, what may be expired
_DOWNLOADED = re.compile(r"dlstatus:\d+:(?P<percent>[0-9.]+):")


class PrivateApt:
    """An apt that reads its own settings and lists, and believes that nothing is installed.

    Args:
        folder: everything is written below it; it exists.
        suite: Debian's name of the release, such as `forky`.
        progress: told what happens.

    Raises:
        Misconfigured: this machine has no apt, or no keyring of Debian's.
    """

    def __init__(self, folder: Path, suite: str, *, progress: Progress) -> None:
        missing = [name for name in _NEEDED if shutil.which(name) is None]
        if missing:
            raise Misconfigured(f"this machine has no {missing[0]}", hint="packages can be fetched on Debian and its descendants only")
        self._folder = folder
        self._suite = suite
        self._progress = progress
        self._keyring = _keyring()

    def download(self, packages: tuple[str, ...]) -> list[Path]:
        """Return the .deb files of the packages and of everything they depend on, signatures checked.

        Raises:
            Unavailable: no mirror that this machine is set up with could be read, or a download failed.
            Misconfigured: apt names no mirror.
        """
        self._update()
        archives = self._folder / "cache" / "archives"
        self._apt("downloading packages", "install", "-y", "--download-only", *packages)
        return sorted(archives.glob("*.deb"))

    def download_only(self, package: str) -> Path:
        """Return the .deb file of one package, without those it depends on."""
        self._update()
        before = set(self._folder.glob("*.deb"))
        self._apt(f"downloading {package}", "download", package)
        return (set(self._folder.glob("*.deb")) - before).pop()

    def unpack(self, files: list[Path], root: Path) -> None:
        """Lay the files of the packages out below `root`; their install scripts are not run."""
        root.mkdir(parents=True, exist_ok=True)
        for number, file in enumerate(files):
            self._progress("unpacking", number / len(files))
            done = subprocess.run(["dpkg-deb", "-x", str(file), str(root)], capture_output=True, text=True, check=False)
            if done.returncode:
                raise Unavailable(f"{file.name} cannot be unpacked: {done.stderr.strip()}", hint="is the disk full?")
        self._progress("unpacking", 1.0)

    def _update(self) -> None:
        failure: Unavailable | None = None
        for site in mirrors():
            self._write_settings(site)
            try:
                self._apt("reading the list of packages", "update", "--error-on=any")
            except Unavailable as error:
                failure = error
            else:
                return
        raise failure or Misconfigured("apt names no mirror of Debian", hint="set RF_APT_SITE to the address of one, or add it to /etc/apt/sources.list.d")

    def _write_settings(self, site: str) -> None:
        for name in ("state/lists/partial", "cache/archives/partial", "log"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        (self._folder / "sources.list").write_text(f"deb [signed-by={self._keyring}] {site} {self._suite} main\n", encoding="utf-8")
        lines = {
            "Dir::State": self._folder / "state",
            "Dir::State::Lists": self._folder / "state" / "lists",
            "Dir::State::status": self._folder / "status",
            "Dir::Cache": self._folder / "cache",
            "Dir::Log": self._folder / "log",
            "Dir::Etc::SourceList": self._folder / "sources.list",
            "Dir::Etc::SourceParts": "-",
            "Dir::Etc::Main": "-",  # the machine's hooks stay out; its way to the network is copied below
            "Dir::Etc::Parts": "-",
            "Dir::Etc::Preferences": "-",
            "Dir::Etc::PreferencesParts": "-",
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",  # matters only to root: who owns the folder downloads
            "Acquire::Languages": "none",
            "Debug::NoLocking": "1",
        }
        text = "".join(f'{key} "{value}";\n' for key, value in lines.items()) + _network_settings()
        settings = self._folder / "apt.conf"
        settings.touch(mode=0o600)  # a proxy's address may carry a password
        settings.write_text(text, encoding="utf-8")

    def _apt(self, what: str, *arguments: str) -> None:
        self._progress(what, None)
        reader, writer = os.pipe()
        command = ["apt-get", "-q", "-o", f"APT::Status-Fd={writer}", *arguments]
        environment = os.environ | {"APT_CONFIG": str(self._folder / "apt.conf"), "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        said = self._folder / "apt.output"
        with said.open("w+b") as output, os.fdopen(reader, encoding="utf-8", errors="replace") as status:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=(writer,), env=environment, cwd=self._folder)
            os.close(writer)
            try:
                for line in status:
                    if found := _DOWNLOADED.match(line):
                        self._progress(what, float(found["percent"]) / 100)
                process.wait()
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
        if process.returncode:
            text = said.read_text(encoding="utf-8", errors="replace")
            reasons = [line for line in text.splitlines() if line.startswith(("E:", "Err:"))] or text.splitlines()[-3:]
            raise Unavailable(f"apt failed while {what}: {' '.join(reasons)}", hint="is the network up? RF_APT_SITE can name another mirror of Debian")


def mirrors() -> list[str]:
    """Return the addresses that this machine's apt reads packages from, the likeliest mirror of Debian first; RF_APT_SITE overrides.

    Asked as `apt-get update --print-uris`, which answers from the settings alone, before any list was fetched.
    """
    if os.environ.get("RF_APT_SITE"):
        return [os.environ["RF_APT_SITE"].rstrip("/")]
    done = subprocess.run(["apt-get", "update", "--print-uris"], capture_output=True, text=True, check=False)
    found = {match["site"]: None for match in _INDEX.finditer(done.stdout) if not match["site"].startswith("cdrom:")}
    sites = [site for site in found if not site.endswith("-security")]
    return sorted(sites, key=lambda site: (not site.endswith("/debian"), len(urlsplit(site).path)))[:3]


def _network_settings() -> str:
    done = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True)
    return "".join(f"{line}\n" for line in done.stdout.splitlines() if _NETWORK.match(line))


def _keyring() -> str:
    named = os.environ.get("RF_APT_KEYRING")
    for path in (named,) if named else KEYRINGS:
        if Path(path).is_file():
            return path
    raise Misconfigured("Debian's archive keyring is missing", hint="install debian-archive-keyring, or set RF_APT_KEYRING to its file")
