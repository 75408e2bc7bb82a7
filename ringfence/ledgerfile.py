"""What a ledger file is known by, whatever its name."""

from __future__ import annotations

import hashlib

HEAD = 4096  # bytes that are looked at


def file_identity(head: bytes) -> str | None:
    """Return what a file is known by, from its first `HEAD` bytes; None while it has no whole line."""
    line, end, _ = head.partition(b"\n")
    if not end and len(head) < HEAD:
        return None
    return hashlib.blake2b(line, digest_size=16).hexdigest()
