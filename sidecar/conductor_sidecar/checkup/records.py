"""What a process that died may have left: locks, claims, leases.

Promise: the kernel says who holds a lock; what is written into a file only names people. Refusal:
no row is changed; claims are counted at the next start, leases are given back by their pack.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from importlib import metadata
from typing import Any

import msgspec

from conductor_sidecar.app import workspace_lock
from conductor_sidecar.checkup.finding import Check, Finding, Mend, ok, skip, warn
from conductor_sidecar.checkup.not_looked import NotLooked
from conductor_sidecar.checkup.process import alive
from conductor_sidecar.checkup.scene import Scene

TOOL_S = 20.0
PLAN = "plan"


def lock(scene: Scene) -> Finding:
    """Look who owns the workspace, and whether that process lives."""
    path = scene.workspace.lock
    if not path.exists():
        return skip("nobody has ever owned it")
    if scene.lock_is_free():
        if path.stat().st_size:
            return warn("names a process that died", "run: conductor doctor --fix")
        return ok("free")
    holder = scene.holder()
    if holder is None:
        return warn("held by somebody who has not said who it is", f"run: fuser -v {path}")
    text = f"{holder.command}, process {holder.pid}"
    if scene.below("proc").is_dir() and not alive(scene.root, holder.pid):
        return warn(f"named is {text}, which is not here: perhaps another container",
                    f"run: fuser -v {path}")  # fmt: skip
    return ok(text)


def claims(scene: Scene) -> Finding:
    """Look for events whose handlers were running when a process died."""
    found = scene.inspection()
    if scene.running():
        return ok(f"{found.claims} batches of events are with handlers")
    if found.claims:
        return warn(f"{found.claims} left by a process that died; their events run again",
                    "run: conductor sidecar")  # fmt: skip
    return ok("none was left")


def leases(scene: Scene) -> Finding:
    """Ask the plan pack for leases that ran out."""
    found = _plan_health(scene)
    check = next((each for each in found["checks"] if each["name"] == "leases"), None)
    if check is None:
        return skip("there are no plans")
    if check["status"] == "GREEN":
        return ok(str(check["detail"]))
    # The plan pack ends them: in a running sidecar within seconds, and before anybody claims.
    return warn(str(check["detail"]),
                "run: conductor sidecar; or claim: conductor plan claim --help")  # fmt: skip


def forget_holder(scene: Scene) -> list[str]:
    """Take the lock and give it back, which empties the file."""
    path = scene.workspace.lock
    if not (scene.lock_is_free() and path.stat().st_size):
        return []
    held = workspace_lock(scene.workspace, "conductor doctor")
    asyncio.run(held.acquire(0.0))
    held.release()
    return [f"emptied {path}"]


def _plan_health(scene: Scene) -> dict[str, Any]:
    """Run the pack's own command: its tables are its business."""
    if not metadata.entry_points(group="conductor.commands", name=PLAN):
        raise NotLooked("no pack brings plans")
    if not scene.workspace.journal_db.exists():
        raise NotLooked("there are no plans")
    command = [
        sys.executable, "-m", "conductor_sidecar", PLAN, "--workspace", str(scene.workspace.root),
        "healthcheck",
    ]  # fmt: skip
    try:
        answer = subprocess.run(  # noqa: S603  our own program
            command, capture_output=True, timeout=TOOL_S, check=False, stdin=subprocess.DEVNULL
        )
        return msgspec.json.decode(answer.stdout, type=dict[str, Any])
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError):
        raise NotLooked("conductor plan healthcheck does not answer") from None


CHECKS = (
    Check("records.lock", "lock", "warn",
          "The process that owns the workspace lives.", lock,
          Mend("Empties a lock file that names a process that died.", forget_holder)),
    Check("records.claims", "claims", "warn",
          "No process died while it ran handlers.", claims),
    Check("records.leases", "leases", "warn",
          "No lease of a plan has run out; asks `conductor plan healthcheck`.", leases),
)  # fmt: skip
