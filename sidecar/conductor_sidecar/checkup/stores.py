"""The stores: whole, consistent, of a version that this program knows.

Promise: a store in use is looked into by its owner, or by the rules of its own lock. Refusal:
nothing is repaired; the next start of the sidecar does that.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from conductor_sdk.errors import ConductorError
from conductor_sidecar.app import open_journal
from conductor_sidecar.checkup.finding import Check, Finding, fail, ok, skip, warn
from conductor_sidecar.checkup.not_looked import NotLooked
from conductor_sidecar.checkup.scene import Scene
from conductor_state.inspection import known_version, stored_version, whole

WAL_LARGE = 128 * 2**20
"""The log is cut back to 32 MiB after a burst; far beyond, nothing has folded it in."""
MENDED = "start the sidecar: it sets the file aside and keeps what it can"


def sidecar_db(scene: Scene) -> Finding:
    """Look whether `sidecar.db` is whole and its counters are those of its rows."""
    path = scene.workspace.sidecar_db
    if not path.exists():
        return skip("none yet")
    if stored_version(path) is None and path.stat().st_size:
        return fail(f"{path.name} is not a database", MENDED)
    found = scene.inspection()
    if found.problems:
        return fail(f"{path.name}: {'; '.join(found.problems[:2])}", MENDED)
    if not found.finished:
        return skip(f"{path.name} is too large to be looked through beside the sidecar: stop it")
    who = "the sidecar says that" if scene.running() else ""
    return ok(f"{who} {path.name} is whole, and every counter is that of its rows".strip())


def journal(scene: Scene) -> Finding:
    """Walk the chain of the journal from its first entry to its head."""
    if not scene.workspace.journal_db.exists():
        return skip("none yet")

    async def verify() -> tuple[str, int]:
        opened = open_journal(scene.workspace)
        try:
            verdict = await opened.verify()
        finally:
            await opened.close()
        return verdict.chain, verdict.size

    try:
        chain, size = asyncio.run(verify())
    except ConductorError as error:
        return fail(error.message, error.hint)
    if chain != "OK":
        return fail(f"chain {chain}", "run: conductor log verify")
    return ok(f"chain OK, {size} entries")


def packs(scene: Scene) -> Finding:
    """Look whether the database of each pack is whole."""
    files = sorted(scene.workspace.packs_dir.glob("*.db"))
    if not files:
        return skip("no pack has stored anything")
    for path in files:
        if problem := whole(path):
            return fail(f"{path.name}: {problem}", f"look at it, or restore it: ls -l {path}")
    return ok(f"{len(files)} whole")


def schema(scene: Scene) -> Finding:
    """Compare the version of each store with what this program knows."""
    older: list[str] = []
    found = 0
    for path, name in _versioned(scene):
        version = stored_version(path)
        if version is None:
            continue
        found += 1
        known = known_version(name)
        if version > known:
            return fail(f"{path.name} has version {version}, this program knows {known}",
                        "upgrade: pip install --upgrade conductor-sidecar")  # fmt: skip
        if version < known:
            older.append(f"{path.name} {version} of {known}")
    if older:
        return warn(f"the next start migrates {', '.join(older)}",
                    "take a backup first: conductor backup")  # fmt: skip
    return ok("as this program writes them") if found else skip("none yet")


def marked(scene: Scene) -> Finding:
    """Look for word that a run or a restore has left for the next start."""
    state = scene.workspace.state_dir
    suspect = state / "sidecar.db.suspect"
    if suspect.exists():
        return warn("a run met damage in sidecar.db; the next start sets it aside",
                    "run: conductor sidecar")  # fmt: skip
    if (state.parent / "restoring" / "intent.json").exists():
        return warn("a restore was cut short; the next start finishes it",
                    "run: conductor sidecar")  # fmt: skip
    if (state / "sidecar.db.salvaged.json").exists():
        return warn("a repair was cut short; the next start finishes it", "run: conductor sidecar")
    return ok("nothing is left over")


def wal(scene: Scene) -> Finding:
    """Look at the size of the write-ahead log."""
    path = scene.workspace.sidecar_db.with_name("sidecar.db-wal")
    if not path.exists():
        return ok("none, or folded in")
    size = path.stat().st_size
    text = f"{size / 2**20:.1f} MiB"
    if size > WAL_LARGE:
        return warn(f"{text}: something keeps it from being folded in",
                    "close other programs that read sidecar.db")  # fmt: skip
    return ok(text)


def _versioned(scene: Scene) -> list[tuple[Path, str]]:
    stores = [(scene.workspace.journal_db, "journal")]
    if not scene.running():
        # What a running sidecar has open it has migrated, and its log may hold that still.
        stores.insert(0, (scene.workspace.sidecar_db, "sidecar"))
    found = [(path, name) for path, name in stores if path.exists()]
    if not found:
        raise NotLooked("none yet")
    return found


CHECKS = (
    Check("stores.sidecar", "stores", "fail",
          "`sidecar.db` is whole, and its counters are those of its rows: waiting, dead, queued, "
          "and accepted = delivered + buffered + dropped + dead-lettered. A running sidecar looks "
          "itself.", sidecar_db),
    Check("stores.journal", "journal", "fail",
          "The chain of the journal holds from its first entry to its head.", journal),
    Check("stores.packs", "pack stores", "fail", "The database of each pack is whole.", packs),
    Check("stores.schema", "schema", "fail",
          "No store was written by a newer program; an older one is migrated at the next start.",
          schema),
    Check("stores.marked", "marks", "warn",
          "No run, repair or restore was cut short.", marked),
    Check("stores.wal", "write-ahead log", "warn", "It is at most 128 MiB.", wal),
)  # fmt: skip
