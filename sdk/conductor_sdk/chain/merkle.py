"""The Merkle tree of RFC 6962 over a journal's entries, and its two proofs.

Promise: a root commits to every entry and its place; an inclusion proof shows that one entry is
under a root, a consistency proof that a later tree only appended, each with at most 64 hashes.
Refusal: no entry is kept. A tree grows in O(log n) memory, and a proof is folded from one pass.

A leaf is SHA-256(0x00, entry bytes), a node SHA-256(0x01, left, right), the empty tree
SHA-256 of nothing. Entry bytes are those of `encode_entry`; leaf 0 is the entry with sequence 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypeAlias

HASH_BYTES = 32
PROOF_MAX = 64
"""Hashes in any proof of ours, at most."""
EMPTY_ROOT = hashlib.sha256().digest()

Range: TypeAlias = tuple[int, int]
"""Leaves from the first number up to, without, the second: a subtree of which a proof is made."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that only grows; holds one hash for every set bit of its size."""

    def __init__(self) -> None:
        self._peaks: list[bytes] = []
        self._size = 0

    @property
    def size(self) -> int:
        """How many leaves it has."""
        return self._size

    def append(self, leaf: bytes) -> None:
        """Add a leaf by its hash."""
        digest, size = leaf, self._size
        while size & 1:
            digest = hashlib.sha256(b"\x01" + self._peaks.pop() + digest).digest()
            size >>= 1
        self._peaks.append(digest)
        self._size += 1

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        if not self._peaks:
            return EMPTY_ROOT
        digest = self._peaks[-1]
        for left in reversed(self._peaks[:-1]):
            digest = node_hash(left, digest)
        return digest


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Return the subtrees whose roots prove a leaf, from the leaf upwards.

    Raises:
        ValueError: There is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    low, high = 0, size
    found: list[Range] = []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            found.append((middle, high))
            high = middle
        else:
            found.append((low, middle))
            low = middle
    return found[::-1]


def consistency_ranges(old: int, new: int) -> list[Range]:
    """Return the subtrees whose roots prove that a tree of `new` leaves extends one of `old`.

    Raises:
        ValueError: `old` is beyond `new`, or negative.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} does not extend one of {old}")
    if old in {0, new}:
        return []
    low, high = 0, new
    found: list[Range] = []
    while high != old:
        middle = low + _split(high - low)
        if old <= middle:
            found.append((middle, high))
            high = middle
        else:
            found.append((low, middle))
            low = middle
    if low:  # else the old tree is a subtree of the new one, and its root is known
        found.append((low, high))
    return found[::-1]


class Folding:
    """Computes the roots of disjoint ranges, and of whole prefixes, in one pass over the leaves."""

    def __init__(self, ranges: Sequence[Range], prefixes: Sequence[int] = ()) -> None:
        """Ask for ranges, and for the roots of the trees of the first n leaves.

        Args:
            ranges: Disjoint; answered by `proof` in this order.
            prefixes: Sizes of trees; answered by `roots`.
        """
        self._ranges = list(ranges)
        self._pending = sorted(ranges, reverse=True)
        self._wanted = sorted(set(prefixes), reverse=True)
        self._done: dict[Range, bytes] = {}
        self._part = Tree()
        self._whole = Tree()
        self.roots: dict[int, bytes] = {}
        """Root of each prefix that was reached."""
        self._reach()

    @property
    def size(self) -> int:
        """How many leaves have passed."""
        return self._whole.size

    def add(self, leaf: bytes) -> None:
        """Take the next leaf hash."""
        at = self._whole.size
        self._whole.append(leaf)
        if self._pending and at >= self._pending[-1][0]:
            self._part.append(leaf)
            if at + 1 == self._pending[-1][1]:
                self._done[self._pending.pop()] = self._part.root()
                self._part = Tree()
        if self._wanted and at + 1 == self._wanted[-1]:
            self._reach()

    def root(self) -> bytes:
        """Return the root over everything that passed."""
        return self._whole.root()

    def proof(self) -> list[bytes]:
        """Return the roots of the ranges.

        Raises:
            ValueError: Some range was not passed to its end.
        """
        if self._pending:
            raise ValueError(f"{self.size} leaves do not reach {self._pending[0][1]}")
        return [self._done[each] for each in self._ranges]

    def _reach(self) -> None:
        while self._wanted and self._wanted[-1] == self._whole.size:
            self.roots[self._wanted.pop()] = self._whole.root()


def inclusion_proof(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Prove a leaf of a tree that fits into memory.

    Raises:
        ValueError: There is no such leaf.
    """
    return [root_of(leaves[low:high]) for low, high in inclusion_ranges(index, len(leaves))]


def consistency_proof(old: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Prove that a tree that fits into memory extends its first `old` leaves.

    Raises:
        ValueError: `old` is beyond the tree, or negative.
    """
    return [root_of(leaves[low:high]) for low, high in consistency_ranges(old, len(leaves))]


def includes(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether a proof shows that a leaf hash stands at an index under a root. Never raises."""
    if not 0 <= index < size or any(len(digest) != HASH_BYTES for digest in (leaf, root, *proof)):
        return False
    place, last, digest = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            digest = node_hash(sibling, digest)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            digest = node_hash(digest, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and digest == root


def extends(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether a proof shows that the new tree begins with the old one. Never raises.

    Every tree extends the empty one; equal sizes need equal roots; both with an empty proof.
    """
    if not 0 <= old <= new or any(len(d) != HASH_BYTES for d in (old_root, new_root, *proof)):
        return False
    if old == 0:
        return not proof and old_root == EMPTY_ROOT and (new > 0 or new_root == EMPTY_ROOT)
    if old == new:
        return not proof and old_root == new_root
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and before == old_root and after == new_root


def _split(size: int) -> int:
    """Return the largest power of two below a size that is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)
