"""Secret files: made once, readable by their owner only, never shown."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ringfence.settings import Settings, read_secret

_BYTES = 32  # 256 bits; 43 characters of A-Z a-z 0-9 - _


def make_secrets(settings: Settings) -> list[tuple[Path, bool]]:
    """Make the secret files that are missing; return each path, and whether it was made.

    Raises:
        Misconfigured: a file that is there is empty, or others can read it.
    """
    webhook = settings.emergency.webhook_secret_file
    paths = [settings.ari_secret_path, settings.ami_secret_path, *([Path(webhook)] if webhook else [])]
    return [(path, _make(path)) for path in paths]


def _make(path: Path) -> bool:
    """Make one file, whole or not at all: two processes that make it at once end with one secret."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    if not path.exists():
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(_BYTES) + "\n")
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        else:
            return True
        finally:
            draft.unlink()
    read_secret(path)
    return False
