"""What a rotation needs of the files, the network and the link.

Promise: the room is tested with twins of these. Refusal: no implementation here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec

from conductor_sdk.secret import Secret
from conductor_sidecar.credentials import Enrolled

CrashPoint = Callable[[str], None]


class Fresh(msgspec.Struct, frozen=True):
    """A credential as a conductor gives it."""

    credential: Secret
    version: int
    expires_at: datetime | None = None


class Files(Protocol):
    """The present credential and the candidate, in files. Every change is durable on return."""

    def candidate(self) -> Enrolled | None:
        """Return the candidate for the present credential; None: there is none.

        Raises:
            ConductorError: A file is not as it should be.
        """
        ...

    def is_present(self, candidate: Enrolled) -> bool:
        """Tell whether it is the present credential already."""
        ...

    def offer(self, fresh: Fresh, now: datetime) -> Enrolled:
        """Store a candidate beside the present credential.

        Raises:
            OSError: Nothing has changed.
            ConductorError: It has the wrong shape, or the present one cannot be read.
        """
        ...

    def promote(self) -> bool:
        """Make the candidate the present credential. Idempotent.

        Returns:
            False: there is none, or the workspace was enrolled anew meanwhile.
        """
        ...

    def forget(self) -> None:
        """Remove the candidate, and what killed writers left. Idempotent."""
        ...


class Endpoint(Protocol):
    """The conductor's enrollment endpoint."""

    async def fetch(self, url: str, credential: Secret, version: int | None) -> Fresh:
        """Ask for the credential of a version; None: for a new one, whatever its version.

        Raises:
            TransportError: It was not reached, or refused.
            RotationRefused: Its answer is none.
        """
        ...

    async def confirm(self, url: str, credential: Secret, version: int) -> None:
        """Tell that the credential of a version is in use.

        Raises:
            TransportError: It was not reached, or refused.
        """
        ...
