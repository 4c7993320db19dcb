"""The disk: what processes see, what the platter holds, and everything between the two.

Writes are kept in order until the file is synced. A power cut keeps, of every write that was not
synced, any of its sectors; of directory operations, any number of the first ones: file systems
journal names in order, and nothing else. An unsynced part of a file that grew reads as zeros.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, TypeAlias

Kind: TypeAlias = Literal["read", "write", "truncate", "sync", "create", "remove", "rename"]
SECTORS = (512, 4096)
CHANGES = frozenset({"write", "truncate", "sync", "create", "remove", "rename"})


class Failure(NamedTuple):
    """How an operation fails."""

    sqlite: int
    """The extended code that SQLite is given."""
    errno: int
    """The code for everybody else."""


class Faults(Protocol):
    """Decides which operation fails."""

    def __call__(self, kind: Kind, path: str) -> Failure | None:
        """Return how this operation fails; None: it does not."""
        ...


class PowerLost(OSError):
    """The power went with this operation: part of it may be on the platter."""

    sqlite = 10


def no_faults(kind: Kind, path: str) -> None:
    """Let everything succeed."""


class _Write(NamedTuple):
    offset: int
    data: bytes


class _Truncate(NamedTuple):
    size: int


@dataclass(eq=False, slots=True)
class SimFile:
    """One inode."""

    number: int
    live: bytearray = field(default_factory=bytearray)
    platter: bytearray = field(default_factory=bytearray)
    pending: list[_Write | _Truncate] = field(default_factory=list)
    locks: dict[object, int] = field(default_factory=dict)
    """SQLite's lock level of each open handle that has one."""


class _Link(NamedTuple):
    path: str
    file: SimFile | None
    """None: the name is removed."""


class SimDisk:
    """See the package. Paths are absolute; directories need not be made."""

    def __init__(self, *, capacity: int | None = None) -> None:
        self.names: dict[str, SimFile] = {}
        self.capacity = capacity
        """Bytes of all files together; writes beyond fail as on a full disk. None: endless."""
        self.faults: Faults = no_faults
        self.life = 0
        """Grows with every death; handles of an earlier life are dead."""
        self.syncs_are_lies = False
        """Whether a sync succeeds without doing anything."""
        self.operations = 0
        """Changes that were asked for, failed ones included."""
        self.reads = 0
        self.dies_at: int | None = None
        """The change with which the power goes; from it on everything fails. Call `power_cut`."""
        self._names: dict[str, SimFile] = {}
        self._unsynced: dict[str, list[_Link]] = {}
        self._inodes = 0
        self._at_death: list[Callable[[], None]] = []

    # Files

    def create(self, path: str) -> SimFile:
        """Make an empty file where there is none."""
        file = self.names.get(path)
        if file is None:
            self.check("create", path)
            self._inodes += 1
            file = SimFile(self._inodes)
            self._link(path, file)
        return file

    def read(self, path: str, file: SimFile, size: int, offset: int) -> bytes:
        """Read what processes see."""
        self.check("read", path)
        return bytes(file.live[offset : offset + size])

    def write(self, path: str, file: SimFile, data: bytes, offset: int) -> None:
        """Write; durable after a `sync`."""
        change = _Write(offset, data)
        self._change(file, change, path, max(0, offset + len(data) - len(file.live)))

    def truncate(self, path: str, file: SimFile, size: int) -> None:
        """Cut or extend; durable after a `sync`."""
        self._change(file, _Truncate(size), path, 0)

    def sync(self, path: str, file: SimFile) -> None:
        """Bring a file's content to the platter.

        After a failure the pages count as clean, as on Linux: they are read as they were written,
        no later sync writes them, and a power cut loses them.
        """
        try:
            self.check("sync", path)
        except PowerLost:
            raise
        except OSError:
            file.pending.clear()
            raise
        if self.syncs_are_lies:
            return
        for change in file.pending:
            _apply(file.platter, change)
        file.pending.clear()

    def sync_directory(self, directory: str) -> None:
        """Bring a directory's names to the platter."""
        self.check("sync", directory)
        if not self.syncs_are_lies:
            for link in self._unsynced.pop(directory, ()):
                _relink(self._names, link)

    def remove(self, path: str) -> None:
        """Take a name away; durable after `sync_directory`."""
        self.check("remove", path)
        self._link(path, None)

    def rename(self, path: str, target: str) -> None:
        """Give a file another name in the same directory; durable after `sync_directory`."""
        self.check("rename", path)
        file = self.names[path]
        self._link(target, file)
        self._link(path, None)

    # Deaths

    def at_death(self, work: Callable[[], None]) -> None:
        """Call `work` when the process dies: it lets go of what it holds."""
        self._at_death.append(work)

    def crash(self) -> None:
        """Let the process die: what was written is there, synced or not."""
        self.life += 1
        self.dies_at = None
        dying, self._at_death = self._at_death, []
        for work in dying:
            work()
        for file in self.names.values():
            file.locks.clear()

    def power_cut(self, seed: int) -> None:
        """Let the machine die: of what was not synced, an arbitrary part is there."""
        self.crash()
        dice = random.Random(seed)
        sector = dice.choice(SECTORS)
        for directory in sorted(self._unsynced):
            links = self._unsynced[directory]
            for link in links[: dice.randint(0, len(links))]:
                _relink(self._names, link)
        self._unsynced.clear()
        self.names = dict(self._names)
        for path in sorted(self.names):
            _lose(self.names[path], dice, sector)

    def image(self) -> SimDisk:
        """Return another disk with what the platter holds of this one."""
        copy = SimDisk(capacity=self.capacity)
        copy._inodes = self._inodes
        for path, file in self._names.items():
            copied = SimFile(file.number, bytearray(file.platter), bytearray(file.platter))
            copy.names[path] = copy._names[path] = copied
        return copy

    def seen(self) -> SimDisk:
        """Return another disk with what the processes of this one see."""
        copy = SimDisk()
        copy._inodes = self._inodes
        for path, file in self.names.items():
            copied = SimFile(file.number, bytearray(file.live), bytearray(file.live))
            copy.names[path] = copy._names[path] = copied
        return copy

    @property
    def used(self) -> int:
        """Bytes of all files together."""
        return sum(len(file.live) for file in self.names.values())

    def check(self, kind: Kind, path: str, room: int = 0) -> None:
        """Raise what the faults, or the lack of room, make of an operation."""
        if kind in CHANGES:
            self.operations += 1
            if self.dies_at is not None and self.operations >= self.dies_at:
                raise PowerLost(5, f"the power is gone: {kind} {path}")
        else:
            self.reads += 1
        failure = self.faults(kind, path)
        if failure is None and room and self.capacity is not None:
            failure = FULL if self.used + room > self.capacity else None
        if failure is not None:
            error = OSError(failure.errno, f"forced by a test: {kind} {path}")
            error.sqlite = failure.sqlite  # type: ignore[attr-defined]  read by `vfs`
            raise error

    def _change(self, file: SimFile, change: _Write | _Truncate, path: str, room: int) -> None:
        try:
            self.check("write" if isinstance(change, _Write) else "truncate", path, room)
        except PowerLost:
            if self.operations == self.dies_at:
                file.pending.append(change)
            raise
        file.pending.append(change)
        _apply(file.live, change)

    def _link(self, path: str, file: SimFile | None) -> None:
        link = _Link(path, file)
        self._unsynced.setdefault(path.rpartition("/")[0], []).append(link)
        _relink(self.names, link)


FULL = Failure(13, 28)
"""SQLITE_FULL, ENOSPC."""


def _relink(names: dict[str, SimFile], link: _Link) -> None:
    if link.file is None:
        names.pop(link.path, None)
    else:
        names[link.path] = link.file


def _apply(content: bytearray, change: _Write | _Truncate) -> None:
    match change:
        case _Write(offset, data):
            if offset > len(content):
                content.extend(bytes(offset - len(content)))
            content[offset : offset + len(data)] = data
        case _Truncate(size):
            if size < len(content):
                del content[size:]
            else:
                content.extend(bytes(size - len(content)))


def _lose(file: SimFile, dice: random.Random, sector: int) -> None:
    """Keep an arbitrary part of what was not synced."""
    keep = dice.choice((0.0, 0.2, 0.5, 0.8, 0.95, 1.0))
    in_order = dice.random() < 0.5
    cut = dice.randint(0, len(file.pending)) if in_order else len(file.pending)
    for place, change in enumerate(file.pending):
        if place > cut or (not in_order and isinstance(change, _Truncate) and dice.random() > keep):
            continue
        if isinstance(change, _Truncate):
            _apply(file.platter, change)
            continue
        whole = in_order and place < cut
        for part in _sectors(change, sector):
            if whole or dice.random() < keep:
                _apply(file.platter, part)
    file.pending.clear()
    file.live = bytearray(file.platter)


def _sectors(change: _Write, sector: int) -> list[_Write]:
    parts: list[_Write] = []
    start, end = change.offset, change.offset + len(change.data)
    while start < end:
        stop = min(end, (start // sector + 1) * sector)
        data = change.data[start - change.offset : stop - change.offset]
        parts.append(_Write(start, data))
        start = stop
    return parts
