"""What the commands of `conductor log` open: the journal, kept checkpoints, keys, projections.

Promise: nothing is signed or proved over a log that is not sound in itself. Refusal: nothing is
printed here, and no command learns where a file stands.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

import msgspec

from conductor_sdk.chain.checkpoint import Checkpoint, Note, origin_of, parse_note
from conductor_sdk.chain.merkle import Folding, Range, leaf_hash
from conductor_sdk.chain.proof import Consistency, parse_consistency
from conductor_sdk.chain.signing import Key, KeyMalformed, parse_key, sign
from conductor_sdk.chain.verdict import State
from conductor_sdk.errors import ConductorError, Exit
from conductor_sdk.projection import GROUP, Projection
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.app import open_journal, read_private
from conductor_state.journal_errors import JournalMissing
from conductor_state.journal_heads import holding_heads
from conductor_state.journal_port import AuditedJournal
from conductor_state.journal_replay import find_drift, rebuild

SIGNED_NAME = "journal.signed.json"
"""The last checkpoint that was signed, beside the journal."""
TEXT_MAX = 262_144


class JournalUnsound(ConductorError):
    """The journal is not sound, so nothing is proved or signed over it."""

    code = "JOURNAL_UNSOUND"
    default_hint = "run: conductor log verify"
    exit_code = Exit.INTEGRITY


class SequenceMissing(ConductorError):
    """The journal has no such entry."""

    code = "LOG_SEQUENCE_MISSING"
    default_hint = "see how long it is: conductor log anchor"
    exit_code = Exit.NOT_FOUND


class CheckpointInconsistent(ConductorError):
    """The journal contradicts a checkpoint that was signed: nothing is signed any more."""

    code = "CHECKPOINT_INCONSISTENT"
    default_hint = "run: conductor log verify; entries that were signed are gone or changed"
    exit_code = Exit.INTEGRITY


class ProjectionUnloadable(ConductorError):
    """An installed distribution names a projection that cannot be loaded."""

    code = "LOG_PROJECTION_UNLOADABLE"
    default_hint = "reinstall the distribution that brings it, or remove it"


class KeyExists(ConductorError):
    """There is a file already, and a key is never overwritten."""

    code = "LOG_KEY_EXISTS"
    default_hint = "name another file"


class LogFileUnreadable(ConductorError):
    """The file that was named cannot be read."""

    code = "LOG_FILE_UNREADABLE"
    default_hint = "look at it: ls -l FILE"
    exit_code = Exit.NOT_FOUND


class Folded(msgspec.Struct, frozen=True):
    """What one pass over the entries gave."""

    checkpoint: Checkpoint
    hashes: list[bytes]
    """Roots of the ranges that were asked for."""
    roots: dict[int, bytes]
    """Roots of the prefixes that were asked for, as far as the log reaches."""
    entry: bytes
    """Bytes of the entry that was asked for."""


class _Gathering:
    """Takes entries as the walk passes them, up to the size of the tree."""

    def __init__(self, folding: Folding, size: int, index: int) -> None:
        self._folding = folding
        self._size = size
        self._index = index
        self.entry = b""

    def __call__(self, entry: bytes) -> None:
        at = self._folding.size
        if at < self._size:
            if at == self._index:
                self.entry = entry
            self._folding.add(leaf_hash(entry))


@contextlib.asynccontextmanager
async def opened_journal(workspace: Path) -> AsyncGenerator[AuditedJournal]:
    """Open the journal of a workspace; reading never creates it."""
    journal = open_journal(resolve_workspace(workspace))
    try:
        yield journal
    finally:
        await journal.close()


def place(workspace: Path) -> Workspace:
    """Return the workspace's paths."""
    return resolve_workspace(workspace)


async def fold(
    journal: AuditedJournal, size: int | None = None, *, ranges: Sequence[Range] = (),
    prefixes: Sequence[int] = (), index: int = -1,
) -> Folded:  # fmt: skip
    """Verify the log and compute its tree in the same pass.

    Args:
        journal: The log.
        size: Leaves of the tree; None for all entries at the start.
        ranges: Subtrees to compute.
        prefixes: Sizes of smaller trees to compute.
        index: A leaf whose bytes are wanted.

    Raises:
        JournalMissing: There is no log.
        JournalUnsound: The walk found a fault.
        SequenceMissing: The log is shorter than `size`.
    """
    size = (await journal.head())[0] if size is None else size
    folding = Folding(ranges, [size, *prefixes])
    gathering = _Gathering(folding, max([size, *prefixes]), index)
    log_id, verdict = await journal.walk(sink=gathering)
    if verdict.source == "MISSING":
        raise JournalMissing(str(journal.path))
    if not verdict.intact:
        detail = f"{verdict.reason} at {verdict.first_bad}: {verdict.detail}"
        raise JournalUnsound(detail)
    if size not in folding.roots:
        raise SequenceMissing(f"{size}; the last is {verdict.size}")
    checkpoint = Checkpoint(origin_of(log_id), size, folding.roots[size])
    return Folded(checkpoint, folding.proof(), folding.roots, gathering.entry)


async def certified(
    workspace: Path, keys: Sequence[Key], *, size: int | None = None,
    ranges: Callable[[int], Sequence[Range]] = lambda _: (), index: int = -1,
) -> tuple[Folded, Note]:  # fmt: skip
    """Compute a tree over the log, or its first `size` entries, and sign its checkpoint.

    What is signed never contradicts what was signed before: the last signed checkpoint is kept
    beside the journal, and compared and replaced under its lock.

    Raises:
        CheckpointInconsistent: The log does not extend the last signed checkpoint.
        JournalUnsound: As `fold`.
        SequenceMissing: As `fold`.
    """
    async with opened_journal(workspace) as journal:
        total = (await journal.head())[0] if size is None else size
        wanted = ranges(total)
        if not keys:
            folded = await fold(journal, total, ranges=wanted, index=index)
            return folded, sign(folded.checkpoint, ())
        with holding_heads(place(workspace).journal_db.with_name(SIGNED_NAME)) as kept:
            sizes = [head.size for head in kept.all()]
            folded = await fold(journal, total, ranges=wanted, prefixes=sizes, index=index)
            new = folded.checkpoint
            known = kept.get(new.origin)
            if known is not None and folded.roots.get(known.size) != known.root:
                raise CheckpointInconsistent(f"size {known.size} was signed with another root")
            note = sign(new, keys)
            if known is None or new.size > known.size:
                kept.put(new)
            return folded, note


async def replayed(journal: AuditedJournal, *, write: bool) -> tuple[State, str, int]:
    """Compare derived tables with a replay, or replace them by it.

    Returns:
        The state afterwards, what is wrong in words, and the rows written.

    Raises:
        JournalUnsound: The log has a fault, so a replay of it would prove nothing.
    """
    verdict = await journal.verify()
    if verdict.source == "MISSING":
        raise JournalMissing(str(journal.path))
    if not verdict.intact:
        raise JournalUnsound(f"{verdict.reason} at {verdict.first_bad}")
    known = projections()
    rows = await rebuild(journal, known) if write and known else 0
    present, drift = await find_drift(journal, known)
    if drift is not None:
        return "DRIFT", f"{drift.projection} {drift.table}: {drift.detail}", rows
    return "OK" if present else "ABSENT", "", rows


def read_key(path: Path) -> Key:
    """Read a key file, which only its owner may read.

    Raises:
        KeyMalformed: It holds something else.
        PrivateFileRefused: Others can read it.
    """
    try:
        return parse_key(read_private(path).decode()).key()
    except FileNotFoundError:
        raise LogFileUnreadable(f"{path}: there is none") from None
    except UnicodeDecodeError:
        raise KeyMalformed(f"{path} is not text") from None


def read_text(path: Path) -> str:
    """Read a checkpoint or a proof that somebody brought.

    Raises:
        LogFileUnreadable: It is not there, too long or not text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(TEXT_MAX + 1)
        if len(data) > TEXT_MAX:
            raise LogFileUnreadable(f"{path} is longer than {TEXT_MAX} bytes")
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise LogFileUnreadable(f"{path}: {error}") from None


def read_growth(text: str) -> Consistency:
    """Read a consistency proof, or a bare checkpoint, which proves growth from nothing."""
    return parse_consistency(text) if text.startswith("old ") else Consistency(
        0, (), parse_note(text)
    )  # fmt: skip


def projections() -> list[Projection]:
    """Load what is installed in the entry-point group of projections, by name."""
    from importlib import metadata

    loaded: list[Projection] = []
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            loaded.append(entry.load())
        except Exception as error:  # foreign code
            raise ProjectionUnloadable(f"{entry.name}: {error}") from error
    return loaded
