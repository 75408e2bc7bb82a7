"""Signed notes and checkpoints as C2SP writes them (c2sp.org/signed-note, c2sp.org/tlog-checkpoint), signed with Ed25519."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ringfence.errors import Invalid

_ED25519 = b"\x01"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9./_-]{0,99}")


class Checkpoint(msgspec.Struct, frozen=True):
    """The tree's head, signed."""

    size: int
    root: bytes
    note: str


class Signer:
    """A named key.

    Args:
        name: the log's origin, like a URL without its scheme (`example.com/ringfence`).
        seed: the 32 bytes of the private key.

    Raises:
        Invalid: the name cannot be that of a key.
    """

    def __init__(self, name: str, seed: bytes) -> None:
        if not _NAME.fullmatch(name):
            raise Invalid(f"{name!r} cannot be the name of a key", hint="use letters, digits and . / _ -, as in example.com/ringfence")
        self.name = name
        self.seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def verifier_key(self) -> str:
        """What whoever checks signatures must know: name, key id and public key."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(_ED25519 + self._public).decode()}"

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell keys of one name apart."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self._public).digest()[:4]

    def sign(self, text: str) -> str:
        """Return `text`, which ends with a line end, as a signed note."""
        signature = self.key_id + self._key.sign(text.encode())
        return f"{text}\n— {self.name} {b64encode(signature).decode()}\n"

    def checkpoint(self, size: int, root: bytes) -> Checkpoint:
        """Return the signed checkpoint of a tree."""
        return Checkpoint(size, root, self.sign(f"{self.name}\n{size}\n{b64encode(root).decode()}\n"))

    @property
    def _public(self) -> bytes:
        return self._key.public_key().public_bytes_raw()
