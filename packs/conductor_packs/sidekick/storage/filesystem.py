"""Sidekick's storage as files: JSON that a person can read and compare, safe between processes.

Promise: a change and its audit events are on disk when it is answered, or neither ever is; reads
take no lock, write nothing and see one state; a damaged file is named and left alone. Refusal: no
lock is taken from a living holder, and no path leads out of the workspace.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from conductor_packs.sidekick.storage.codec import encode_line, encode_record, encode_table
from conductor_packs.sidekick.storage.commit import Committer, Replacement
from conductor_packs.sidekick.storage.directory import made_root, opened_root
from conductor_packs.sidekick.storage.errors import StorageError, StoreBusy
from conductor_packs.sidekick.storage.lockfile import LOCK_WAIT_S, Held, held_lock
from conductor_packs.sidekick.storage.port import View
from conductor_packs.sidekick.storage.snapshot import Growth, ParsedStores, Snapshot, Working
from conductor_packs.sidekick.storage.survey import Moved, Survey, survey
from conductor_packs.sidekick.storage.threaded import ThreadedStoragePort, absolute
from conductor_packs.sidekick.storage.work import plain, run_job
from conductor_packs.sidekick.storage.worker import Job, Step, no_step
from conductor_sdk.clock import Clock, SystemClock

T = TypeVar("T")

AUDIT_MAX_BYTES = 8 * 1024 * 1024
_READ_TRIES = 1000
_NOTHING = Survey({}, None, None)


class FilesystemStoragePort(ThreadedStoragePort):
    """A `StoragePort` on a directory, by default `.sidekick` of the workspace.

    Files are private (0600, directories 0700). Several processes may use one directory. On a file
    system that does not lock (`flock`), as some network mounts, use one process.
    """

    def __init__(
        self,
        root_dir: Path,
        *,
        workspace: Path | None = None,
        clock: Clock | None = None,
        lock_wait_s: float = LOCK_WAIT_S,
        audit_max_bytes: int = AUDIT_MAX_BYTES,
        step: Step = no_step,
    ) -> None:
        """Touch nothing yet.

        Args:
            root_dir: Where the files are; made by the first change.
            workspace: What the directory must lie in, links followed; its parent by default.
            clock: Gives the time of audit events.
            lock_wait_s: How long a change waits for another process before `StoreBusy`.
            audit_max_bytes: An audit file this large is closed as `events.000001.jsonl` and so on;
                closed files are read, and never removed.
            step: Told after each step of a commit, in the thread that makes it.
        """
        root = absolute(root_dir)
        writer = _Writer(
            root, workspace or root.parent, clock or SystemClock(), audit_max_bytes, step
        )
        super().__init__(root, writer, name="sidekick-files", lock_wait_s=lock_wait_s)


class _Writer:
    """What happens in threads: reading, and committing groups of changes."""

    def __init__(
        self, root: Path, workspace: Path, clock: Clock, audit_max_bytes: int, step: Step
    ) -> None:
        self._root = root
        self._workspace = workspace
        self._clock = clock
        self._audit_max_bytes = audit_max_bytes
        self._step = step
        self._parsed = ParsedStores()
        self._lines = _Lines()
        self._swept = False
        self._held: tuple[int, Held, Committer] | None = None

    def read(self, work: Callable[[View], T]) -> T:
        """Run a read; again where the state moved on under it."""
        for _ in range(_READ_TRIES):
            with opened_root(self._root, self._workspace) as root:
                seen = _NOTHING if root is None else survey(root)
                try:
                    return plain(work(Snapshot(root, seen, self._parsed)))
                except Moved:
                    continue
        raise StoreBusy("it changed during every attempt to read it")

    def close(self) -> None:
        """Give up what was kept in memory."""
        self._parsed.index.close()

    @contextlib.contextmanager
    def hold(self, wait_s: float) -> Generator[None]:
        """Hold the directory; what a dead holder left is finished or swept first."""
        with (
            made_root(self._root, self._workspace) as root,
            held_lock(root, wait_s) as held,
        ):
            committer = Committer(root, step=self._step,
                                  audit_max_bytes=self._audit_max_bytes)  # fmt: skip
            unfinished = committer.recover()
            if unfinished or held.after_death or not self._swept:
                committer.sweep()
                self._swept = True
            self._held = (root, held, committer)
            try:
                yield
            finally:
                self._held = None

    def perform(self, jobs: list[Job]) -> None:
        """Run the jobs one on another, then commit what they wrote together."""
        if self._held is None:
            raise StorageError("not held")
        root, held, committer = self._held
        working = Working(root, survey(root), self._parsed)
        for job in jobs:
            draft = run_job(job, working, self._clock)
            if draft is not None:
                working.apply(draft)
        if not working.changed and not working.events:
            return
        lines = b"".join(encode_line(event) for event in working.events)
        try:
            versions = committer.commit(self._replacements(working), lines, held.still_ours)
        except BaseException:
            self._lines.forget()
            raise
        for name, version in versions.items():
            self._parsed.keep(name, version, working.changed[name].table)

    def _replacements(self, working: Working) -> dict[str, Replacement]:
        found: dict[str, Replacement] = {}
        for name, growth in working.changed.items():
            located = working.survey.stores.get(name)
            before = located.version if located is not None and not located.legacy else None
            found[name] = Replacement(encode_table(self._lines.of(name, growth)), before)
        return found


class _Lines:
    """The text of every record, so that a change writes a large store without encoding it."""

    def __init__(self) -> None:
        self._encoded: dict[str, _Encoded] = {}

    def of(self, store: str, growth: Growth) -> Iterable[bytes]:
        """Return the lines of each record, in order; encodes only those that are new."""
        known = self._encoded.get(store)
        if known is not None and known.table is growth.before:
            lines = known.lines
            for key, record in growth.writes:
                if record is None:
                    lines.pop(key, None)
                else:
                    lines[key] = encode_record(record)
        else:
            lines = _encode(growth.table, known)
        self._encoded[store] = _Encoded(growth.table, lines)
        return lines.values()

    def forget(self) -> None:
        """Drop everything; encoded again when it is needed."""
        self._encoded.clear()


class _Encoded(NamedTuple):
    table: Mapping[str, Any]
    lines: dict[str, bytes]


def _encode(table: Mapping[str, Any], known: _Encoded | None) -> dict[str, bytes]:
    """Encode a table that another process wrote; what it left as it was is not encoded again."""
    before: Mapping[str, Any] = known.table if known is not None else {}
    lines = known.lines if known is not None else {}
    return {
        key: lines[key] if before.get(key) == record else encode_record(record)
        for key, record in table.items()
    }
