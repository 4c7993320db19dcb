"""The credential as it stands in the workspace now.

Promise: a new enrollment is used at the next connection, without a restart; a file that cannot be
read leaves the last good credential in use; a candidate is tried beside the present credential,
never instead of it. Refusal: nothing is written, and a running sidecar never becomes another
subject.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from conductor_adapters.transport import ConnectFailed
from conductor_sdk.errors import ConductorError
from conductor_sdk.secret import Secret
from conductor_sidecar.feed import Feed
from conductor_sidecar.log_redaction import LOGS


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this sidecar is, and where its conductor."""

    subject: str
    address: str
    credential: Secret
    conductor: str | None = None
    """The conductor's http(s) address; None: it is not known."""
    generation: int = 1
    """Which credential of this workspace it is."""
    issued_at: datetime | None = None
    expires_at: datetime | None = None


class Enrolled(Protocol):
    """An enrollment, as it is stored."""

    @property
    def url(self) -> str:
        """The link's address."""
        ...

    @property
    def token(self) -> Secret:
        """The credential."""
        ...

    @property
    def subject(self) -> str:
        """Who it makes us."""
        ...

    @property
    def expires_at(self) -> datetime | None:
        """When the credential ends; None: not by itself."""
        ...

    @property
    def conductor(self) -> str | None:
        """The conductor's http(s) address."""
        ...

    @property
    def generation(self) -> int:
        """Which credential of this workspace it is."""
        ...

    @property
    def issued_at(self) -> datetime | None:
        """When it was stored; None: not known."""
        ...


def identity_of(enrollment: Enrolled) -> Identity:
    """Return who an enrollment makes this sidecar."""
    return Identity(
        enrollment.subject, enrollment.url, enrollment.token, enrollment.conductor,
        enrollment.generation, enrollment.issued_at, enrollment.expires_at,
    )  # fmt: skip


class Credentials:
    """Reads the enrollment again when its file has changed."""

    def __init__(
        self, identity: Identity, file: Path, read: Callable[[], Identity], feed: Feed
    ) -> None:
        """Begin with an identity.

        Args:
            identity: What the sidecar started with.
            file: What is looked at for a change.
            read: Reads the identity; may raise a ConductorError.
            feed: Told when a new enrollment cannot be read.
        """
        self._identity = identity
        self._file = file
        self._read = read
        self._feed = feed
        self._stamp = self._look()
        self._candidate: Identity | None = None
        LOGS.remember(identity.credential)
        self._untried = False
        self._refused = False

    def changed(self) -> bool:
        """Tell whether there is something to try that has not been tried."""
        return self._look() != self._stamp or self._untried

    def current(self) -> Identity:
        """Return the identity to connect with.

        Raises:
            ConnectFailed: The workspace was enrolled as another subject meanwhile.
        """
        if self._look() != self._stamp:
            self._stamp = self._look()
            try:
                found = self._read()
            except ConductorError as error:
                self._feed.failed(error)
                return self._identity
            if found.subject != self._identity.subject:
                raise ConnectFailed(
                    f"the workspace is enrolled as {found.subject!r} now, this sidecar is "
                    f"{self._identity.subject!r}",
                    hint="restart it: conductor sidecar",
                )
            self._identity = found
            LOGS.remember(found.credential)
            self._candidate, self._untried = None, False
        return self._identity

    @property
    def present(self) -> Identity:
        """The identity as it was read last; nothing is looked at."""
        return self._identity

    @property
    def candidate(self) -> Identity | None:
        """The credential that is to replace the present one."""
        return self._candidate

    @property
    def candidate_refused(self) -> bool:
        """Whether the candidate was refused when it was tried last."""
        return self._candidate is not None and self._refused

    def offer(self, candidate: Identity | None) -> None:
        """Try a candidate at the next connection; None: there is none any more."""
        if candidate is not None:
            LOGS.remember(candidate.credential)
        self._candidate, self._untried, self._refused = candidate, candidate is not None, False

    def trials(self) -> list[Identity]:
        """Return what to connect with, in order: the next is for when one is refused.

        Raises:
            ConnectFailed: As `current`.
        """
        present = self.current()
        self._untried = False
        if self._candidate is None:
            return [present]
        # One that was refused comes last: still tried, for the present one may end.
        return [present, self._candidate] if self._refused else [self._candidate, present]

    def refused(self, identity: Identity) -> None:
        """Note that a trial was refused. Nothing is forgotten for it."""
        if identity is self._candidate:
            self._refused = True

    def committed(self, identity: Identity) -> None:
        """Take over what was just written as the present credential."""
        self._stamp = self._look()
        self._identity = identity
        self.offer(None)

    def _look(self) -> tuple[int, int] | None:
        try:
            facts = self._file.stat()
        except OSError:
            return None
        return facts.st_ino, facts.st_mtime_ns
