"""Reading the audit trail: closed files first, then the open one, up to what is in force.

Promise: what a survey saw is what is returned, also while lines are appended; a torn or foreign
line is left out. Refusal: nothing is removed here, and no file grows in memory: only counts are
kept between two reads.
"""

from __future__ import annotations

import threading

from conductor_packs.sidekick.records import AuditEvent
from conductor_packs.sidekick.storage import directory as files
from conductor_packs.sidekick.storage.codec import decode_lines
from conductor_packs.sidekick.storage.directory import opened_child
from conductor_packs.sidekick.storage.layout import AUDIT, AUDIT_ROTATED
from conductor_packs.sidekick.storage.survey import Moved, Survey


class AuditCounts:
    """How many events each audit file holds, up to where they were counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[int, tuple[int, int]] = {}
        """By inode: the size that was counted, up to a line's end, and the number."""

    def count(self, root: int, survey: Survey) -> int:
        """Return how many events are in force; reads only what was not counted before.

        Raises:
            Moved: The files changed since the survey.
            StorageError: They cannot be read.
        """
        with opened_child(root, AUDIT.directory) as directory:
            closed = sum(self._closed(directory, name) for name in _closed_names(directory))
            if survey.append is not None or survey.audit is None:
                return closed + len(decode_lines(_open_part(directory, survey)))
            return closed + self._grown(directory, AUDIT.name, survey.audit.inode,
                                        survey.audit.size)  # fmt: skip

    def _closed(self, directory: int | None, name: str) -> int:
        found = files.status_of(directory, name) if directory is not None else None
        if found is None:
            raise Moved
        return self._grown(directory, name, found.inode, found.size)

    def _grown(self, directory: int | None, name: str, inode: int, size: int) -> int:
        with self._lock:
            start, number = self._counted.get(inode, (0, 0))
        if start > size:
            start, number = 0, 0
        if start == size:
            return number
        content = _read(directory, name, inode, start)[: size - start]
        whole = content.rfind(b"\n") + 1
        number += len(decode_lines(content[:whole]))
        with self._lock:
            self._counted[inode] = (start + whole, number)
        return number + len(decode_lines(content[whole:]))


def read_events(root: int, survey: Survey, limit: int | None) -> list[AuditEvent]:
    """Return the events in force, oldest first; with `limit` the newest ones only.

    Raises:
        Moved: The files changed since the survey.
        StorageError: They cannot be read.
    """
    with opened_child(root, AUDIT.directory) as directory:
        parts = [decode_lines(_open_part(directory, survey))]
        number = len(parts[0])
        for name in reversed(_closed_names(directory)):
            if limit is not None and number >= limit:
                break
            found = files.read_file(directory, name) if directory is not None else None
            if found is None:
                raise Moved
            parts.append(decode_lines(found[0]))
            number += len(parts[-1])
    events = [event for part in reversed(parts) for event in part]
    return events if limit is None else events[max(0, len(events) - limit) :]


def _open_part(directory: int | None, survey: Survey) -> bytes:
    """Return what is in force of the open file, a pending commit's lines included."""
    size = survey.audit.size if survey.audit is not None else 0
    if survey.append is not None:
        size = min(size, survey.append.offset)
    content = b""
    if survey.audit is not None:
        content = _read(directory, AUDIT.name, survey.audit.inode, 0)[:size]
    if survey.append is None:
        return content
    return content + b"\n" + survey.append.lines.encode()


def _read(directory: int | None, name: str, inode: int, start: int) -> bytes:
    found = files.read_file(directory, name, start=start) if directory is not None else None
    if found is None or found[1].inode != inode:
        raise Moved
    return found[0]


def _closed_names(directory: int | None) -> list[str]:
    if directory is None:
        return []
    return [name for name in files.names_in(directory) if AUDIT_ROTATED.fullmatch(name)]
