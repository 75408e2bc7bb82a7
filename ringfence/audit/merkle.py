"""The Merkle tree of RFC 6962, section 2.1: leaf hashes, roots, inclusion and consistency proofs, SHA-256.

Own code, because the library at hand (pymerkle) is under the GPL, brings its own storage, and is longer to wrap than this is to read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

SIZE = 32  # bytes of a hash


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The roots of the perfect subtrees a tree of `size` leaves is made of, largest first: all that appending needs.

    Raises:
        ValueError: the number of roots is not what the size asks for.
    """

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        if size.bit_count() != len(roots):
            raise ValueError(f"{len(roots)} subtree(s) cannot make a tree of {size}")
        self.size = size
        self.roots = list(roots)

    @classmethod
    def decode(cls, size: int, data: bytes) -> Frontier:
        """Return the frontier that `encode` wrote."""
        if len(data) % SIZE:
            raise ValueError(f"{len(data)} bytes are not whole hashes")
        return cls(size, [data[at : at + SIZE] for at in range(0, len(data), SIZE)])

    def encode(self) -> bytes:
        """Return the roots, one after the other."""
        return b"".join(self.roots)

    def append(self, leaf: bytes) -> None:
        """Add a leaf's hash; each subtree that becomes perfect is joined to the one before it."""
        joined, rest = leaf, self.size
        while rest & 1:
            joined, rest = node_hash(self.roots.pop(), joined), rest >> 1
        self.roots.append(joined)
        self.size += 1

    def root(self) -> bytes:
        """Return the tree's hash; that of the empty tree is the hash of nothing."""
        if not self.roots:
            return sha256(b"").digest()
        root = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            root = node_hash(left, root)
        return root


class Tree:
    """A whole tree in memory, 64 bytes a leaf, for proofs of any two sizes in logarithmic time."""

    def __init__(self, leaves: Iterable[bytes]) -> None:
        level = list(leaves)
        self.size = len(level)
        self._levels = [level]  # of perfect subtrees only
        while len(level) > 1:
            level = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
            self._levels.append(level)

    def root(self, size: int | None = None) -> bytes:
        """Return the hash of the first `size` leaves, or of all."""
        size = self.size if size is None else size
        self._demand(0, size)
        return self._hash(0, size) if size else sha256(b"").digest()

    def frontier(self, size: int) -> Frontier:
        """Return the frontier of the first `size` leaves."""
        self._demand(0, size)
        roots, start = [], 0
        for height in reversed(range(size.bit_length())):
            if size >> height & 1:
                roots.append(self._levels[height][start >> height])
                start += 1 << height
        return Frontier(size, roots)

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Return the audit path (RFC 6962 2.1.1) of leaf `index` in the tree of `size`."""
        self._demand(index + 1, size)
        path, start, end = [], 0, size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                path.append(self._hash(middle, end))
                end = middle
            else:
                path.append(self._hash(start, middle))
                start = middle
        return path[::-1]

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """Return the proof (RFC 6962 2.1.2) that the tree of `new` begins with the tree of `old`; empty for equal sizes and for old = 0."""
        self._demand(old, new)
        if old in {0, new}:
            return []
        path, start, end, whole = [], 0, new, True
        while old != end:
            middle = start + _split(end - start)
            if old <= middle:
                path.append(self._hash(middle, end))
                end = middle
            else:
                path.append(self._hash(start, middle))
                start, whole = middle, False
        if not whole:
            path.append(self._hash(start, end))
        return path[::-1]

    def _hash(self, start: int, end: int) -> bytes:
        length = end - start
        height = length.bit_length() - 1
        if length == 1 << height:
            return self._levels[height][start >> height]
        middle = start + _split(length)
        return node_hash(self._hash(start, middle), self._hash(middle, end))

    def _demand(self, smaller: int, larger: int) -> None:
        if not 0 <= smaller <= larger <= self.size:
            raise ValueError(f"a tree of {self.size} has nothing to say of {smaller} and {larger}")


def _split(length: int) -> int:
    """Return the largest power of two below `length`."""
    return 1 << (length - 1).bit_length() - 1
