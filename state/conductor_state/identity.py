"""The enrollment file of a workspace: `.lumenflow/state/conductor/enrollment.json`.

Promise: what is read is complete, private to this user, of a known version and not expired; what
is written survives a power cut, mode 0600. Refusal: the credential appears in the file and in the
returned Secret, never in an error, a log or a repr.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Generator
from pathlib import Path

from conductor_sdk.clock import Clock, SystemClock
from conductor_sdk.workspace import Workspace
from conductor_state.enrollment import (
    Candidate,
    Enrollment,
    EnrollmentError,
    EnrollmentExpired,
    EnrollmentMissing,
)
from conductor_state.enrollment_file import decode_enrollment, encode_enrollment, shown_time
from conductor_state.private_file import (
    no_crash,
    read_private,
    remove_drafts,
    remove_private,
    write_private,
)

CANDIDATE = "enrollment.next.json"
DRAFT_AGE_S = 60.0
"""A draft older than this is nobody's any more."""


def read_enrollment(workspace: Workspace, clock: Clock | None = None) -> Enrollment:
    """Read the enrollment of a workspace.

    Args:
        workspace: Where to look.
        clock: Decides whether it has expired; the system's by default.

    Raises:
        EnrollmentMissing: The workspace was never enrolled.
        EnrollmentMalformed: Not such JSON, or a field of the wrong shape.
        EnrollmentTooNew: Of a version that is not known here.
        EnrollmentExpired: It was valid once.
        PrivateFileRefused: A link, another owner, or open to others; the hint mends it.
    """
    enrollment = _present(workspace)
    if enrollment.expires_at is not None and enrollment.expired((clock or SystemClock()).now()):
        raise EnrollmentExpired(f"{workspace.enrollment} at {shown_time(enrollment.expires_at)}")
    return enrollment


def write_enrollment(workspace: Workspace, enrollment: Enrollment) -> None:
    """Replace the enrollment of a workspace; durable when this returns.

    Makes the state directory where it is missing. A candidate of the former enrollment is
    forgotten.

    Raises:
        EnrollmentMalformed: What should be written could not be read again.
        WorkspaceUnsafe: The state directory leads elsewhere.
    """
    data = encode_enrollment(enrollment)
    workspace.create()
    with _changing(workspace):
        write_private(workspace.enrollment, data)
        if candidate_path(workspace).exists():
            remove_private(candidate_path(workspace))


def remove_enrollment(workspace: Workspace) -> None:
    """Forget the enrollment. Idempotent."""
    workspace.enrollment.unlink(missing_ok=True)
    candidate_path(workspace).unlink(missing_ok=True)


def candidate_path(workspace: Workspace) -> Path:
    """Return where a credential waits to become the present one."""
    return workspace.state_dir / CANDIDATE


class CredentialFiles:
    """The two files of a rotation: the present credential, and the candidate beside it."""

    def __init__(
        self, workspace: Workspace, clock: Clock, crash_point: Callable[[str], None] = no_crash
    ) -> None:
        """Build it; nothing is read yet.

        Args:
            workspace: Whose credentials.
            clock: Tells a killed writer's draft from one that is being written.
            crash_point: Called between the steps, for fault suites.
        """
        self._workspace = workspace
        self._clock = clock
        self.crash_point = crash_point

    def present(self) -> Enrollment:
        """Return the present credential, expired or not.

        Raises:
            EnrollmentError: As `read_enrollment`.
            PrivateFileRefused: As `read_enrollment`.
        """
        return _present(self._workspace)

    def candidate(self) -> Candidate | None:
        """Return the credential that waits; None where there is none for the present one.

        A candidate that is the present one already is returned: its last steps are not done.

        Raises:
            EnrollmentError: One of the files is not as it should be.
            PrivateFileRefused: One of the files cannot be trusted.
        """
        path = candidate_path(self._workspace)
        found = None if not path.exists() else _read(path)
        if found is None:
            return None
        present = self.present().token
        ours = found.enrollment.token == present or found.replaces == present.fingerprint()
        return found if ours else None

    def offer(self, enrollment: Enrollment) -> Candidate:
        """Store a candidate for the present credential; durable when this returns.

        Raises:
            EnrollmentMalformed: It could not be read again.
            OSError: Nothing has changed.
        """
        with _changing(self._workspace):
            replaces = self.present().token.fingerprint()
            data = encode_enrollment(enrollment, replaces)
            write_private(
                candidate_path(self._workspace), data, crash_point=self._points("candidate")
            )
        return Candidate(enrollment, replaces)

    def promote(self, candidate: Candidate) -> bool:
        """Make a candidate the present credential; durable when this returns. Idempotent.

        Returns:
            False: the workspace was enrolled anew meanwhile, and nothing has changed.

        Raises:
            OSError: Nothing has changed.
        """
        with _changing(self._workspace):
            present = self.present().token
            if present == candidate.enrollment.token:
                return True
            if present.fingerprint() != candidate.replaces:
                return False
            data = encode_enrollment(candidate.enrollment)
            write_private(self._workspace.enrollment, data, crash_point=self._points("enrollment"))
        return True

    def forget(self) -> None:
        """Remove the candidate's file, and what killed writers left. Idempotent."""
        path = candidate_path(self._workspace)
        if path.exists():
            with _changing(self._workspace):
                remove_private(path)
            self.crash_point("candidate.forgotten")
        self.sweep()

    def sweep(self) -> int:
        """Remove drafts of writers that were killed; returns how many there were."""
        older = self._clock.now().timestamp() - DRAFT_AGE_S
        paths = (self._workspace.enrollment, candidate_path(self._workspace))
        return sum(remove_drafts(path, older_than=older) for path in paths)

    def _points(self, name: str) -> Callable[[str], None]:
        return lambda point: self.crash_point(f"{name}.{point}")


def _present(workspace: Workspace) -> Enrollment:
    found = _read(workspace.enrollment)
    if found is None:
        raise EnrollmentMissing(str(workspace.root))
    return found.enrollment


def _read(path: Path) -> Candidate | None:
    """Read one of the two files; None where there is none. No frame that raises has its text."""
    found = _decoded(path)
    if isinstance(found, EnrollmentError):
        raise found
    return found


def _decoded(path: Path) -> Candidate | EnrollmentError | None:
    try:
        return decode_enrollment(read_private(path), str(path))
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _changing(workspace: Workspace) -> Generator[None]:
    """Let one process at a time change the files: `conductor enroll` may run beside a daemon."""
    directory = os.open(workspace.state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)
