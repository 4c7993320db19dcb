"""Where the files of a workspace are, and how its control socket is bound and reached.

Promise: every path of ours is inside the workspace, in directories that only their owner can
open; a path that is too long for a socket address works all the same. Refusal: a state directory
that a symbolic link leads out of the workspace, or that belongs to someone else, is not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from conductor_sdk.errors import ConductorError, Exit, SidecarUnreachable

STATE_PARTS = (".lumenflow", "state", "conductor")
SOCKET_NAME = "control.sock"
SOCKET_PATH_MAX = 107 if sys.platform == "linux" else 103
"""Bytes of a socket address, without the final NUL."""
_PRIVATE = 0o700
_RETRY_S = 0.02
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,127}\Z")


class WorkspaceMissing(ConductorError):
    """The workspace is not a directory."""

    code = "WORKSPACE_MISSING"
    default_hint = "name it: --workspace DIRECTORY"
    exit_code = Exit.NOT_FOUND


class WorkspaceUnsafe(ConductorError):
    """The workspace's state directory cannot be trusted."""

    code = "WORKSPACE_UNSAFE"
    default_hint = "look at it: ls -ld .lumenflow .lumenflow/state .lumenflow/state/conductor"
    exit_code = Exit.BAD_CONFIG


class ControlSocketTaken(ConductorError):
    """Something already stands where the control socket belongs."""

    code = "CONTROL_SOCKET_TAKEN"
    default_hint = "stop the other sidecar: conductor status"
    exit_code = Exit.BUSY


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace's paths. Naming them touches nothing; `create` makes the directories."""

    root: Path
    """Absolute, without symbolic links."""

    @property
    def shown(self) -> str:
        """The root as text; bytes that are no text become �."""
        return os.fsencode(self.root).decode("utf-8", "replace")

    @property
    def state_dir(self) -> Path:
        """Where the daemon keeps its own files."""
        return self.root.joinpath(*STATE_PARTS)

    @property
    def enrollment(self) -> Path:
        """The credential and the conductor's address."""
        return self.state_dir / "enrollment.json"

    @property
    def sidecar_db(self) -> Path:
        """Replay log, outbox and dead letters; one process at a time."""
        return self.state_dir / "sidecar.db"

    @property
    def journal_db(self) -> Path:
        """The hash-chained journal; several processes."""
        return self.state_dir / "journal.db"

    @property
    def lock(self) -> Path:
        """The file whose OS lock makes a process the owner of `sidecar_db`."""
        return self.state_dir / "lock"

    @property
    def control_socket(self) -> Path:
        """Where the running daemon answers; maybe too long to connect to by this name."""
        return self.state_dir / SOCKET_NAME

    @property
    def http_token(self) -> Path:
        """What a caller over TCP must present."""
        return self.state_dir / "http.token"

    @property
    def packs_dir(self) -> Path:
        """One SQLite file for each pack that stores something."""
        return self.root.joinpath(*STATE_PARTS[:2], "packs")

    @property
    def signals(self) -> Path:
        """The kernel's inbox file, one JSON object a line."""
        return self.root / STATE_PARTS[0] / "memory" / "signals.jsonl"

    def pack_db(self, slug: str) -> Path:
        """Return the SQLite file of a pack's own storage.

        Raises:
            ValueError: `slug` is not a slug, so it could name a file elsewhere.
        """
        if _SLUG.match(slug) is None:
            raise ValueError(f"not a pack slug: {slug!r}")
        return self.packs_dir / f"{slug}.db"

    def create(self) -> None:
        """Make the state directories, mode 0700. Idempotent; existing ones of ours are narrowed.

        Raises:
            WorkspaceMissing: The root is not a directory.
            WorkspaceUnsafe: As `check`.
        """
        if not self.root.is_dir():
            raise WorkspaceMissing(str(self.root))
        self.check()
        for directory in (*reversed(self._above()), self.state_dir, self.packs_dir):
            with contextlib.suppress(FileExistsError):
                directory.mkdir(mode=_PRIVATE)
        self.check()
        for directory in (self.state_dir, self.packs_dir):
            if stat.S_IMODE(directory.stat().st_mode) != _PRIVATE:
                directory.chmod(_PRIVATE)

    def check(self) -> None:
        """Refuse state directories that lead elsewhere or belong to someone else.

        What does not exist yet is fine.

        Raises:
            WorkspaceUnsafe: Naming the directory.
        """
        owner = os.geteuid()
        shared = {owner, self.root.stat().st_uid} if self.root.exists() else {owner}
        for directory in self._above():
            _check_directory(directory, self.root, shared)
        for directory in (self.state_dir, self.packs_dir):
            _check_directory(directory, self.root, {owner})

    def _above(self) -> list[Path]:
        return [path for path in self.state_dir.parents if path.is_relative_to(self.root)][:-1]


def resolve_workspace(path: Path | str | None = None) -> Workspace:
    """Return the workspace at `path`, by default the current directory.

    Raises:
        WorkspaceMissing: It is not a directory.
        WorkspaceUnsafe: As `Workspace.check`.
    """
    root = Path.cwd() if path is None else Path(path).expanduser()
    try:
        root = root.resolve(strict=True)
    except (OSError, RuntimeError):
        raise WorkspaceMissing(str(root)) from None
    if not root.is_dir():
        raise WorkspaceMissing(str(root))
    workspace = Workspace(root)
    workspace.check()
    return workspace


def bind_control_socket(workspace: Workspace, *, lock_held: bool) -> socket.socket:
    """Bind the control socket, mode 0600, not yet listening.

    Args:
        workspace: Its state directory exists.
        lock_held: Whether the caller owns the workspace's lock. Only an owner may know that a
            socket file that is already there is stale, and remove it.

    Raises:
        ControlSocketTaken: There is one and the caller holds no lock, or it is not a socket.
    """
    _clear_stale(workspace.control_socket, lock_held=lock_held)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if sys.platform == "linux":  # there the file takes the socket's mode: never a moment open
            os.fchmod(listener.fileno(), 0o600)
        with _short_address(workspace.state_dir) as address:
            listener.bind(address)
        workspace.control_socket.chmod(0o600)
    except OSError as error:
        listener.close()
        raise ControlSocketTaken(f"{workspace.control_socket}: {error.strerror}") from error
    return listener


def remove_control_socket(workspace: Workspace) -> None:
    """Remove the socket file; only for the owner of the workspace's lock. Idempotent."""
    workspace.control_socket.unlink(missing_ok=True)


def connect_control_socket(workspace: Workspace, *, timeout_s: float = 30.0) -> socket.socket:
    """Connect to the running sidecar; a blocking socket with `timeout_s` for each operation.

    Raises:
        SidecarUnreachable: Nothing listens there.
    """
    for _ in range(max(1, int(timeout_s / _RETRY_S))):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(timeout_s)
        try:
            with _short_address(workspace.state_dir) as address:
                client.connect(address)
        except BlockingIOError:  # its queue of callers is full: it lives, so wait for a place
            client.close()
            time.sleep(_RETRY_S)
        except OSError as error:
            client.close()
            raise SidecarUnreachable(f"{workspace.root} ({error.strerror})") from None
        else:
            return client
    raise SidecarUnreachable(f"{workspace.root} (too many callers)")


def _check_directory(directory: Path, root: Path, owners: set[int]) -> None:
    try:
        facts = directory.lstat()
        if stat.S_ISLNK(facts.st_mode):
            if not directory.resolve().is_relative_to(root):
                raise WorkspaceUnsafe(f"{directory} is a symbolic link out of the workspace")
            facts = directory.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise WorkspaceUnsafe(f"{directory}: {error.strerror}") from None
    if not stat.S_ISDIR(facts.st_mode):
        raise WorkspaceUnsafe(f"{directory} is not a directory")
    if facts.st_uid not in owners:
        raise WorkspaceUnsafe(f"{directory} belongs to user {facts.st_uid}")


def _clear_stale(path: Path, *, lock_held: bool) -> None:
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(facts.st_mode):
        raise ControlSocketTaken(f"{path} is not a socket", hint=f"remove it: rm {path}")
    if not lock_held:
        raise ControlSocketTaken(str(path))
    path.unlink()


@contextlib.contextmanager
def _short_address(directory: Path) -> Generator[str]:
    """Give an address of the control socket that fits, valid inside the block."""
    plain = str(directory / SOCKET_NAME)
    if len(os.fsencode(plain)) <= SOCKET_PATH_MAX:
        yield plain
    elif sys.platform == "linux":
        # The kernel resolves the descriptor, so the address stays short at any depth.
        opened = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{opened}/{SOCKET_NAME}"
        finally:
            os.close(opened)
    else:
        yield str(_alias(directory, Path(tempfile.gettempdir())) / SOCKET_NAME)


def _alias(directory: Path, temporary: Path) -> Path:
    """Return a short symbolic link to `directory`, in a private directory of the user's own."""
    private = temporary / f"conductor-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        private.mkdir(mode=_PRIVATE)
    facts = private.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
        raise WorkspaceUnsafe(f"{private} is not ours", hint=f"look at it: ls -ld {private}")
    if stat.S_IMODE(facts.st_mode) != _PRIVATE:
        private.chmod(_PRIVATE)
    link = private / hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    with contextlib.suppress(FileExistsError):
        link.symlink_to(directory)
    if not link.is_symlink() or link.readlink() != directory:
        raise WorkspaceUnsafe(f"{link} leads elsewhere", hint=f"remove it: rm {link}")
    return link
