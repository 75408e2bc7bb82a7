"""Where Asterisk and SIPp are on this machine: its own packages, or a private root that apt filled without root's rights."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ari_app.private.apt import PrivateApt, Progress
from ringfence.errors import Misconfigured, Unavailable

OLDEST = (22, 10, 1)  # the first Asterisk with the JSON ledger and REST over the WebSocket as this project needs them
SUITE = "forky"  # the first Debian release that has it
PACKAGES = ("asterisk", "sip-tester")
_MANIFEST = "ringfence-root.json"
_NEEDED_BYTES = 600_000_000
_SYSTEM_ROOT = Path("/")
_SYSTEM_PATH = os.pathsep.join(("/usr/local/sbin", "/usr/sbin", "/sbin"))  # not on the PATH of Debian's ordinary users
_MODULES = ("usr/lib/*-linux-gnu*/asterisk/modules", "usr/lib64/asterisk/modules", "usr/lib/asterisk/modules")
_DATA = ("usr/share/asterisk", "var/lib/asterisk")


class Root(msgspec.Struct, frozen=True):
    """A usable Asterisk and SIPp."""

    path: Path | None  # folder of the private root; None when Asterisk is the machine's own
    version: str  # Asterisk's, such as '22.10.1'
    modules_dir: Path
    data_dir: Path
    asterisk: tuple[str, ...]  # command line without arguments
    sipp: tuple[str, ...]

    def asterisk_command(self, *arguments: str) -> list[str]:
        """Return the command line that runs Asterisk's binary."""
        return [*self.asterisk, *arguments]

    def sipp_command(self, *arguments: str) -> list[str]:
        """Return the command line that runs SIPp."""
        return [*self.sipp, *arguments]


class _Manifest(msgspec.Struct, frozen=True):
    version: str


def ensure_root(*, progress: Progress) -> Root:
    """Return the Asterisk and SIPp to use, fetching them first when the machine has none.

    The machine's own Asterisk is taken when it is new enough; what is missing comes from a private root, which is kept in
    `cache_folder()` and made only once. The root appears there by one rename, so an interrupted download leaves no half of it.

    Args:
        progress: called only while something is fetched, or another process that fetches is waited for.

    Raises:
        Misconfigured: nothing is installed and this machine has no apt.
        Unavailable: the download failed.
    """
    own = own_asterisk()
    sipp = _which("sipp")
    if own and sipp:
        return msgspec.structs.replace(own, sipp=(sipp,))
    private = private_root(_ensure_cached(progress))
    if own:
        return msgspec.structs.replace(own, sipp=private.sipp)
    return msgspec.structs.replace(private, sipp=(sipp,)) if sipp else private


def private_root(path: Path) -> Root:
    """Return the root unpacked at `path`.

    Raises:
        Misconfigured: it is not one that `ensure_root` made.
    """
    try:
        manifest = msgspec.json.decode((path / _MANIFEST).read_bytes(), type=_Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise Misconfigured(f"there is no private Asterisk in {path}", hint="run 'make setup', or clear asterisk.root in the settings") from error
    run = _loader(path)
    return Root(
        path=path,
        version=manifest.version,
        modules_dir=_first(path, _MODULES),
        data_dir=_first(path, _DATA),
        asterisk=(*run, str(path / "usr/sbin/asterisk")),
        sipp=(*run, str(path / "usr/bin/sipp")),
    )


def with_sipp(root: Root) -> Root:
    """Return the root with a SIPp: its own, else the machine's.

    Raises:
        Misconfigured: there is none.
    """
    if root.sipp and Path(root.sipp[-1]).is_file():
        return root
    found = _which("sipp")
    if found is None:
        raise Misconfigured("this machine has no SIPp, which plays the phones and answers the calls", hint="install it: 'apt install sip-tester' on Debian")
    return msgspec.structs.replace(root, sipp=(found,))


def cache_folder() -> Path:
    """Return the folder that fetched roots are kept in: RF_CACHE_DIR, or `ringfence` in the user's cache."""
    named = os.environ.get("RF_CACHE_DIR")
    if named:
        return Path(named).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "ringfence"


def _ensure_cached(progress: Progress) -> Path:
    folder = cache_folder()
    root = folder / "root"
    if (root / _MANIFEST).is_file():
        return root
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / "lock", progress):
        if not (root / _MANIFEST).is_file():
            _fetch(folder, root, progress)
    return root


def _fetch(folder: Path, root: Path, progress: Progress) -> None:
    for left_over in (*folder.glob("fetch-*"), root):
        shutil.rmtree(left_over, ignore_errors=True)
    if shutil.disk_usage(folder).free < _NEEDED_BYTES:
        raise Unavailable(f"{folder} has less than {_NEEDED_BYTES // 1_000_000} MB free", hint="make room, or set RF_CACHE_DIR to another folder")
    work = Path(tempfile.mkdtemp(prefix="fetch-", dir=folder))
    try:
        try:
            apt = PrivateApt(work, SUITE, progress=progress)
        except Misconfigured as error:
            needed = ".".join(map(str, OLDEST))
            raise Misconfigured(
                f"there is no Asterisk {needed} or newer, and {error.message}",
                hint=f"install Asterisk {needed} or newer and SIPp ('asterisk' and 'sipp' on the PATH); then set asterisk.conf_dir and asterisk.log_dir",
            ) from error
        apt.unpack(apt.download(PACKAGES), work / "root")
        version = _version([*_loader(work / "root"), str(work / "root/usr/sbin/asterisk")])
        if version is None or version < OLDEST:
            raise Unavailable(f"Debian {SUITE} has no Asterisk of at least {'.'.join(map(str, OLDEST))}", hint="install one; 'asterisk' must be on the PATH")
        manifest = _Manifest(version=".".join(map(str, version)))
        (work / "root" / _MANIFEST).write_bytes(msgspec.json.encode(manifest))
        (work / "root").rename(root)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _lock(path: Path, progress: Progress) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that fetches Asterisk", None)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _loader(root: Path) -> tuple[str, ...]:
    """Return the root's own loader and libraries, so that the machine's libc does not matter."""
    loader = next(iter(sorted(root.glob("usr/lib/*/ld-linux*.so.*"))), None)
    if loader is None:
        raise Misconfigured(f"there is no loader in {root}", hint=f"delete {root} and run 'make setup'")
    return (str(loader), "--library-path", str(loader.parent))


def own_asterisk() -> Root | None:
    """Return the machine's own Asterisk when it is new enough; it brings no SIPp."""
    program = _which("asterisk")
    version = _version([program]) if program else None
    if program is None or version is None or version < OLDEST:
        return None
    try:
        modules, data = _first(_SYSTEM_ROOT, _MODULES), _first(_SYSTEM_ROOT, _DATA)
    except Misconfigured:  # built into another place: the private one is sure to work
        return None
    return Root(path=None, version=".".join(map(str, version)), modules_dir=modules, data_dir=data, asterisk=(program,), sipp=())


def _which(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path=_SYSTEM_PATH)


def _version(command: list[str]) -> tuple[int, ...] | None:
    """Return what `asterisk -V` says, as numbers; None when it does not say."""
    try:
        done = subprocess.run([*command, "-V"], capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"Asterisk (?:certified[-/])?(\d+)\.(\d+)\.(\d+)", done.stdout)
    return tuple(int(part) for part in found.groups()) if found else None


def _first(root: Path, patterns: tuple[str, ...]) -> Path:
    for pattern in patterns:
        if found := sorted(root.glob(pattern)):
            return found[0]
    raise Misconfigured(f"{root} has no {patterns[0]}", hint="install Asterisk with its modules")
