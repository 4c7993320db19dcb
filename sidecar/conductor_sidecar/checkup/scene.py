"""What the checks look at: one workspace, this machine, the daemon's answers, each asked once.

Promise: a question that cannot be answered raises `NotLooked` with the reason, and the check that
asked is skipped with it. Refusal: nothing is changed, and `sidecar.db` is never opened while
anybody else may have it open.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from conductor_sdk.client import SidecarAnswered, ask
from conductor_sdk.clock import Clock
from conductor_sdk.errors import ConductorError, SidecarUnreachable
from conductor_sdk.workspace import Workspace
from conductor_sidecar.app import load_enrollment, workspace_lock
from conductor_sidecar.checkup.not_looked import NotLooked
from conductor_sidecar.checkup.probe import Probe, Target, target_of
from conductor_sidecar.config import Configuration, load_configuration
from conductor_sidecar.settings import Settings
from conductor_state.enrollment import Enrollment, EnrollmentMissing
from conductor_state.inspection import Inspection
from conductor_state.lock import Holder

T = TypeVar("T")
ASK_S = 5.0
INSPECT_S = 30.0
DEAD = "no sidecar runs here"


@dataclass(slots=True)
class Scene:
    """One workspace and what is around it. Answers are remembered; not for several threads."""

    workspace: Workspace
    environ: Mapping[str, str]
    clock: Clock
    offline: bool = False
    root: Path = Path("/")
    """Where /etc and /proc are; another place in tests."""
    config_file: Path | None = None
    probing: Callable[[], Probe | None] | None = None
    """Waits for what the network said; None: it was not asked."""
    _known: dict[str, object] = field(default_factory=dict[str, object])

    def configuration(self) -> Configuration:
        """Return the settings with their sources.

        Raises:
            ConfigInvalid: They are wrong.
        """
        return self._once("configuration", lambda: load_configuration(
            self.workspace.root, file=self.config_file, environ=self.environ
        ))  # fmt: skip

    def settings(self) -> Settings:
        """Return the settings, for checks of something else.

        Raises:
            NotLooked: They are wrong, which another check says.
        """
        try:
            return self.configuration().settings
        except ConductorError:
            raise NotLooked("the configuration is not valid") from None

    def enrollment(self) -> Enrollment:
        """Return the enrollment, for checks of something else.

        Raises:
            NotLooked: There is none, or it cannot be used.
        """
        try:
            return self._once("enrollment", lambda: load_enrollment(self.workspace))
        except EnrollmentMissing:
            raise NotLooked("not enrolled") from None
        except ConductorError:
            raise NotLooked("the enrollment cannot be read") from None

    def target(self) -> Target:
        """Return where the link goes.

        Raises:
            NotLooked: It goes nowhere, or that is not known.
        """
        adapter = self.settings().link.adapter
        if adapter == "memory":
            raise NotLooked("the memory adapter leaves this machine not")
        found = target_of(self.enrollment().url)
        if found is None:
            raise NotLooked("the address of the link is not one")
        return found

    def probe(self) -> Probe:
        """Return what the conductor's host answered.

        Raises:
            NotLooked: It was not asked.
        """
        if self.offline:
            raise NotLooked("--offline")
        self.target()
        found = self.probing() if self.probing is not None else None
        if found is None:
            raise NotLooked("the network was not asked")
        return found

    def status(self) -> dict[str, Any]:
        """Return the running daemon's status.

        Raises:
            NotLooked: None runs.
        """
        return self.asked("/v1/status", ASK_S)

    def running(self) -> bool:
        """Tell whether a daemon answers."""
        try:
            self.status()
        except NotLooked:
            return False
        return True

    def asked(self, path: str, timeout_s: float = ASK_S) -> dict[str, Any]:
        """Return the running daemon's answer to a question.

        Raises:
            NotLooked: None runs, or it does not know the question.
        """

        def answer() -> dict[str, Any] | NotLooked:
            try:
                found = ask(self.workspace, "GET", path, timeout_s=timeout_s)
            except SidecarUnreachable:
                return NotLooked(DEAD)
            except SidecarAnswered as error:
                return NotLooked(f"the sidecar answered: {error.detail}")
            return msgspec.json.decode(found, type=dict[str, Any])

        found = self._once(path, answer)
        if isinstance(found, NotLooked):
            raise NotLooked(str(found))
        return found

    def holder(self) -> Holder | None:
        """Return who has the workspace's lock, as it described itself."""
        return workspace_lock(self.workspace, "conductor doctor").holder()

    def lock_is_free(self) -> bool:
        """Tell whether nobody owns the stores; makes no file."""
        import fcntl

        try:
            opened = os.open(self.workspace.lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return not self.workspace.lock.exists()
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(opened)
        return True

    def inspection(self) -> Inspection:
        """Return what is known of `sidecar.db`: from the daemon, or by looking under the lock.

        Raises:
            NotLooked: There is none, or somebody else has it.
        """
        return self._once("inspection", self._inspect)

    def _inspect(self) -> Inspection:
        import asyncio

        from conductor_state.inspection import inspect_file

        path = self.workspace.sidecar_db
        if not path.exists():
            raise NotLooked("none yet")
        if self.running():
            return msgspec.convert(self.asked("/v1/integrity", INSPECT_S), Inspection)
        lock = workspace_lock(self.workspace, "conductor doctor")
        try:
            asyncio.run(lock.acquire(0.0))
        except ConductorError as error:
            raise NotLooked(f"somebody else has it: {error.detail}") from None
        try:
            return inspect_file(path, INSPECT_S)
        finally:
            lock.release()

    def below(self, path: str) -> Path:
        """Return a path of the system, below this scene's root."""
        return self.root / path.lstrip("/")

    def private_files(self) -> list[Path]:
        """Return everything directly in the state directories, links unfollowed."""
        places = (self.workspace.state_dir, self.workspace.packs_dir)
        return [path for place in places if place.is_dir() for path in sorted(place.iterdir())]

    def forget(self) -> None:
        """Forget the answers: something was mended."""
        self._known.clear()

    def _once(self, name: str, answer: Callable[[], T]) -> T:
        if name not in self._known:
            self._known[name] = answer()
        return cast("T", self._known[name])
