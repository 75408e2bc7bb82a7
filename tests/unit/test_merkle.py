"""Both trees, the product's and the verifier's, against the vectors of Certificate Transparency and against each other."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.verify import merkle as verifier
from ringfence.audit import merkle

LEAVES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): INCLUSION[0, 8],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): ["5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e", "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"],
}
TREE = merkle.Tree(merkle.leaf_hash(leaf) for leaf in LEAVES)


@pytest.mark.parametrize("size", range(9))
def test_the_known_roots(size: int) -> None:
    frontier, stack = merkle.Frontier(), verifier.Stack()
    for leaf in LEAVES[:size]:
        frontier.append(merkle.leaf_hash(leaf))
        stack.push(verifier.leaf(leaf))
    assert frontier.root().hex() == stack.root().hex() == TREE.root(size).hex() == ROOTS[size]


@pytest.mark.parametrize(("place", "path"), INCLUSION.items())
def test_the_known_audit_paths(place: tuple[int, int], path: list[str]) -> None:
    index, size = place
    assert [step.hex() for step in TREE.inclusion_proof(index, size)] == path
    assert verifier.includes(index, size, verifier.leaf(LEAVES[index]), [bytes.fromhex(step) for step in path], bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("sizes", "path"), CONSISTENCY.items())
def test_the_known_consistency_proofs(sizes: tuple[int, int], path: list[str]) -> None:
    old, new = sizes
    assert [step.hex() for step in TREE.consistency_proof(old, new)] == path
    assert verifier.extends(old, new, bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]), [bytes.fromhex(step) for step in path])


def tree(size: int) -> merkle.Tree:
    return merkle.Tree(sha256(str(number).encode()).digest() for number in range(size))


def test_every_proof_of_small_trees_is_accepted_and_belongs_to_one_place_only() -> None:
    whole = tree(17)
    leaves = [sha256(str(number).encode()).digest() for number in range(17)]
    for new in range(1, 18):
        root = whole.root(new)
        for index in range(new):
            proof = whole.inclusion_proof(index, new)
            assert [other for other in range(-1, new + 1) if verifier.includes(other, new, leaves[index], proof, root)] == [index]
        for old in range(new + 1):
            proof = whole.consistency_proof(old, new)
            assert verifier.extends(old, new, whole.root(old), root, proof)
            assert not verifier.extends(old, new, whole.root(old), root, [*proof, bytes(32)])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_changed_proof_or_root_is_refused(data: st.DataObject) -> None:
    new = data.draw(st.integers(2, 200))
    old = data.draw(st.integers(1, new - 1))
    whole = tree(new)
    parts = [whole.root(old), whole.root(new), *whole.consistency_proof(old, new)]
    place = data.draw(st.integers(0, len(parts) - 1))
    bit = data.draw(st.integers(0, 255))
    parts[place] = (int.from_bytes(parts[place], "big") ^ 1 << bit).to_bytes(32, "big")
    assert not verifier.extends(old, new, parts[0], parts[1], parts[2:])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300))
def test_a_tree_can_be_gone_on_with_from_its_frontier(first: int, more: int) -> None:
    whole = tree(first + more)
    frontier = merkle.Frontier.decode(first, whole.frontier(first).encode())
    stack = verifier.Stack(first, frontier.roots)
    for number in range(first, first + more):
        frontier.append(sha256(str(number).encode()).digest())
        stack.push(sha256(str(number).encode()).digest())
    assert frontier.root() == stack.root() == whole.root()
    assert (frontier.size, frontier.roots) == (first + more, whole.frontier(first + more).roots)


@pytest.mark.parametrize(("size", "data"), [(1, b""), (0, bytes(32)), (3, bytes(32)), (1, bytes(31))])
def test_a_frontier_that_does_not_fit_is_refused(size: int, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"cannot make|not whole"):
        merkle.Frontier.decode(size, data)
    with pytest.raises(ValueError, match="do not fit"):
        verifier.Stack(size, [data])


@pytest.mark.parametrize(("old", "new"), [(-1, 1), (2, 1), (1, 9)])
def test_a_tree_says_nothing_of_what_it_does_not_hold(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="nothing to say"):
        TREE.consistency_proof(old, new)
