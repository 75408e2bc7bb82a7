"""Where Chromium is on this machine: its own, or one that apt fetched without root's rights, from the release that this machine runs."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ari_app.private.apt import PrivateApt, Progress
from ari_app.private.root import cache_folder
from ringfence.errors import Misconfigured

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PACKAGES = ("chromium", "fonts-dejavu-core")
_OWN_LIBC = ("libc6_", "libc-bin_", "libc-l10n_")  # the machine's own is used: a second one beside it would not fit its loader
_LIBRARIES = ("usr/lib/*-linux-gnu*/*.so*", "usr/lib/*-linux-gnu*/*/lib*.so*", "lib/*-linux-gnu*/*.so*")
_HINT = "install Chromium ('chromium' on the PATH): apt-get install chromium"


class Program(msgspec.Struct, frozen=True):
    """A Chromium that can be started."""

    path: Path
    environment: Mapping[str, str]  # what it needs beside this process's own


def find_chromium(*, progress: Progress) -> Program:
    """Return the Chromium to use, fetched first when the machine has none. It is kept in the cache of the user and fetched once.

    Raises:
        Misconfigured: there is none, and this machine has no apt to fetch it with.
        Unavailable: the download failed.
    """
    own = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if own:
        return Program(Path(own), {})
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / "chromium"
    with (folder / "chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.is_dir():
            _fetch(folder, root, progress)
    return _private(root)


def _fetch(folder: Path, root: Path, progress: Progress) -> None:
    try:
        suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
        work = Path(tempfile.mkdtemp(prefix="fetch-chromium-", dir=folder))
    except (OSError, KeyError) as error:
        raise Misconfigured("there is no Chromium, and this machine does not say which Debian it is", hint=_HINT) from error
    try:
        try:
            apt = PrivateApt(work, suite, progress=progress)
        except Misconfigured as error:
            raise Misconfigured(f"there is no Chromium, and {error.message}", hint=_HINT) from error
        packages = [file for file in apt.download(_PACKAGES) if not file.name.startswith(_OWN_LIBC)]
        apt.unpack(packages, work / "root")
        (work / "root").rename(root)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _private(root: Path) -> Program:
    program = root / "usr/lib/chromium/chromium"
    if not program.is_file():
        raise Misconfigured(f"there is no Chromium in {root}", hint=f"remove {root}, or {_HINT}")
    libraries = sorted(
        {
            str(path.parent)
            for pattern in ("usr/lib/*-linux-gnu*/*.so*", "usr/lib/*-linux-gnu*/*/lib*.so*", "lib/*-linux-gnu*/*.so*")
            for path in root.glob(pattern)
        }
    )
    fonts = root / "fonts.conf"
    if not fonts.is_file():
        fonts.write_text(f"<fontconfig><dir>{root / 'usr/share/fonts'}</dir><cachedir>{root / 'fonts.cache'}</cachedir></fontconfig>\n", encoding="utf-8")
    return Program(program, {"LD_LIBRARY_PATH": os.pathsep.join(libraries), "FONTCONFIG_FILE": str(fonts)})
