"""Issuing a report as an act: what is written has its SHA-256 in the audit log."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from sqlalchemy.orm import Session

from ringfence.audit import log
from ringfence.clock import Clock
from ringfence.errors import Conflict, Unavailable
from ringfence.queries.conservation import begin_alone


def issue(session: Session, clock: Clock, content: bytes) -> str:
    """Write into the audit log that a report was issued, and return its SHA-256. It counts when the session's transaction commits."""
    begin_alone(session)
    digest = sha256(content).hexdigest()
    log.append(session, clock, "report.issued", actor="operator", digest=digest)
    return digest


def refuse_existing(path: Path, *, force: bool) -> None:
    """Return when a file may be written.

    Raises:
        Conflict: there is one of that name, or something that is no file.
    """
    if path.is_dir() or (path.exists() and not force):
        raise Conflict(f"{path} is there already", hint="name a new file with --out, or add --force")


@contextmanager
def placed(path: Path, content: bytes, *, force: bool) -> Iterator[None]:
    """Write a file of mode 640 whole, under its name only when the body ended well.

    Raises:
        Conflict: there is one of that name already.
        Unavailable: it cannot be written.
    """
    refuse_existing(path, force=force)
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _unwritable(path, error) from error
    temporary = Path(name)
    try:
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(descriptor, 0o640)
                os.fsync(descriptor)
        except OSError as error:
            raise _unwritable(path, error) from error
        yield
        _name(temporary, path, force=force)
    finally:
        temporary.unlink(missing_ok=True)


def _name(temporary: Path, path: Path, *, force: bool) -> None:
    try:
        if force:
            temporary.replace(path)
        else:
            os.link(temporary, path)  # unlike a rename it never takes another's place
    except FileExistsError as error:
        raise Conflict(f"{path} is there already", hint="name a new file with --out, or add --force") from error
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"cannot write {path}: {error.strerror}", hint="name a file in a folder that you may write to")
