"""The cosigner's own key: one file of mode 600, never on a command line."""

from __future__ import annotations

import os
import secrets
from base64 import b64encode
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.verify.notes import COSIGNATURE, Key, Malformed, decode, parse_key

_HEAD = "PRIVATE+KEY+"


def make_key(path: Path, name: str) -> Key:
    """Make a cosigner's key in a new file and return its verifier key.

    Raises:
        Malformed: the name cannot be that of a key.
        OSError: the file exists, or cannot be made.
    """
    seed = secrets.token_bytes(32)
    key = parse_key(str(Key(name, COSIGNATURE, Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{_HEAD}{name}+{key.id.hex()}+{b64encode(bytes([COSIGNATURE]) + seed).decode()}\n")
    return key


def read_key(path: Path) -> tuple[str, Ed25519PrivateKey]:
    """Return a cosigner's name and key.

    Raises:
        Malformed: the file does not hold one, or others can read it.
        OSError: it cannot be read.
    """
    if path.stat().st_mode & 0o077:
        raise Malformed(f"others can read the key in {path}: chmod 600")
    text = path.read_text(encoding="utf-8").strip()
    name, _, rest = text.removeprefix(_HEAD).partition("+")
    data = decode(rest.partition("+")[2])
    if not text.startswith(_HEAD) or len(data) != 33 or data[0] != COSIGNATURE:
        raise Malformed(f"{path} does not hold a cosigner's key")
    return name, Ed25519PrivateKey.from_private_bytes(data[1:])
