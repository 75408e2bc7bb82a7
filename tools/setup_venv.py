"""Makes the virtual environment from requirements.lock, with nothing but Python's standard library; run by `make setup`.

Debian ships Python without `ensurepip` (it is in python3-venv). Where it is missing, pip comes from Debian's own package of its wheel,
fetched by apt without root's rights.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036  a person may well start it with an older one
    sys.exit(f"Ringfence needs Python 3.11 or newer; {sys.executable} is {platform.python_version()}. Try: make PYTHON=/path/to/python3.11")

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from ari_app.private.apt import PrivateApt  # noqa: E402  standard library only, as this file
from ringfence.errors import RingfenceError  # noqa: E402


def main() -> int:
    """Make the environment and install the lock file and the project into it; return the exit code."""
    target = PROJECT / ".venv"
    python = target / "bin" / "python"
    if not python.exists():
        say(f"making a virtual environment for Python {platform.python_version()}")
        venv.create(target, with_pip=False, symlinks=True)
    with tempfile.TemporaryDirectory(prefix="rf-pip-") as folder:
        try:
            pip = pip_from_ensurepip() or pip_from_debian(Path(folder))
        except RingfenceError as error:
            say(f"pip is missing: {error.message}. {error.hint}; or install python3-venv")
            return error.exit_code
        say("installing what requirements.lock names")
        run = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-warn-script-location"]
        environment = os.environ | {"PYTHONPATH": str(pip)}
        for arguments in (["--require-hashes", "--no-deps", "-r", "requirements.lock"], ["--no-deps", "--no-build-isolation", "--editable", "."]):
            done = subprocess.run([*run, *arguments], cwd=PROJECT, env=environment, check=False)
            if done.returncode:
                return done.returncode
    return 0


def pip_from_ensurepip() -> Path | None:
    """Return the wheel of pip that Python carries; None on a Python without."""
    spec = importlib.util.find_spec("ensurepip")
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted((Path(spec.origin).parent / "_bundled").glob("pip-*.whl"))), None)


def pip_from_debian(folder: Path) -> Path:
    """Return the wheel of pip in Debian's package `python3-pip-whl`, fetched into `folder`."""
    apt = PrivateApt(
        folder, platform.freedesktop_os_release().get("VERSION_CODENAME", "stable"), progress=lambda what, share: say(what) if share is None else None
    )
    root = folder / "root"
    apt.unpack([apt.download_only("python3-pip-whl")], root)
    return next((root / "usr/share/python-wheels").glob("pip-*.whl"))


def say(text: str) -> None:
    """Tell the person who waits."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
