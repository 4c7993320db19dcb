"""The record of an enrollment, and why one is refused.

Promise: the credential is a Secret from the moment it is in memory, and no error here carries a
character of it. Refusal: no I/O; `identity` reads and writes the file.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from conductor_sdk.errors import ConductorError, Exit
from conductor_sdk.secret import Secret

VERSION = 1


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

    def expired(self, now: datetime) -> bool:
        """Tell whether the credential is past its time."""
        return self.expires_at is not None and self.expires_at <= now
