"""Proofs as files: that an entry is in a log, and that a log only grew.

Promise: a proof file is self-contained: it carries the entry's bytes and the checkpoint that it
leads to, and `check_*` accepts nothing that does not lead there. Refusal: a proof says nothing
about who made the checkpoint; that is for a signature, a witness or a copy that somebody kept.

An inclusion proof is C2SP `tlog-proof@v1`, whose `extra` line holds the entry's bytes:

    c2sp.org/tlog-proof@v1
    extra base64(entry bytes)
    index 41
    base64 hash …                from the leaf upwards

    checkpoint

A consistency proof is what C2SP witnesses are sent: `old 40`, hashes, a blank line, a checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from conductor_sdk.chain.checkpoint import (
    CheckpointMalformed,
    Note,
    decode,
    encode,
    encode_hashes,
    parse_note,
)
from conductor_sdk.chain.merkle import PROOF_MAX, extends, includes, leaf_hash
from conductor_sdk.errors import ConductorError, Exit

HEADER = "c2sp.org/tlog-proof@v1"
_NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z")


class ProofMalformed(ConductorError):
    """This is not a proof."""

    code = "PROOF_MALFORMED"
    default_hint = "make one: conductor log prove SEQUENCE"
    exit_code = Exit.USAGE


class ProofInvalid(ConductorError):
    """The proof does not lead to its checkpoint."""

    code = "PROOF_INVALID"
    default_hint = "make it again: conductor log prove SEQUENCE"
    exit_code = Exit.INTEGRITY


class Inclusion(msgspec.Struct, frozen=True):
    """That an entry stands in a log."""

    entry: bytes
    """As `encode_entry` gives it."""
    index: int
    """The entry's sequence less one."""
    hashes: tuple[bytes, ...]
    note: Note

    @property
    def text(self) -> str:
        """The file's content."""
        return (
            f"{HEADER}\nextra {encode(self.entry)}\nindex {self.index}\n"
            f"{encode_hashes(self.hashes)}\n{self.note.text}"
        )


class Consistency(msgspec.Struct, frozen=True):
    """That a log of the note's size begins with the log of the old size."""

    old: int
    hashes: tuple[bytes, ...]
    note: Note

    @property
    def text(self) -> str:
        """The file's content."""
        return f"old {self.old}\n{encode_hashes(self.hashes)}\n{self.note.text}"


def parse_inclusion(text: str) -> Inclusion:
    """Read an inclusion proof.

    Raises:
        ProofMalformed: It is something else.
        CheckpointMalformed: Its checkpoint is.
    """
    lines, note = _halves(text)
    if len(lines) < 3 or lines[0] != HEADER:  # noqa: PLR2004  header, extra, index
        raise ProofMalformed(f"it does not begin with {HEADER}")
    entry = _decoded(_after("extra ", lines[1]))
    return Inclusion(entry, _number("index ", lines[2]), _hashes(lines[3:]), note)


def parse_consistency(text: str) -> Consistency:
    """Read a consistency proof.

    Raises:
        ProofMalformed: It is something else.
        CheckpointMalformed: Its checkpoint is.
    """
    lines, note = _halves(text)
    return Consistency(_number("old ", lines[0]), _hashes(lines[1:]), note)


def check_inclusion(proof: Inclusion) -> None:
    """Refuse a proof that does not lead from its entry to its checkpoint.

    Raises:
        ProofInvalid: It does not.
    """
    head = proof.note.checkpoint
    leaf = leaf_hash(proof.entry)
    if not includes(leaf, proof.index, head.size, proof.hashes, head.root):
        raise ProofInvalid(f"entry {proof.index + 1} under {head.origin}, size {head.size}")


def check_consistency(proof: Consistency, old_root: bytes) -> None:
    """Refuse a proof that does not lead from an old root to its checkpoint.

    Raises:
        ProofInvalid: It does not.
    """
    head = proof.note.checkpoint
    if not extends(proof.old, old_root, head.size, head.root, proof.hashes):
        raise ProofInvalid(f"from size {proof.old} to {head.size} of {head.origin}")


def _halves(text: str) -> tuple[list[str], Note]:
    above, blank, below = text.partition("\n\n")
    if not blank:
        raise ProofMalformed("it has no blank line before its checkpoint")
    return above.split("\n"), parse_note(below)


def _after(word: str, line: str) -> str:
    if not line.startswith(word):
        raise ProofMalformed(f"a line does not begin with {word.strip()!r}")
    return line.removeprefix(word)


def _number(word: str, line: str) -> int:
    text = _after(word, line)
    if _NUMBER.match(text) is None:
        raise ProofMalformed(f"{text[:40]!a} is not a number")
    return int(text)


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    if len(lines) > PROOF_MAX:
        raise ProofMalformed(f"it has more than {PROOF_MAX} hashes")
    return tuple(map(_decoded, lines))


def _decoded(text: str) -> bytes:
    try:
        return decode(text)
    except CheckpointMalformed as error:
        raise ProofMalformed(error.detail) from None
