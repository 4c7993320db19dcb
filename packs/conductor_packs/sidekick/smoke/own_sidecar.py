"""A sidecar of the smoke walk's own: a child process in a temporary workspace.

Promise: it is ended by its process id, whatever happens, and its workspace goes with it. Refusal:
no other process is touched.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from conductor_packs.sidekick.smoke.errors import SidecarNotReady
from conductor_sdk.client_wire import ask
from conductor_sdk.errors import SidecarUnreachable
from conductor_sdk.workspace import Workspace, resolve_workspace

READY_WITHIN_S = 30.0
END_WITHIN_S = 15.0
_LOOK_EVERY_S = 0.05
_SAID_MAX = 400


@contextmanager
def own_sidecar() -> Generator[Workspace]:
    """Start a sidecar whose conductor is this machine, and end it afterwards.

    Raises:
        SidecarNotReady: It ended, or did not answer in time.
    """
    with tempfile.TemporaryDirectory(prefix="sidekick-smoke-") as directory:
        workspace = resolve_workspace(Path(directory))
        said = Path(directory, "sidecar.log")
        command = [
            sys.executable, "-m", "conductor_sidecar", "sidecar",
            "--adapter", "memory", "--workspace", directory,
        ]  # fmt: skip
        with said.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603  our own program
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            _wait(process, workspace, said)
            yield workspace
        finally:
            _end(process)


def _wait(process: subprocess.Popen[bytes], workspace: Workspace, said: Path) -> None:
    end = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < end:
        try:
            ask(workspace, "GET", "/v1/status", timeout_s=READY_WITHIN_S)
        except SidecarUnreachable:
            if process.poll() is not None:
                break
            time.sleep(_LOOK_EVERY_S)
        else:
            return
    raise SidecarNotReady(said.read_text("utf-8", "replace")[-_SAID_MAX:])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
