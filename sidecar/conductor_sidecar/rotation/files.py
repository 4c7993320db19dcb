"""A rotation's view of the two credential files.

Promise: a fresh credential takes over everything of the present enrollment but the credential, its
version and its times. Refusal: no file is named here; `app` hands in who reads and writes them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec

from conductor_sidecar.credentials import Enrolled
from conductor_sidecar.rotation.ports import Fresh
from conductor_state.enrollment import Candidate, Enrollment


class Held(Protocol):
    """The present credential and its candidate, on disk; `CredentialFiles` says what each does."""

    @property
    def crash_point(self) -> Callable[[str], None]:
        """Called between the steps, for fault suites."""
        ...

    def present(self) -> Enrollment:
        """Return the present credential."""
        ...

    def candidate(self) -> Candidate | None:
        """Return the candidate for it."""
        ...

    def offer(self, enrollment: Enrollment) -> Candidate:
        """Store a candidate."""
        ...

    def promote(self, candidate: Candidate) -> bool:
        """Make a candidate the present one."""
        ...

    def forget(self) -> None:
        """Remove the candidate's file."""
        ...


class EnrollmentFiles:
    """The port `Files` over two enrollment files."""

    def __init__(self, held: Held) -> None:
        self._held = held

    def candidate(self) -> Enrolled | None:
        """Return the candidate; as the port says."""
        found = self._held.candidate()
        return None if found is None else found.enrollment

    def is_present(self, candidate: Enrolled) -> bool:
        """Tell whether it is the present credential already; as the port says."""
        return self._held.present().token == candidate.token

    def offer(self, fresh: Fresh, now: datetime) -> Enrolled:
        """Store a candidate; as the port says."""
        enrollment = msgspec.structs.replace(
            self._held.present(), token=fresh.credential, generation=fresh.version,
            issued_at=now, expires_at=fresh.expires_at,
        )  # fmt: skip
        return self._held.offer(enrollment).enrollment

    def promote(self) -> bool:
        """Make the candidate the present one; as the port says."""
        found = self._held.candidate()
        return found is not None and self._held.promote(found)

    def forget(self) -> None:
        """Remove the candidate's file; as the port says."""
        self._held.forget()
