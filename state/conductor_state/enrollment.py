"""The record of an enrollment, and why one is refused.

Promise: the credential is a Secret from the moment it is in memory, and no error here carries a
character of it. Refusal: no I/O; `identity` reads and writes the file.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from conductor_sdk.errors import ConductorError, Exit
from conductor_sdk.secret import Secret

VERSION = 2
"""Of the file; version 1 knew neither the conductor's address nor rotation."""
FIRST_GENERATION = 1
"""Of the credential that an enrollment gives; each rotation has a higher one."""


class EnrollmentError(ConductorError):
    """The enrollment cannot be used."""

    code = "ENROLLMENT_UNUSABLE"
    default_hint = "enroll again: conductor enroll URL --token-file FILE"
    exit_code = Exit.TOKEN_REFUSED


class EnrollmentMissing(EnrollmentError):
    """The workspace has no enrollment file."""

    code = "ENROLLMENT_MISSING"
    default_hint = "run: conductor enroll URL --token-file FILE"


class EnrollmentMalformed(EnrollmentError):
    """The enrollment file does not have its shape."""

    code = "ENROLLMENT_MALFORMED"


class EnrollmentTooNew(EnrollmentError):
    """A newer version of this program has written the enrollment file."""

    code = "ENROLLMENT_TOO_NEW"
    default_hint = "upgrade: pip install --upgrade conductor-sidecar"


class EnrollmentExpired(EnrollmentError):
    """The enrollment has expired."""

    code = "ENROLLMENT_EXPIRED"


class Enrollment(msgspec.Struct, frozen=True):
    """What a workspace knows after it was enrolled."""

    url: str
    """The conductor's address."""
    token: Secret
    """Opaque; presented to the conductor and to nobody else."""
    subject: str
    """The `from` of everything that the workspace pushes."""
    expires_at: datetime | None
    """Aware UTC; None when the credential does not expire by itself."""
    conductor: str | None = None
    """The conductor's http(s) address, where it was enrolled; None: written by version 1."""
    generation: int = FIRST_GENERATION
    """Which credential of this workspace it is, counted by the conductor."""
    issued_at: datetime | None = None
    """Aware UTC, by this machine's clock; None where it is not known."""

    @property
    def plain(self) -> bool:
        """Whether a file of version 1 says everything."""
        extra = (self.conductor, self.generation, self.issued_at)
        return extra == (None, FIRST_GENERATION, None)

    def expired(self, now: datetime) -> bool:
        """Tell whether the credential is past its time."""
        return self.expires_at is not None and self.expires_at <= now


class Candidate(msgspec.Struct, frozen=True):
    """A credential that is to replace the present one, and is not proven yet."""

    enrollment: Enrollment
    replaces: str
    """The fingerprint of the credential that it takes the place of."""
