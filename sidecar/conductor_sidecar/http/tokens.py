"""Who a bearer token belongs to: the file `http.token`, and named credentials.

Promise: each comparison takes the same time whether and wherever it matches; a credential that is
revoked or has ended is refused from the next request on; a file that cannot be trusted gives no
one access. Refusal: no token is kept in memory longer than its digest takes.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from conductor_sdk.clock import Clock
from conductor_sdk.errors import ConductorError
from conductor_sdk.workspace import Workspace
from conductor_sidecar.http.access import Credential
from conductor_sidecar.http.credential_file import (
    DEFAULT,
    credential_path,
    digest_of,
    new_token,
    read_credentials,
    scopes_of,
)
from conductor_sidecar.http.errors import CredentialsDamaged
from conductor_sidecar.logs import get_logger
from conductor_state.private_file import read_private, write_private

TOKEN_MIN = 32
"""Characters of a token that somebody wrote into `http.token` by hand."""
TOKEN_MAX = 512
EVERY_TOOL = ("*",)
_Stamp: TypeAlias = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class _Known:
    digest: bytes
    credential: Credential
    expires: datetime | None = None


@dataclass(slots=True)
class _Source:
    """One file, and what it said when it was last read."""

    path: Path
    read: Callable[[], list[_Known]]
    stamp: _Stamp = None
    known: list[_Known] | None = None


class Authenticator:
    """Finds the credential of a token. Files are looked at again when they have changed."""

    def __init__(self, workspace: Workspace, clock: Clock) -> None:
        self._workspace = workspace
        self._clock = clock
        self._sources = (
            _Source(workspace.http_token, self._read_default),
            _Source(credential_path(workspace), self._read_named),
        )

    def prepare(self) -> None:
        """Make `http.token` where it is missing, and read everything once.

        Raises:
            PrivateFileRefused: A file is a link, another user's, or open to others.
            CredentialsDamaged: A file does not hold what it should.
        """
        if not self._workspace.http_token.exists():
            token = new_token().reveal().encode()
            write_private(self._workspace.http_token, token + b"\n")
        for source in self._sources:
            source.known, source.stamp = source.read(), _stamp(source.path)

    def identify(self, token: bytes) -> Credential | None:
        """Return whose token it is; None: nobody's, or not any more."""
        digest = digest_of(token)
        found: _Known | None = None
        for source in self._sources:
            for known in self._current(source):
                # No early end: the time tells nothing about where a match is.
                if hmac.compare_digest(known.digest, digest):
                    found = known
        if found is None or (found.expires is not None and found.expires <= self._clock.now()):
            return None
        return found.credential

    def _current(self, source: _Source) -> list[_Known]:
        stamp = _stamp(source.path)
        if source.known is None or stamp != source.stamp:
            source.stamp = stamp
            try:
                source.known = source.read()
            except (ConductorError, OSError) as error:
                get_logger(part="http").error("credentials_refused", error=error)
                source.known = []
        return source.known

    def _read_default(self) -> list[_Known]:
        path = self._workspace.http_token
        try:
            token = read_private(path).strip()
        except FileNotFoundError:
            return []
        if not TOKEN_MIN <= len(token) <= TOKEN_MAX or not _is_token(token):
            hint = f"remove it, and start the sidecar again: rm {path}"
            raise CredentialsDamaged(
                f"{path} is not one line of {TOKEN_MIN} to {TOKEN_MAX} visible characters",
                hint=hint,
            )
        return [_Known(digest_of(token), Credential(DEFAULT, EVERY_TOOL))]

    def _read_named(self) -> list[_Known]:
        return [
            _Known(
                bytes.fromhex(stored.sha256),
                Credential(stored.name, tuple(stored.tools), scopes_of(stored)),
                stored.expires,
            )
            for stored in read_credentials(self._workspace)
        ]


def _is_token(token: bytes) -> bool:
    return token.isascii() and all(0x20 < byte < 0x7F for byte in token)  # noqa: PLR2004  visible


def _stamp(path: Path) -> _Stamp:
    try:
        facts = path.lstat()
    except OSError:
        return None
    return facts.st_ino, facts.st_ctime_ns, facts.st_size
