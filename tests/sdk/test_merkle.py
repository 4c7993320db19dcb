"""The Merkle tree: known roots, every proof of every small tree, and no forged one."""

from __future__ import annotations

import random

import pytest

from conductor_sdk.chain.merkle import (
    EMPTY_ROOT,
    PROOF_MAX,
    Folding,
    Tree,
    consistency_proof,
    consistency_ranges,
    extends,
    includes,
    inclusion_proof,
    inclusion_ranges,
    leaf_hash,
    node_hash,
    root_of,
)

KNOWN_LEAVES = [
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]  # fmt: skip
KNOWN_ROOTS = [
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
"""Roots of the first n leaves, as implementations of RFC 6962 publish them."""
SIZES = 256
LEAVES = [leaf_hash(number.to_bytes(4, "big")) for number in range(SIZES + 1)]


@pytest.fixture(scope="module")
def roots() -> list[bytes]:
    """The root of every size, by the definition of the RFC and not by our tree."""
    known: dict[tuple[int, int], bytes] = {}

    def mth(low: int, high: int) -> bytes:
        if high - low == 1:
            return LEAVES[low]
        if (low, high) not in known:
            split = 1
            while split * 2 < high - low:
                split *= 2
            known[low, high] = node_hash(mth(low, low + split), mth(low + split, high))
        return known[low, high]

    return [EMPTY_ROOT, *(mth(0, size) for size in range(1, SIZES + 1))]


def test_known_vectors_are_reproduced() -> None:
    leaves = [leaf_hash(bytes.fromhex(text)) for text in KNOWN_LEAVES]

    assert [root_of(leaves[:size]).hex() for size in range(9)] == KNOWN_ROOTS


def test_a_growing_tree_has_the_root_of_the_definition_at_every_size(roots: list[bytes]) -> None:
    tree = Tree()
    found = [tree.root()]
    for leaf in LEAVES[:SIZES]:
        tree.append(leaf)
        found.append(tree.root())

    assert found == roots
    assert tree.size == SIZES


def test_every_leaf_of_every_size_is_proved_and_only_in_its_place(roots: list[bytes]) -> None:
    nodes: dict[tuple[int, int], bytes] = {}

    def node(low: int, high: int) -> bytes:
        if (low, high) not in nodes:
            nodes[low, high] = root_of(LEAVES[low:high])
        return nodes[low, high]

    for size in range(1, SIZES + 1):
        for index in range(size):
            proof = [node(*each) for each in inclusion_ranges(index, size)]
            assert includes(LEAVES[index], index, size, proof, roots[size])
            assert not includes(LEAVES[index], index ^ 1, size, proof, roots[size])
            assert not includes(LEAVES[index + 1], index, size, proof, roots[size])


def test_every_size_is_proved_to_extend_every_smaller_one(roots: list[bytes]) -> None:
    nodes: dict[tuple[int, int], bytes] = {}
    for new in range(SIZES + 1):
        for old in range(new + 1):
            proof: list[bytes] = []
            for each in consistency_ranges(old, new):
                if each not in nodes:
                    nodes[each] = root_of(LEAVES[slice(*each)])
                proof.append(nodes[each])
            assert len(proof) <= PROOF_MAX
            assert extends(old, roots[old], new, roots[new], proof)
            if 0 < old < new:
                assert not extends(old, roots[old - 1], new, roots[new], proof)
                assert not extends(old, roots[old], new, roots[new - 1], proof)


def mutated(
    rng: random.Random, index: int, size: int, proof: list[bytes]
) -> tuple[int, int, list[bytes]]:
    """Return a proof that differs from a sound one in one way."""
    changed = list(proof)
    match rng.randrange(6):
        case 0:
            at = rng.randrange(len(changed))
            bit = rng.randrange(256)
            data = int.from_bytes(changed[at], "big") ^ (1 << bit)
            changed[at] = data.to_bytes(32, "big")
        case 1:
            del changed[rng.randrange(len(changed))]
        case 2:
            changed.insert(rng.randrange(len(changed) + 1), rng.choice(LEAVES))
        case 3:
            index = rng.choice([each for each in range(size + 2) if each != index])
        case 4:
            at = rng.randrange(len(changed))
            changed[at] = changed[at][:-1]
        case _:
            other = rng.randrange(len(changed))
            changed[other] = leaf_hash(changed[other])
    return index, size, changed


def test_ten_thousand_mutations_of_proofs_are_refused(roots: list[bytes]) -> None:
    rng = random.Random(6962)
    refused = 0
    for _ in range(5000):
        size = rng.randrange(2, SIZES + 1)
        index = rng.randrange(size)
        proof = inclusion_proof(index, LEAVES[:size])
        at, of, changed = mutated(rng, index, size, proof)
        assert not includes(LEAVES[index], at, of, changed, roots[size])
        refused += 1
    while refused < 10_000:
        new = rng.randrange(3, SIZES + 1)
        old = rng.randrange(1, new)
        proof = consistency_proof(old, LEAVES[:new])
        at, _, changed = mutated(rng, old, new, proof)
        at = old if at in {0, new} else at
        if (at, changed) == (old, proof):
            continue
        assert not extends(at, roots[old], new, roots[new], changed)
        refused += 1


def test_a_proof_of_another_size_does_not_fit(roots: list[bytes]) -> None:
    proof = inclusion_proof(3, LEAVES[:7])

    assert not any(
        includes(LEAVES[3], 3, size, proof, roots[7]) for size in range(20)
        if len(inclusion_ranges(3, size) if size > 3 else []) != len(proof)
    )  # fmt: skip
    assert not includes(LEAVES[3], -1, 7, proof, roots[7])


@pytest.mark.parametrize(
    ("old", "old_root", "new", "new_root", "proof", "expected"),
    [
        (0, EMPTY_ROOT, 0, EMPTY_ROOT, [], True),
        (0, EMPTY_ROOT, 1, LEAVES[0], [], True),
        (0, LEAVES[0], 1, LEAVES[0], [], False),
        (0, EMPTY_ROOT, 1, LEAVES[0], [LEAVES[0]], False),
        (1, LEAVES[0], 1, LEAVES[0], [], True),
        (1, LEAVES[0], 1, LEAVES[0], [LEAVES[0]], False),
        (1, LEAVES[0], 1, LEAVES[1], [], False),
        (2, LEAVES[0], 1, LEAVES[0], [], False),
        (-1, LEAVES[0], 1, LEAVES[0], [], False),
        (3, LEAVES[0], 5, LEAVES[0], [], False),
    ],
)
def test_the_edges_of_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: list[bytes], expected: bool
) -> None:
    assert extends(old, old_root, new, new_root, proof) == expected


def test_one_pass_gives_the_same_proofs_as_the_whole_tree(roots: list[bytes]) -> None:
    for size, other in [(1, 0), (2, 1), (7, 3), (100, 64), (255, 128), (256, 255)]:
        for ranges, expected in [
            (inclusion_ranges(other, size), inclusion_proof(other, LEAVES[:size])),
            (consistency_ranges(other, size), consistency_proof(other, LEAVES[:size])),
        ]:
            folding = Folding(ranges, [0, other, size])
            for leaf in LEAVES[:size]:
                folding.add(leaf)
            assert folding.proof() == expected
            assert folding.roots == {0: EMPTY_ROOT, other: roots[other], size: roots[size]}


def test_an_unfinished_pass_proves_nothing() -> None:
    folding = Folding(inclusion_ranges(0, 4), [9])
    folding.add(LEAVES[0])

    with pytest.raises(ValueError, match="do not reach 4"):
        folding.proof()
    assert folding.roots == {}


def test_a_tree_of_a_million_leaves_keeps_twenty_hashes() -> None:
    tree = Tree()
    for _ in range(1_000_000):
        tree.append(LEAVES[0])

    assert len(tree._peaks) == (1_000_000).bit_count()


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3)])
def test_a_leaf_that_is_not_there_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="is not in a tree"):
        inclusion_ranges(index, size)
    with pytest.raises(ValueError, match="does not extend"):
        consistency_ranges(size + 1, size)
