"""SQLite's way to a simulated disk, through apsw.

Without shared memory: a database in WAL mode has one connection, in exclusive locking mode, which
is how its owner uses it anyway.
"""

from __future__ import annotations

import itertools
import sqlite3

import apsw

from simdisk.disk import SimDisk, SimFile

_names = itertools.count(1)
_POWERSAFE = 0x1000
"""A write changes no byte beside it, as SQLite takes for granted on every disk."""
_SECTOR = 4096
_NOENT = 5898
_IS_NEW = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL


def _refused(error: OSError) -> apsw.Error:
    code: int = getattr(error, "sqlite", apsw.SQLITE_IOERR)
    refused: apsw.Error = apsw.exception_for(code)
    refused.args = (str(error),)
    return refused


class SimVFS(apsw.VFS):
    """One disk, under a name of its own."""

    def __init__(self, disk: SimDisk) -> None:
        self.disk = disk
        self.name = f"simdisk-{next(_names)}"
        super().__init__(self.name, base="")

    def excepthook(self, *_: object) -> bool:
        """Keep quiet about failures that SQLite itself passes over."""
        return True

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> SimHandle:  # type: ignore[override]  # noqa: N802  duck-typed, as apsw allows
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        assert path is not None, "temp_store is MEMORY"
        new = path not in self.disk.names
        if new and not flags[0] & apsw.SQLITE_OPEN_CREATE:
            raise apsw.CantOpenError(path)
        try:
            file = self.disk.create(path)
        except OSError as error:
            raise _refused(error) from None
        flags[1] = flags[0]
        return SimHandle(self.disk, path, file, names_new=new and bool(flags[0] & _IS_NEW))

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        if filename not in self.disk.names:
            missing: apsw.Error = apsw.exception_for(_NOENT)
            raise missing
        try:
            self.disk.remove(filename)
            if syncdir:
                self.disk.sync_directory(filename.rpartition("/")[0])
        except OSError as error:
            raise _refused(error) from None

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        return pathname in self.disk.names

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name

    def xRandomness(self, numbytes: int) -> bytes:  # noqa: N802
        return bytes(numbytes)

    def xSleep(self, microseconds: int) -> int:  # noqa: N802
        return microseconds

    def xCurrentTimeInt64(self) -> int:  # noqa: N802
        return 212_000_000_000_000


class SimHandle:
    """One open file of one life of the process."""

    def __init__(self, disk: SimDisk, path: str, file: SimFile, *, names_new: bool) -> None:
        self._disk, self._path, self._file = disk, path, file
        self._names_new = names_new
        self._life = disk.life

    @property
    def _dead(self) -> bool:
        return self._disk.life != self._life

    def excepthook(self, *_: object) -> bool:
        """Keep quiet about failures that SQLite itself passes over."""
        return True

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        if self._dead:
            return b""  # SQLite calls that an error, and apsw prints nothing
        try:
            return self._disk.read(self._path, self._file, amount, offset)
        except OSError as error:
            raise _refused(error) from None

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if self._dead:
            return
        try:
            self._disk.write(self._path, self._file, bytes(data), offset)
        except OSError as error:
            raise _refused(error) from None

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        if self._dead:
            return
        try:
            self._disk.truncate(self._path, self._file, newsize)
        except OSError as error:
            raise _refused(error) from None

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._dead:
            return
        try:
            self._disk.sync(self._path, self._file)
            if self._names_new:  # as SQLite does for a journal that it has made
                self._disk.sync_directory(self._path.rpartition("/")[0])
                self._names_new = False
        except OSError as error:
            raise _refused(error) from None

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._file.live)

    def xLock(self, level: int) -> None:  # noqa: N802
        others = [held for handle, held in self._file.locks.items() if handle is not self]
        highest = max(others, default=0)
        taken = (
            (level == apsw.SQLITE_LOCK_SHARED and highest >= apsw.SQLITE_LOCK_PENDING)
            or (level == apsw.SQLITE_LOCK_RESERVED and highest >= apsw.SQLITE_LOCK_RESERVED)
            or (level == apsw.SQLITE_LOCK_EXCLUSIVE and highest > 0)
        )
        if taken and level == apsw.SQLITE_LOCK_EXCLUSIVE and highest == apsw.SQLITE_LOCK_SHARED:
            self._file.locks[self] = apsw.SQLITE_LOCK_PENDING  # keeps new readers away
        if taken:
            raise apsw.BusyError(self._path)
        self._file.locks[self] = level

    def xUnlock(self, level: int) -> None:  # noqa: N802
        if level:
            self._file.locks[self] = level
        else:
            self._file.locks.pop(self, None)

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        held = max(self._file.locks.values(), default=0)
        return bool(held >= apsw.SQLITE_LOCK_RESERVED)

    def xClose(self) -> None:  # noqa: N802
        self._file.locks.pop(self, None)

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        return _SECTOR

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return _POWERSAFE


assert sqlite3.SQLITE_IOERR == apsw.SQLITE_IOERR, "the codes are the same everywhere"
