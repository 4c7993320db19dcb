"""Taking a backup: a copy of every store, then one file.

Promise: each store's copy is of one moment, and the moments are in an order that loses no effect:
first `sidecar.db`, then what packs store, then the journal. Whatever fails, no file of the asked
name is there. Refusal: no credential leaves the workspace unless it is asked for.

A pack that is copied after `sidecar.db` may know effects that `sidecar.db` still thinks undone;
they run again, and the pack's own keys answer that they are done. The other way round an effect
would be missing that nobody repeats.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from conductor_sdk.clock import Clock, wire_time
from conductor_sdk.errors import ConductorError
from conductor_sdk.workspace import Workspace
from conductor_sidecar import __version__
from conductor_sidecar.app import load_enrollment, no_crash, open_journal, read_private
from conductor_sidecar.backup.archive import digest_of, write_archive
from conductor_sidecar.backup.manifest import FORMAT, Item, Manifest, Store
from conductor_sidecar.errors import NeverRun
from conductor_sidecar.restoring import folders
from conductor_sidecar.restoring.errors import BackupExists, BackupFailed
from conductor_sidecar.restoring.swap import CREDENTIALS
from conductor_state.inspection import read_only, stored_version
from conductor_state.queries import load_queries
from conductor_state.snapshot import copy_shared

NO_CREDENTIAL = "enrollment and tokens: left out unless --with-credential"
LOOPBACK = "loopback.db: the far end of the memory adapter"


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that was written."""

    file: Path
    bytes: int
    manifest: Manifest


def name_file(target: Path, workspace: Workspace, clock: Clock) -> Path:
    """Return the file to write: `target`, or one with a name of its own in that directory."""
    if not target.is_dir():
        return target
    return target / f"conductor-{workspace.root.name}-{clock.now():%Y%m%dT%H%M%SZ}.tar"


def take_backup(
    workspace: Workspace, file: Path, copy_sidecar: Callable[[Path], None], clock: Clock, *,
    with_credential: bool = False, crash_point: Callable[[str], None] = no_crash,
) -> Taken:  # fmt: skip
    """Write a backup.

    Args:
        workspace: What of.
        file: Its name; the directory must exist.
        copy_sidecar: Makes a copy of `sidecar.db` under a name that does not exist yet; asks the
            daemon, or holds the workspace's lock.
        clock: Dates it.
        with_credential: Put the enrollment and the tokens in.
        crash_point: For fault suites.

    Raises:
        NeverRun: There is no state here.
        BackupExists: There is such a file.
        BackupFailed: No room, or no way.
        StateError: A store cannot be copied, or is damaged.
    """
    if not workspace.sidecar_db.exists():
        raise NeverRun(str(workspace.root))
    if file.exists():
        raise BackupExists(str(file))
    with _staging(file) as stage:
        try:
            _copy_all(workspace, stage, copy_sidecar, crash_point, with_credential=with_credential)
            manifest = _describe(workspace, stage, clock, with_credential=with_credential)
        except OSError as error:
            raise BackupFailed(f"{error.filename or file}: {error.strerror}") from error
        crash_point("backup.staged")
        size = write_archive(file, manifest, stage, crash_point)
    return Taken(file, size, manifest)


@contextlib.contextmanager
def _staging(file: Path) -> Generator[Path]:
    """Make a private directory beside the file: the same disk, so that room is known early."""
    try:
        stage = Path(tempfile.mkdtemp(prefix=f".{file.name}.", suffix=".tmp", dir=file.parent))
    except OSError as error:
        raise BackupFailed(f"{file.parent}: {error.strerror}") from error
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _copy_all(
    workspace: Workspace, stage: Path, copy_sidecar: Callable[[Path], None],
    crash_point: Callable[[str], None], *, with_credential: bool,
) -> None:  # fmt: skip
    for name in ("conductor", "packs", "folders"):
        (stage / name).mkdir(mode=0o700)
    copy_sidecar(stage / "conductor/sidecar.db")
    crash_point("backup.sidecar")
    for path in sorted(workspace.packs_dir.glob("*.db")):
        copy_shared(path, stage / "packs" / path.name)
    for folder in folders.folders_of(workspace):
        with folders.held(folder):
            folders.copy_held(folder, stage / "folders" / folder.name)
    crash_point("backup.packs")
    if workspace.journal_db.exists():
        copy_shared(workspace.journal_db, stage / "conductor/journal.db")
    if with_credential:
        for name in CREDENTIALS:
            with contextlib.suppress(FileNotFoundError):
                data = read_private(workspace.state_dir / name)
                (stage / "conductor" / name).write_bytes(data)
                (stage / "conductor" / name).chmod(0o600)


def _describe(
    workspace: Workspace, stage: Path, clock: Clock, *, with_credential: bool
) -> Manifest:
    epoch, sequence = cursor_of(stage / "conductor/sidecar.db")
    entries, head = journal_head(workspace, stage / "conductor/journal.db")
    left_out = [] if with_credential else [NO_CREDENTIAL]
    if (workspace.state_dir / "loopback.db").exists():
        left_out.append(LOOPBACK)
    return Manifest(
        format=FORMAT, created=wire_time(clock.now()), program=__version__,
        workspace=workspace.shown, subject=subject_of(workspace),
        epoch=epoch, sequence=sequence, journal_entries=entries, journal_head=head,
        items=[
            _item(stage, path) for path in sorted(stage.rglob("*")) if path.is_file()
        ],
        left_out=left_out,
    )  # fmt: skip


def _item(stage: Path, path: Path) -> Item:
    name = str(path.relative_to(stage))
    size, sha256 = digest_of(path)
    database = name.startswith(("conductor/", "packs/")) and name.endswith(".db")
    return Item(name, _store(name), size, sha256, stored_version(path) if database else None)


def _store(name: str) -> Store:
    match name.split("/"):
        case ["conductor", "sidecar.db"]:
            return "sidecar"
        case ["conductor", "journal.db"]:
            return "journal"
        case ["packs", _]:
            return "pack"
        case ["conductor", _]:
            return "credential"
        case _:
            return "folder"


def cursor_of(path: Path) -> tuple[str, int]:
    """Return epoch and sequence of the cursor in a `sidecar.db` that nobody writes."""
    with closing(read_only(path)) as connection:
        try:
            found = connection.execute(load_queries("replay_log")["state"]).fetchone()
        except sqlite3.Error as error:
            raise BackupFailed(f"{path.name}: {error}") from error
    return cast("tuple[str, int]", found[:2])


def journal_head(workspace: Workspace, path: Path) -> tuple[int, str]:
    """Return number of entries and hash of the last one; (0, "") where there is no journal."""
    if not path.exists():
        return 0, ""

    async def head() -> tuple[int, str]:
        journal = open_journal(workspace, path)
        try:
            return await journal.head()
        finally:
            await journal.close()

    return asyncio.run(head())


def subject_of(workspace: Workspace) -> str | None:
    """Return whom the workspace is enrolled as; None where that cannot be read."""
    try:
        return load_enrollment(workspace).subject
    except (ConductorError, OSError):
        return None
