"""The credential as it stands in the workspace now.

Promise: a new enrollment is used at the next connection, without a restart; a file that cannot be
read leaves the last good credential in use. Refusal: nothing is written, and a running sidecar
never becomes another subject.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from conductor_adapters.transport import ConnectFailed
from conductor_sdk.errors import ConductorError
from conductor_sdk.secret import Secret
from conductor_sidecar.feed import Feed


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this sidecar is, and where its conductor."""

    subject: str
    address: str
    credential: Secret


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

    def changed(self) -> bool:
        """Tell whether the file was replaced since it was last read."""
        return self._look() != self._stamp

    def current(self) -> Identity:
        """Return the identity to connect with.

        Raises:
            ConnectFailed: The workspace was enrolled as another subject meanwhile.
        """
        if self.changed():
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
        return self._identity

    def _look(self) -> tuple[int, int] | None:
        try:
            facts = self._file.stat()
        except OSError:
            return None
        return facts.st_ino, facts.st_mtime_ns
