"""Reading signed notes, checkpoints, verifier keys and cosignatures (C2SP signed-note, tlog-checkpoint, tlog-cosignature), and cosigning.

Everything is strict: one way to write a thing is accepted, so that no byte of a note can change unseen.
"""

from __future__ import annotations

import re
import struct
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519, COSIGNATURE = 1, 4  # signature types
LONGEST = 1_000_000  # characters of a note
_NAME = re.compile(r"[^\s+\x00-\x20\x7f]{1,200}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_SIGNATURE = re.compile(r"— (\S+) (\S+)")


class Malformed(ValueError):
    """A text that is not what it should be."""


@dataclass(frozen=True)
class Key:
    """A verifier key."""

    name: str
    type: int
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes that signatures carry."""
        return sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.public).digest()[:4]

    def __str__(self) -> str:
        """Return it as C2SP writes it: name, id and key."""
        return f"{self.name}+{self.id.hex()}+{b64encode(bytes([self.type]) + self.public).decode()}"

    def signed(self, text: bytes, signature: bytes) -> bool:
        """Tell whether `signature` is this key's over `text`."""
        if self.type == COSIGNATURE:
            text, signature = cosigned_message(int.from_bytes(signature[:8], "big"), text), signature[8:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class Note:
    """A note, taken apart."""

    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]  # name, key id, signature

    def signature_of(self, key: Key) -> bytes | None:
        """Return what `key` signed this note with, or None when it did not.

        Raises:
            Malformed: there is such a signature and it is false.
        """
        found = [signature for name, key_id, signature in self.signatures if (name, key_id) == (key.name, key.id)]
        if not found:
            return None
        if len(found) > 1 or not key.signed(self.text.encode(), found[0]):
            raise Malformed(f"the signature of {key.name} is false")
        return found[0]

    def signer(self, keys: Iterable[Key]) -> Key:
        """Return the first of `keys` that signed it.

        Raises:
            Malformed: none did, or a signature is false.
        """
        for key in keys:
            if self.signature_of(key) is not None:
                return key
        raise Malformed("it is not signed with a key that was given")


@dataclass(frozen=True)
class Checkpoint:
    """What a log says of itself."""

    origin: str
    size: int
    root: bytes


def parse_key(text: str) -> Key:
    """Return the verifier key that a text is.

    Raises:
        Malformed: it is none, or its id is not its own.
    """
    name, _, rest = text.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    data = decode(encoded)
    if not _NAME.fullmatch(name) or len(data) != 33 or data[0] not in {ED25519, COSIGNATURE}:
        raise Malformed("this is not an Ed25519 verifier key: name+id+base64")
    key = Key(name, data[0], data[1:])
    if key.id.hex() != key_id:
        raise Malformed("the verifier key's id is not that of its name and bytes")
    return key


def parse_note(text: str) -> Note:
    """Return a signed note, taken apart.

    Raises:
        Malformed: it is none.
    """
    if len(text) > LONGEST or any(character < " " and character != "\n" for character in text):
        raise Malformed("a note is text without control characters")
    body, gap, tail = text.rpartition("\n\n")
    if not gap or not body or not tail.endswith("\n"):
        raise Malformed("a note has a text, an empty line and signatures")
    signatures = []
    for line in tail[:-1].split("\n"):
        match = _SIGNATURE.fullmatch(line)
        data = decode(match[2]) if match else b""
        if match is None or not _NAME.fullmatch(match[1]) or len(data) < 5:
            raise Malformed("a signature line is not one")
        signatures.append((match[1], data[:4], data[4:]))
    if len(signatures) > 64:
        raise Malformed("more than 64 signatures")
    return Note(body + "\n", tuple(signatures))


def parse_checkpoint(text: str) -> Checkpoint:
    """Return the checkpoint that a note's text is.

    Raises:
        Malformed: it is none.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise Malformed("a checkpoint has an origin, a size and a root, each on its line")
    if not _SIZE.fullmatch(lines[1]):
        raise Malformed("the checkpoint's size is not a number")
    root = decode(lines[2])
    if len(root) != 32:
        raise Malformed("the checkpoint's root is not a hash")
    return Checkpoint(lines[0], int(lines[1]), root)


def read_checkpoint(text: str, keys: Iterable[Key]) -> tuple[Checkpoint, Key]:
    """Return a checkpoint whose log's key is one of `keys`, and that key.

    Raises:
        Malformed: it is not signed by one of them, or under another name.
    """
    note = parse_note(text)
    key = note.signer(key for key in keys if key.type == ED25519)
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != key.name:
        raise Malformed("the checkpoint's origin is not its key's name")
    return checkpoint, key


def cosigned_message(at: int, text: bytes) -> bytes:
    """Return what a cosigner signs of a checkpoint's text at a POSIX time."""
    return b"cosignature/v1\ntime %d\n" % at + text


def cosign(name: str, private: Ed25519PrivateKey, at: int, note: str) -> str:
    """Return a note with one more line: the cosignature of its text."""
    key = Key(name, COSIGNATURE, private.public_key().public_bytes_raw())
    signature = private.sign(cosigned_message(at, parse_note(note).text.encode()))
    return f"{note}— {name} {b64encode(key.id + struct.pack('>Q', at) + signature).decode()}\n"


def decode(text: str) -> bytes:
    """Return the bytes of a base64 text that is written in the one proper way.

    Raises:
        Malformed: it is not.
    """
    try:
        data = b64decode(text, validate=True)
    except (Error, ValueError):
        data = b""
    if not data or b64encode(data).decode() != text:
        raise Malformed("this is not base64")
    return data
