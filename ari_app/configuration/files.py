"""The rendered files in their folder: written each by one rename, compared with secrets hidden, put back when refused."""

from __future__ import annotations

import difflib
import fcntl
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dialplan.render import SECRET_FILES
from ringfence.errors import Conflict, Misconfigured

_SECRET_LINE = re.compile(r"^(\s*(?:password|secret|md5_cred|location_info)\s*=>?\s*)(.*)$", re.MULTILINE)
_MASK_KEY = secrets.token_bytes(16)  # a mask says whether two secrets are the same within one run, and nothing else


def read_files(folder: Path, names: Mapping[str, str]) -> dict[str, str | None]:
    """Return the text of each named file in `folder`, None for one that is not there.

    Raises:
        Misconfigured: a file cannot be read.
    """
    return {name: _read(folder / name) for name in names}


def changed(wanted: Mapping[str, str | None], present: Mapping[str, str | None]) -> list[str]:
    """Return the names whose text differs."""
    return [name for name in wanted if wanted[name] != present.get(name)]


def difference(wanted: Mapping[str, str], present: Mapping[str, str | None]) -> str:
    """Return a unified diff from what is in place to what would be rendered; secrets are masked."""
    lines: list[str] = []
    for name in changed(wanted, present):
        before = mask_secrets(present.get(name) or "").splitlines(keepends=True)
        lines += difflib.unified_diff(before, mask_secrets(wanted[name]).splitlines(keepends=True), f"{name} (in place)", f"{name} (rendered)")
    return "".join(lines)


def mask_secrets(text: str) -> str:
    """Replace the value of every secret by a mark that changes when the secret does."""
    return _SECRET_LINE.sub(lambda match: f"{match[1]}<secret {hmac.new(_MASK_KEY, match[2].encode(), hashlib.sha256).hexdigest()[:8]}>", text)


def write_files(folder: Path, texts: Mapping[str, str | None]) -> None:
    """Write files, each whole or not at all; None removes one. Those with secrets get mode 0600, the others 0640.

    A file keeps the owner and group of its folder where this process may set them, so that Asterisk can read it.

    Raises:
        Misconfigured: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        for name, text in texts.items():
            if text is None:
                (folder / name).unlink(missing_ok=True)
            else:
                _write(folder, name, text)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Misconfigured(f"cannot write to {folder}: {error.strerror}", hint="run as Asterisk's user, or set asterisk.conf_dir") from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Have `folder` to oneself among the processes that apply configuration.

    Raises:
        Conflict: another process applies at present.
        Misconfigured: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        file = (folder / ".ringfence.lock").open("w")
    except OSError as error:
        raise Misconfigured(f"cannot write to {folder}: {error.strerror}", hint="run as Asterisk's user") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict("another process applies the configuration", hint="wait until it is done, then try again") from error
        yield


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Misconfigured(f"cannot read {path}: {error.strerror}", hint="run as Asterisk's user") from error


def _write(folder: Path, name: str, text: str) -> None:
    draft = folder / f".{name}.{os.getpid()}"
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            _give_to_owner_of(folder, descriptor)
            os.fchmod(descriptor, 0o600 if name in SECRET_FILES else 0o640)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        draft.rename(folder / name)
    finally:
        draft.unlink(missing_ok=True)


def _give_to_owner_of(folder: Path, descriptor: int) -> None:
    owner = folder.stat()
    if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
        try:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        except PermissionError:
            return
