"""How several files change as one: prepare, decide, put in place.

New contents are written beside their files and synced. Then `.commit`, which says what belongs
where, is written, synced and renamed: that decides. Then the files are renamed, the audit lines are
appended, both are synced, and `.commit` is removed. Whoever opens the directory next and finds
`.commit` does the last part again; each step of it can be repeated.

Promise: a crash anywhere leaves all of a change or nothing of it. Refusal: nothing is decided here
about records; a commit names stores, never paths, so that a forged one reaches no other file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from conductor_packs.sidekick.storage import directory as files
from conductor_packs.sidekick.storage.directory import (
    Signature,
    made_child,
    opened_child,
    translated,
)
from conductor_packs.sidekick.storage.errors import StorageError, StoreBusy, StoreCorrupt
from conductor_packs.sidekick.storage.layout import (
    AUDIT,
    AUDIT_ROTATED,
    COMMIT,
    COMMIT_TEMPORARY,
    DIRECTORIES,
    PLACES,
    TEMPORARY,
    rotated,
)
from conductor_packs.sidekick.storage.worker import Step

STEPS = (
    "begun", "staging", "staged", "recording", "recorded", "decided", "moved", "appending",
    "appended", "applied", "cleared",
)  # fmt: skip
"""Up to `recorded` nothing happened; from `decided` on everything did."""


class Move(msgspec.Struct, frozen=True):
    """A store's new content, still under a temporary name."""

    store: str
    temporary: str


class Append(msgspec.Struct, frozen=True):
    """Lines for the audit file; what is behind `offset` already is replaced by them."""

    offset: int
    lines: str


class Commit(msgspec.Struct, frozen=True):
    """What `.commit` holds."""

    nonce: str
    moves: tuple[Move, ...]
    audit: Append | None = None


class _Sealed(msgspec.Struct, frozen=True):
    commit: msgspec.Raw
    sha256: str


@dataclass(frozen=True, slots=True)
class Replacement:
    """A store's new content and the version that it replaces."""

    content: Iterable[bytes]
    before: Signature | None


def read_commit(root: int) -> Commit | None:
    """Return what was decided and is perhaps not in place yet; None: nothing.

    Raises:
        StoreCorrupt: The file is there and damaged; it was synced before it got its name.
    """
    found = files.read_file(root, COMMIT)
    if found is None:
        return None
    try:
        sealed = msgspec.json.decode(found[0], type=_Sealed)
        commit = msgspec.json.decode(sealed.commit, type=Commit)
    except msgspec.MsgspecError as error:
        raise StoreCorrupt(f"{COMMIT}: {error}") from None
    known = all(move.store in PLACES and TEMPORARY.fullmatch(move.temporary)
                and "/" not in move.temporary for move in commit.moves)  # fmt: skip
    if not known or hashlib.sha256(bytes(sealed.commit)).hexdigest() != sealed.sha256:
        raise StoreCorrupt(f"{COMMIT}: its digest or its names are wrong")
    return commit


class Committer:
    """Makes changes of a directory whose lock is held."""

    def __init__(self, root: int, *, step: Step, audit_max_bytes: int) -> None:
        """Do nothing yet.

        Args:
            root: The directory, open.
            step: Told after each step.
            audit_max_bytes: An audit file that is larger is closed, and a new one begun.
        """
        self._root = root
        self._step = step
        self._audit_max_bytes = audit_max_bytes

    def recover(self) -> bool:
        """Finish what a dead process had decided; returns whether there was something.

        Raises:
            StorageError: It cannot be finished.
        """
        commit = read_commit(self._root)
        if commit is None:
            return False
        with translated(COMMIT):
            self._apply(commit)
        return True

    def sweep(self) -> None:
        """Remove what dead processes had prepared and not decided."""
        with translated("temporary files"):
            files.remove_file(self._root, COMMIT_TEMPORARY)
            for name in DIRECTORIES:
                with opened_child(self._root, name) as directory:
                    if directory is not None:
                        for found in filter(TEMPORARY.fullmatch, files.names_in(directory)):
                            files.remove_file(directory, found)

    def commit(
        self, replacements: Mapping[str, Replacement], lines: bytes, still_ours: Callable[[], bool]
    ) -> dict[str, Signature]:
        """Replace stores and append audit lines, as one; returns the new versions.

        Returning means decided: should putting in place fail then, the next opener goes on.

        Args:
            replacements: By the store's name.
            lines: Whole audit lines; may be empty.
            still_ours: Asked last, before it is decided.

        Raises:
            StorageError: Nothing happened.
        """
        self._step("begun")
        moves: list[Move] = []
        try:
            versions = {
                store: self._stage(store, replacement, moves)
                for store, replacement in replacements.items()
            }
            self._step("staged")
            append = Append(self._audit_offset(), lines.decode()) if lines else None
            commit = Commit(secrets.token_hex(8), tuple(moves), append)
            self._decide(commit, replacements, still_ours)
        except (OSError, StorageError) as error:
            self._discard(moves)
            if isinstance(error, StorageError):
                raise
            raise StorageError(f"{error.filename or 'write'}: {error.strerror}") from error
        with contextlib.suppress(OSError, StorageError):
            self._step("decided")
            self._apply(commit)
        return versions

    def _stage(self, store: str, replacement: Replacement, moves: list[Move]) -> Signature:
        place = PLACES[store]
        temporary = f"{place.name}.tmp-{secrets.token_hex(4)}"
        moves.append(Move(store, temporary))
        with made_child(self._root, place.directory) as directory:
            self._step("staging")
            return files.create_file(
                directory, temporary, replacement.content, after=replacement.before
            )

    def _audit_offset(self) -> int:
        """Return where the next line goes; closes an audit file that is large enough."""
        with made_child(self._root, AUDIT.directory) as directory:
            found = files.status_of(directory, AUDIT.name)
            if found is None:
                return 0
            if found.size >= self._audit_max_bytes:
                closed = map(AUDIT_ROTATED.fullmatch, files.names_in(directory))
                number = 1 + max((int(name[1]) for name in closed if name), default=0)
                os.rename(AUDIT.name, rotated(number), src_dir_fd=directory, dst_dir_fd=directory)
                os.fsync(directory)
                return 0
            return found.size

    def _decide(
        self,
        commit: Commit,
        replacements: Mapping[str, Replacement],
        still_ours: Callable[[], bool],
    ) -> None:
        body = msgspec.json.encode(commit)
        sealed = _Sealed(msgspec.Raw(body), hashlib.sha256(body).hexdigest())
        files.remove_file(self._root, COMMIT_TEMPORARY)
        self._step("recording")
        files.create_file(self._root, COMMIT_TEMPORARY, [msgspec.json.encode(sealed), b"\n"])
        self._step("recorded")
        for store, replacement in replacements.items():
            if files.status_of(self._root, PLACES[store].path) != replacement.before:
                raise StoreBusy(f"{PLACES[store].path} was changed by another program meanwhile")
        if not still_ours():
            raise StoreBusy("the lock file was removed while it was held")
        os.rename(COMMIT_TEMPORARY, COMMIT, src_dir_fd=self._root, dst_dir_fd=self._root)
        try:
            os.fsync(self._root)
        except OSError:
            files.remove_file(self._root, COMMIT)
            raise

    def _discard(self, moves: Iterable[Move]) -> None:
        with contextlib.suppress(OSError, StorageError):
            files.remove_file(self._root, COMMIT_TEMPORARY)
            for move in moves:
                with opened_child(self._root, PLACES[move.store].directory) as directory:
                    if directory is not None:
                        files.remove_file(directory, move.temporary)

    def _apply(self, commit: Commit) -> None:
        for move in commit.moves:
            place = PLACES[move.store]
            with made_child(self._root, place.directory) as directory:
                with contextlib.suppress(FileNotFoundError):  # moved already
                    os.rename(move.temporary, place.name, src_dir_fd=directory,
                              dst_dir_fd=directory)  # fmt: skip
                os.fsync(directory)
            self._step("moved")
        if commit.audit is not None:
            self._append(commit.audit)
        self._step("applied")
        files.remove_file(self._root, COMMIT)
        self._step("cleared")

    def _append(self, append: Append) -> None:
        with made_child(self._root, AUDIT.directory) as directory:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(AUDIT.name, flags, 0o600, dir_fd=directory)
            try:
                offset = min(append.offset, os.fstat(descriptor).st_size)
                os.ftruncate(descriptor, offset)
                self._step("appending")
                os.lseek(descriptor, offset, os.SEEK_SET)
                torn = offset > 0 and os.pread(descriptor, 1, offset - 1) != b"\n"
                files.write_all(descriptor, (b"\n" if torn else b"") + append.lines.encode())
                self._step("appended")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if offset == 0:
                os.fsync(directory)
