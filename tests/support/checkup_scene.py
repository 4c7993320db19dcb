"""For tests of single checks: one look, and an enrollment that says what a test needs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from conductor_sdk.secret import Secret
from conductor_sdk.workspace import Workspace
from conductor_sidecar.checkup.finding import Finding
from conductor_sidecar.checkup.not_looked import NotLooked
from conductor_sidecar.checkup.registry import CHECKS
from conductor_sidecar.checkup.scene import Scene
from conductor_state.enrollment import Enrollment
from conductor_state.identity import write_enrollment

NOW = datetime.now(UTC)
"""Of the machine: what is read decides by its clock whether an enrollment has ended."""
BY_ID = {check.id: check for check in CHECKS}
TOKEN = "t0ken-" + "x7" * 20
Enroll = Callable[..., None]


def enroller(workspace: Workspace) -> Enroll:
    """Return what enrolls the workspace."""

    def write(url: str = "wss://conductor.example/link", days: float | None = 30) -> None:
        ends = None if days is None else NOW + timedelta(days=days)
        write_enrollment(workspace, Enrollment(url, Secret(TOKEN), "ws1", ends))

    return write


def look(scene: Scene, check_id: str) -> Finding:
    """Make one check; one that cannot be made is skipped with its reason."""
    try:
        return BY_ID[check_id].look(scene)
    except NotLooked as reason:
        return Finding("skip", str(reason))
