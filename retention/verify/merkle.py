"""RFC 6962 trees as an auditor sees them: roots worked out anew, proofs checked (RFC 9162, 2.1.3.2 and 2.1.4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256


def leaf(data: bytes) -> bytes:
    """Return a leaf's hash."""
    return sha256(b"\x00" + data).digest()


def join(left: bytes, right: bytes) -> bytes:
    """Return the hash over two subtrees."""
    return sha256(b"\x01" + left + right).digest()


class Stack:
    """A growing tree as a stack of (height, root); the heights fall from bottom to top.

    Args:
        size: leaves that come before the first one pushed.
        roots: the roots of their perfect subtrees, largest first.

    Raises:
        ValueError: the roots are not as many as `size` needs.
    """

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        heights = [height for height in range(size.bit_length() - 1, -1, -1) if size >> height & 1]
        if len(heights) != len(roots) or any(len(root) != 32 for root in roots):
            raise ValueError("the subtrees do not fit the size")
        self._stack = list(zip(heights, roots, strict=True))
        self.size = size

    def push(self, hashed: bytes) -> None:
        """Add a leaf's hash."""
        height = 0
        while self._stack and self._stack[-1][0] == height:
            hashed, height = join(self._stack.pop()[1], hashed), height + 1
        self._stack.append((height, hashed))
        self.size += 1

    def root(self) -> bytes:
        """Return the root of all that was pushed."""
        if not self._stack:
            return sha256().digest()
        roots = [root for _, root in self._stack]
        result = roots.pop()
        while roots:
            result = join(roots.pop(), result)
        return result


def includes(index: int, size: int, hashed: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether `proof` shows that leaf `index` of the tree of `size` with `root` has this hash."""
    if not 0 <= index < size:
        return False
    place, last = index, size - 1
    for step in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            hashed = join(step, hashed)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            hashed = join(hashed, step)
        place, last = place >> 1, last >> 1
    return last == 0 and hashed == root


def extends(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether `proof` shows that the tree of `new` leaves begins with the tree of `old` leaves."""
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == sha256().digest()
    if not 0 < old < new:
        return False
    steps = list(proof)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    older = newer = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            older, newer = join(step, older), join(step, newer)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            newer = join(newer, step)
        place, last = place >> 1, last >> 1
    return last == 0 and older == old_root and newer == new_root
