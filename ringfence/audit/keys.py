"""The log's private key: made here, kept in one file that only its owner can read, never on a command line."""

from __future__ import annotations

import os
import secrets
from base64 import b64decode, b64encode
from binascii import Error
from pathlib import Path

from ringfence.audit.notes import Signer
from ringfence.errors import Conflict, Misconfigured
from ringfence.settings import Settings, read_secret

_HEAD = "PRIVATE+KEY+"  # as golang.org/x/mod/sumdb/note writes it


def make_key(settings: Settings) -> Signer:
    """Make the key that the settings name, and write its verifier key beside the published checkpoints.

    Raises:
        Conflict: there is a key already. A log that changed its key would look like another log.
        Invalid: the origin in the settings cannot be the name of a key.
    """
    signer = Signer(settings.audit_origin, secrets.token_bytes(32))
    path = settings.audit_key_path
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise Conflict(f"there is a key in {path}", hint="'ringfence audit key show' prints its verifier key") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{_HEAD}{signer.name}+{signer.key_id.hex()}+{b64encode(bytes([1]) + signer.seed).decode()}\n")
        file.flush()
        os.fsync(descriptor)
    settings.audit_dir.mkdir(parents=True, exist_ok=True)
    (settings.audit_dir / "verifier-key").write_text(signer.verifier_key + "\n", encoding="ascii")
    return signer


def load_signer(settings: Settings) -> Signer:
    """Return the key that the settings name.

    Raises:
        Misconfigured: there is none, others can read it, or it is not a key.
    """
    path = settings.audit_key_path
    if not path.exists():
        raise Misconfigured(f"there is no audit key in {path}", hint="run 'ringfence audit key new'")
    return _parse(path, read_secret(path))


def _parse(path: Path, text: str) -> Signer:
    name, _, rest = text.removeprefix(_HEAD).partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        data = b64decode(encoded, validate=True)
    except Error:
        data = b""
    if text.startswith(_HEAD) and len(data) == 33 and data[0] == 1:
        signer = Signer(name, data[1:])
        if signer.key_id.hex() == key_id:
            return signer
    raise Misconfigured(f"{path} does not hold an audit key", hint="restore it from its backup; a new key would begin another log")
