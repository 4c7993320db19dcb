"""The journal's head travels with every beat: the conductor holds it, and it finds a cut log."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from conductor_sdk.workspace import resolve_workspace
from real_world import QUICK, Conductor, World, until


def heads(world: World, conductor: Conductor, workspace: Path) -> dict[str, Any] | None:
    """Return the head that the conductor holds, once it is the one that the workspace has."""
    found = conductor.dev("workspaces", "--json").json["workspaces"]
    [view] = [each for each in found if each["workspace"] == workspace.name]
    own = world.command("log", "anchor", "--json", "-w", str(workspace)).json
    held: dict[str, Any] | None = view["journal"]
    return held if held and (held["size"], held["hash"]) == (own["size"], own["hash"]) else None


def verify(world: World, workspace: Path, anchor: str) -> tuple[int, dict[str, Any]]:
    done = world.command("log", "verify", "--json", "-w", str(workspace), "--anchor", anchor)
    return done.code, json.loads(done.out)


def test_plans_and_calls_are_anchored_at_the_conductor_which_shows_what_is_missing(
    world: World,
) -> None:
    conductor, workspace = world.conductor(), world.directory / "ws1"
    conductor.enroll(workspace)
    sidecar = world.sidecar(workspace, *QUICK)
    sidecar.wait_for_link()
    for words in (
        ("plan:create", '{"plan_id": "P", "title": "Day"}'),
        ("item:add", '{"plan_id": "P", "item_id": "A", "title": "first"}'),
        ("item:claim", '{"plan_id": "P"}'),
    ):
        called = world.command("tools", "call", words[0], "--input", words[1], "-w", str(workspace))
        assert called.code == 0, called.err
    held = until(  # a beat comes every ten seconds
        lambda: heads(world, conductor, workspace), "the conductor holds the head", 30.0
    )
    anchor = f"{held['size']}:{held['hash']}"
    assert sidecar.running.end() == 0

    code, whole = verify(world, workspace, anchor)
    assert (code, whole["chain"], whole["completeness"], whole["state"]) == (0, "OK", "OK", "OK")
    assert whole["size"] >= held["size"] >= 9  # three calls: begun, done, and what each changed

    cut(resolve_workspace(workspace).journal_db, held["size"] - 1)
    code, short = verify(world, workspace, anchor)
    assert (code, short["chain"], short["completeness"]) == (4, "OK", "TRUNCATED")
    assert short["first_bad"] == held["size"]


def cut(path: Path, size: int) -> None:
    """Take the tail away as an attacker does who knows the file: its record of itself as well."""
    connection = sqlite3.connect(path, isolation_level=None)
    for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    ).fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("DELETE FROM journal WHERE sequence > ?", (size,))
    [digest] = connection.execute("SELECT hash FROM journal WHERE sequence = ?", (size,)).fetchone()
    connection.execute("UPDATE journal_log SET size = ?, head = ?", (size, digest))
    connection.close()
