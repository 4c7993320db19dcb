"""The measured sidecar: the real `conductor sidecar` in a process of its own.

Promise: a workspace is enrolled by the code that `conductor enroll` uses, and the benchmark's pack
is found by its entry point, so that nothing of the daemon is special here. Refusal: no setting that
changes how the daemon stores, claims or settles.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.processes import (
    CONDUCTOR,
    Child,
    MeasurementFailed,
    environment,
    peak_rss_mb,
    processor_s,
)
from benchmarks.workload import SUBJECT
from conductor_sdk.errors import SidecarUnreachable
from conductor_sdk.workspace import Workspace, connect_control_socket, resolve_workspace

NOBODY = 9
"""A port (discard) on which no conductor listens."""
_SITE = "site"
_POLL_S = 0.004
_CONFIG = """\
[logs]
level = "warning"

[reconnect]
first_spread_s = 0.0
"""


def install_pack(directory: Path) -> None:
    """Make the pack's distribution, as an installer would: metadata and an entry point."""
    info = directory / _SITE / "conductor_bench_pack-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: conductor-bench-pack\nVersion: 0.1.0\n"
    )
    (info / "entry_points.txt").write_text("[conductor.packs]\nbench = benchmarks.pack:pack\n")


def make_workspace(
    directory: Path, name: str, port: int, *, database: Path | None = None, config: str = ""
) -> Workspace:
    """Enroll a fresh workspace with the conductor on `port`; `database` becomes its store."""
    from conductor_sdk.secret import Secret
    from conductor_sidecar.app import enroll_workspace
    from conductor_sidecar.enrollment import Grant

    root = directory / name
    root.mkdir()
    (root / "conductor.toml").write_text(_CONFIG + config, encoding="utf-8")
    workspace = resolve_workspace(root)
    grant = Grant(Secret("bench-credential"), SUBJECT, f"ws://127.0.0.1:{port}/link")
    asyncio.run(enroll_workspace(workspace, grant))
    if database is not None:
        shutil.copyfile(database, workspace.sidecar_db)
        settle_disk(workspace.sidecar_db)
    return workspace


def settle_disk(path: Path) -> None:
    """Have a copied file written now, not while something is measured."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Sidecar:
    """A running `conductor sidecar`; a context manager."""

    def __init__(self, directory: Path, workspace: Workspace) -> None:
        self._workspace = workspace
        self.started = time.monotonic()
        self._child = Child(
            [CONDUCTOR, "sidecar", "--workspace", workspace.root], environment(directory / _SITE)
        )

    @property
    def peak_rss_mb(self) -> float | None:
        """Its largest resident size so far."""
        return peak_rss_mb(self._child.pid)

    @property
    def processor_s(self) -> float | None:
        """Its processor time so far."""
        return processor_s(self._child.pid)

    def status(self) -> dict[str, Any] | None:
        """Ask the control socket; None while it does not answer."""
        try:
            client = connect_control_socket(self._workspace, timeout_s=10.0)
        except (SidecarUnreachable, OSError):
            return None
        with client:
            client.sendall(b"GET /v1/status HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(65_536), b""))
        body = answer.partition(b"\r\n\r\n")[2]
        status: dict[str, Any] = json.loads(body) if body else {}
        return status or None

    def until(self, what: str, *path: str, equals: Any, timeout_s: float = 120.0) -> float:
        """Poll the status until a member of it has a value; returns the time at which it had.

        Raises:
            MeasurementFailed: Not in time; `what` says what was waited for.
        """
        end = time.monotonic() + timeout_s
        seen: Any = None
        while time.monotonic() < end:
            status = self.status()
            seen = status and _member(status, path)
            if seen == equals:
                return time.monotonic()
            time.sleep(_POLL_S)
        raise MeasurementFailed(f"{what}: {'.'.join(path)} is {seen!r}, not {equals!r}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.end()


def _member(status: dict[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = status
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found
