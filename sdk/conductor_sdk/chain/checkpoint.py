"""Checkpoints: a log's size and root as a note that people can keep and programs can sign.

Promise: a checkpoint is text in the C2SP checkpoint format, byte for byte what is signed, and what
is read back is refused unless it is exactly such text. Refusal: no file, no key generation, no
clock here; an unsigned checkpoint is never taken for a signed one.

    conductor.journal/log-…      origin: names the log
    1234                         entries under the root
    base64 of 32 bytes           the Merkle root

    — name base64(key id, signature)
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence

import msgspec

from conductor_sdk.chain.merkle import HASH_BYTES
from conductor_sdk.errors import ConductorError, Exit

ORIGIN_PREFIX = "conductor.journal/"
KEY_ID_BYTES = 4
NOTE_MAX = 65_536
_DASH = "\u2014 "
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f\ud800-\udfff]{1,256}\Z")
_SIZE = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z")


class CheckpointMalformed(ConductorError):
    """This is not a checkpoint."""

    code = "CHECKPOINT_MALFORMED"
    default_hint = "make one: conductor log checkpoint"
    exit_code = Exit.USAGE


class Checkpoint(msgspec.Struct, frozen=True):
    """What a log claims to be."""

    origin: str
    """The log's name: text without white space and plus signs."""
    size: int
    root: bytes
    """32 bytes."""

    @property
    def body(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{encode(self.root)}\n"


class Signature(msgspec.Struct, frozen=True):
    """One signature line."""

    name: str
    key_id: bytes
    """4 bytes: which key it claims to be of."""
    signature: bytes


class Note(msgspec.Struct, frozen=True):
    """A checkpoint with its signatures, none of them checked yet."""

    checkpoint: Checkpoint
    signatures: tuple[Signature, ...]

    @property
    def text(self) -> str:
        """The whole note."""
        return self.checkpoint.body + "\n" + "".join(map(_line, self.signatures))


def origin_of(log_id: str) -> str:
    """Return the origin of a log's checkpoints.

    Raises:
        CheckpointMalformed: The log's id cannot stand in a line of a note.
    """
    origin = ORIGIN_PREFIX + log_id
    if not log_id or _NAME.match(origin) is None:
        raise CheckpointMalformed(f"log id {log_id[:80]!a} cannot name a checkpoint")
    return origin


def parse_note(text: str) -> Note:
    """Read a note; signatures are not checked.

    Raises:
        CheckpointMalformed: Any byte is not where the format wants it.
    """
    body, blank, rest = text.partition("\n\n")
    lines = body.split("\n")
    if len(text) > NOTE_MAX or not blank or len(lines) != 3:  # noqa: PLR2004  origin, size, root
        raise CheckpointMalformed("it has not three lines and a blank one")
    origin, size, root = lines
    if _NAME.match(origin) is None or _SIZE.match(size) is None:
        raise CheckpointMalformed("its origin or its size is malformed")
    checkpoint = Checkpoint(origin, int(size), decode(root))
    if len(checkpoint.root) != HASH_BYTES:
        raise CheckpointMalformed("its root has not 32 bytes")
    *signatures, end = rest.split("\n")
    if end:
        raise CheckpointMalformed("its last line does not end")
    return Note(checkpoint, tuple(map(_signature, signatures)))


def encode(data: bytes) -> str:
    """Return bytes as base64."""
    return base64.b64encode(data).decode("ascii")


def decode(text: str) -> bytes:
    """Read base64 that `encode` has written.

    Raises:
        CheckpointMalformed: It is anything else.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise CheckpointMalformed(f"{text[:60]!a} is not base64") from None
    if encode(data) != text:  # bits behind the end: two texts of one value
        raise CheckpointMalformed(f"{text[:60]!a} is not canonical base64")
    return data


def encode_hashes(hashes: Sequence[bytes]) -> str:
    """Return hashes as lines."""
    return "".join(f"{encode(digest)}\n" for digest in hashes)


def _signature(line: str) -> Signature:
    name, space, data = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space or _NAME.match(name) is None:
        raise CheckpointMalformed("a signature line is malformed")
    blob = decode(data)
    if len(blob) <= KEY_ID_BYTES:
        raise CheckpointMalformed("a signature is too short")
    return Signature(name, blob[:KEY_ID_BYTES], blob[KEY_ID_BYTES:])


def _line(signature: Signature) -> str:
    return f"{_DASH}{signature.name} {encode(signature.key_id + signature.signature)}\n"
