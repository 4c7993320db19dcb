"""One smoke walk: choose a sidecar, walk, report.

Promise: a running sidecar is used as it is and left running; one of its own is ended. Refusal:
nothing is printed or written here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path

from conductor_packs.sidekick.smoke.own_sidecar import own_sidecar
from conductor_packs.sidekick.smoke.readiness import Readiness, readiness
from conductor_packs.sidekick.smoke.walk import walk
from conductor_sdk.clock import SystemClock, wire_time
from conductor_sdk.errors import SidecarUnreachable
from conductor_sdk.workspace import Workspace, connect_control_socket, resolve_workspace

_MARK = str.maketrans("", "", "-:.")


def smoke(workspace: Path | None, *, strict: bool) -> Readiness:
    """Walk and return the report; blocks.

    Args:
        workspace: Whose running sidecar; None: one of its own.
        strict: Fail where none runs there; otherwise start one of its own.

    Raises:
        SidecarUnreachable: None runs, and `strict`.
        SidecarNotReady: Its own did not start.
    """
    clock = SystemClock()
    at = wire_time(clock.now())
    with _sidecar(workspace, strict=strict) as (place, mine):
        steps = walk(place, f"smoke-{at.translate(_MARK)}", clock)
        return readiness(steps, at=at, workspace=place.root, own_sidecar=mine)


@contextlib.contextmanager
def _sidecar(workspace: Path | None, *, strict: bool) -> Generator[tuple[Workspace, bool]]:
    if workspace is not None:
        place = resolve_workspace(workspace)
        try:
            connect_control_socket(place).close()
        except SidecarUnreachable:
            if strict:
                raise
        else:
            yield place, False
            return
    with own_sidecar() as place:
        yield place, True
