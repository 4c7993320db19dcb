"""The directory of one embedded conductor: its history, its address and its operator token.

Promise: the operating system's lock says whether a conductor runs here, so a file that a killed
one left behind misleads nobody; every file is private to its user. Refusal: no database is opened
here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import tempfile
from collections.abc import Generator
from pathlib import Path
from urllib.parse import quote

import msgspec

from conductor_sdk.secret import Secret
from conductor_server.errors import DevBusy

_TOKEN_BYTES = 32


class Running(msgspec.Struct, frozen=True):
    """Where the conductor of a directory listens, or last listened."""

    url: str
    port: int
    pid: int
    started_at: str


class DevDirectory:
    """Paths and facts of one directory; nothing is made before `hold`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.history = path / "history.db"
        """The database of the history."""
        self._facts = path / "dev.json"
        self._operator = path / "operator.token"
        self._lock = path / "dev.lock"

    def token_file(self, workspace: str) -> Path:
        """Return where the enrollment token of a workspace is written."""
        return self.path / f"{quote(workspace, safe='')}.token"

    @contextlib.contextmanager
    def hold(self) -> Generator[None]:
        """Own the directory while the context is open.

        Raises:
            DevBusy: Another process owns it.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                facts = self._read_facts()
                where = f"{self.path}" if facts is None else f"{facts.url}, process {facts.pid}"
                raise DevBusy(where) from None
            yield
        finally:
            os.close(descriptor)

    def running(self) -> Running | None:
        """Return the address of the conductor that runs here; None when none does."""
        try:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._read_facts()
        else:
            return None
        finally:
            os.close(descriptor)

    def last_port(self) -> int | None:
        """Return the port of the last run, so that enrolled sidecars find the next one."""
        facts = self._read_facts()
        return None if facts is None else facts.port

    def announce(self, running: Running) -> None:
        """Write where the conductor listens, for the commands beside it."""
        self._write(self._facts, msgspec.json.encode(running))

    def new_operator_token(self) -> Secret:
        """Make the operator token of this run; that of an earlier run ends here."""
        text = secrets.token_urlsafe(_TOKEN_BYTES)
        self._write(self._operator, text.encode())
        return Secret(text)

    def operator_token(self) -> Secret:
        """Read the operator token of the running conductor.

        Raises:
            FileNotFoundError: None ever ran here.
        """
        return Secret(self._operator.read_text(encoding="ascii").strip())

    def write_token(self, workspace: str, text: Secret) -> Path:
        """Write an enrollment token where `conductor enroll --token-file` takes it from."""
        path = self.token_file(workspace)
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private_file(path, text)
        return path

    def forget_history(self) -> None:
        """Remove the database, with what SQLite keeps beside it; the caller has closed it."""
        for suffix in ("", "-wal", "-shm", "-journal"):
            self.history.with_name(self.history.name + suffix).unlink(missing_ok=True)

    def _read_facts(self) -> Running | None:
        try:
            return msgspec.json.decode(self._facts.read_bytes(), type=Running)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def _write(self, path: Path, data: bytes) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(path, data)


def write_private_file(path: Path, text: Secret) -> None:
    """Write a secret as one line into a file of mode 0600; an existing file is replaced."""
    _replace(path, text.reveal().encode() + b"\n")


def _replace(path: Path, data: bytes) -> None:
    # mkstemp makes it with mode 0600; the rename shows it whole or not at all.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(path)
