"""`systemd-analyze` of this machine, or one that apt fetches into the cache, as it does with Asterisk: never a reason to skip."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ari_app.private.apt import PrivateApt
from ari_app.private.progress import shown_progress
from ari_app.private.root import SUITE, cache_folder

_PROGRAM = "usr/bin/systemd-analyze"


def systemd_analyze() -> Sequence[str]:
    """Return the command line of `systemd-analyze`, without arguments."""
    own = shutil.which("systemd-analyze")
    return (own,) if own else fetched_systemd_analyze()


def fetched_systemd_analyze() -> Sequence[str]:
    """Return the command line of the one in the cache, fetched first when it is not there yet."""
    root = cache_folder() / "systemd"
    if not (root / _PROGRAM).exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="systemd-", dir=root.parent))
        try:
            with shown_progress() as progress:
                apt = PrivateApt(work, SUITE, progress=progress)
                apt.unpack(apt.download(("systemd",)), work / "root")
            (work / "root").rename(root)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    loader = next(iter(sorted(root.glob("usr/lib/*/ld-linux*.so.*"))))
    return (str(loader), "--library-path", f"{loader.parent}:{loader.parent / 'systemd'}", str(root / _PROGRAM))
