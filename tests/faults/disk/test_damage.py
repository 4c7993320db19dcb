"""Bytes of each state file flipped or cut: the daemon's stores open, work, and say what is gone.

Every damaged workspace is opened as the daemon opens it and used; where damage shows only in use,
it is opened once more, as a service manager does. Then it must hold nothing that was not stored,
the missing must be counted exactly, and the stores must take and give new events.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from conductor_sdk.clock import ManualClock
from conductor_sdk.errors import ConductorError
from conductor_sdk.secret import Secret
from conductor_sdk.storage import SqliteStorage
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.config import load_configuration
from conductor_sidecar.http.tokens import Authenticator
from conductor_state.enrollment import Enrollment
from conductor_state.errors import SchemaTooNew
from conductor_state.identity import read_enrollment, write_enrollment
from simdisk.damage import Found, copy_of, examine, faults, fill

MEMORY = Path("/dev/shm")
SMALL = 1
PAGE = 4096
DATABASE_PAGES, JOURNAL_PAGES = 40, 5


@pytest.fixture(scope="module")
def ground() -> Iterator[Path]:
    """A folder in memory where there is one: every opening syncs."""
    made = tempfile.mkdtemp(prefix="damage-", dir=MEMORY if MEMORY.is_dir() else None)
    yield Path(made)
    shutil.rmtree(made)


def workspace(ground: Path, name: str, *, scale: int) -> tuple[Workspace, Workspace]:
    """Return a filled workspace, closed, and the same as a kill leaves it."""
    root, killed = ground / name, ground / f"{name}-killed"
    if not root.exists():
        root.mkdir()
        asyncio.run(fill(resolve_workspace(root), scale=scale, killed=killed))
    return resolve_workspace(root), resolve_workspace(killed)


def look(whole: Workspace, copy: Path, file: str, at: int | None = None, cut: int | None = None
         ) -> Found:  # fmt: skip
    """Copy a workspace, damage one file of the copy, and see what is left."""
    damaged = copy_of(whole, copy)
    path = damaged.state_dir / file
    data = bytearray(path.read_bytes())
    if at is not None:
        data[at] ^= 0xFF
    path.write_bytes(data[:cut])
    return asyncio.run(examine(damaged))


def damaged(
    ground: Path, whole: Workspace, file: str, places: Iterable[int], *, cut: bool = False,
    counted: bool = True,
) -> dict[int, list[str]]:  # fmt: skip
    """Damage a file at each place; returns what went wrong where."""
    copy = ground / "copy"
    before = asyncio.run(examine(copy_of(whole, copy)))
    found: dict[int, list[str]] = {}
    for place in places:
        try:
            after = look(whole, copy, file, None if cut else place, place if cut else None)
        except SchemaTooNew:
            continue  # the number of the version: refused with the next command, nothing touched
        if wrong := faults(before, after, counted=counted):
            found[place] = wrong
    return found


def size_of(whole: Workspace, file: str) -> int:
    return (whole.state_dir / file).stat().st_size


@pytest.mark.parametrize(("file", "step"), [("sidecar.db", 1601), ("journal.db", 401)])
def test_a_flipped_byte_costs_its_own_row_and_is_counted(
    ground: Path, file: str, step: int
) -> None:
    whole, _ = workspace(ground, "large", scale=12)
    assert {} == damaged(ground, whole, file, range(5, size_of(whole, file), step))


@pytest.mark.parametrize(("file", "step"), [("sidecar.db", 9973), ("journal.db", 1999)])
def test_a_cut_file_keeps_what_is_left_of_it(ground: Path, file: str, step: int) -> None:
    whole, _ = workspace(ground, "large", scale=12)
    places = range(step, size_of(whole, file), step)  # an empty file is a new one
    assert {} == damaged(ground, whole, file, places, cut=True)


@pytest.mark.parametrize("cut", [False, True], ids=["flipped", "cut"])
def test_a_damaged_log_gives_a_state_that_once_was(ground: Path, cut: bool) -> None:
    _, killed = workspace(ground, "large", scale=12)
    places = range(3, size_of(killed, "sidecar.db-wal"), 19_001)
    # What a power cut leaves looks the same: the cursor goes back, and the conductor resends.
    assert {} == damaged(ground, killed, "sidecar.db-wal", places, cut=cut, counted=False)


@pytest.mark.soak
@pytest.mark.parametrize("page", range(DATABASE_PAGES))
def test_every_byte_of_a_small_database(ground: Path, page: int) -> None:
    whole, _ = workspace(ground, "small", scale=SMALL)
    end = min(size_of(whole, "sidecar.db"), (page + 1) * PAGE)
    assert {} == damaged(ground, whole, "sidecar.db", range(page * PAGE, end))


@pytest.mark.soak
@pytest.mark.parametrize("page", range(JOURNAL_PAGES))
def test_every_byte_of_a_small_journal(ground: Path, page: int) -> None:
    whole, _ = workspace(ground, "small", scale=SMALL)
    end = min(size_of(whole, "journal.db"), (page + 1) * PAGE)
    assert {} == damaged(ground, whole, "journal.db", range(page * PAGE, end))


def variants(data: bytes) -> Iterator[bytes]:
    """Every flip of a byte, and every cut."""
    for place in range(len(data)):
        yield data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
        yield data[:place] + bytes([data[place] ^ 0x01]) + data[place + 1 :]
        yield data[:place]


def test_a_damaged_enrollment_is_refused_with_the_next_command(tmp_path: Path) -> None:
    found = resolve_workspace(tmp_path)
    write_enrollment(found, Enrollment("memory://x", Secret("token-1"), "here", None))
    hints: list[str | None] = []
    for data in variants(found.enrollment.read_bytes()):
        found.enrollment.write_bytes(data)
        try:
            read_enrollment(found)
        except ConductorError as error:
            hints.append(error.hint)
    assert len(hints) > 100
    assert all(hints)


def test_a_damaged_token_file_opens_the_door_to_nobody(tmp_path: Path) -> None:
    found = resolve_workspace(tmp_path)
    found.create()
    Authenticator(found, ManualClock()).prepare()
    whole = found.http_token.read_bytes()
    for data in variants(whole):
        found.http_token.write_bytes(data)
        door = Authenticator(found, ManualClock())
        with suppress(ConductorError):
            door.prepare()
        if data.strip() != whole.strip():
            assert door.identify(whole.strip()) is None


def test_damaged_settings_are_refused_with_the_setting_or_the_file(tmp_path: Path) -> None:
    path = tmp_path / "conductor.toml"
    whole = b'[dispatch]\nwindow = 64\nretry_first_s = 0.5\n\n[packs]\ndisabled = ["plan"]\n'
    hints: list[str | None] = []
    for data in variants(whole):
        path.write_bytes(data)
        try:
            load_configuration(tmp_path, environ={})
        except ConductorError as error:
            hints.append(error.hint)
    assert len(hints) > 50
    assert all(hints)


def test_a_packs_damaged_database_refuses_or_answers_and_stays_where_it_is(ground: Path) -> None:
    async def use(path: Path) -> set[str]:
        storage = SqliteStorage(path, clock=ManualClock())
        try:
            await storage.run_once("new", lambda c: c.execute("INSERT INTO t VALUES ('new')"))
            return await storage.known(["key", "new"])
        finally:
            await storage.close()

    async def make(path: Path) -> None:
        storage = SqliteStorage(path, clock=ManualClock())
        await storage.run_once("key", lambda c: c.execute("CREATE TABLE t (x TEXT) STRICT"))
        await storage.close()

    path = ground / "pack.db"
    asyncio.run(make(path))
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            asyncio.run(use(path))
        except ConductorError:
            refused += 1
    assert refused
