"""The file of named credentials: `.lumenflow/state/conductor/http-credentials.json`.

Promise: it holds no token, only their SHA-256, is private to its owner, and changes whole or not at
all, also when two commands change it at once. Refusal: a file that cannot be trusted or read is
not used in part.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from pydantic import TypeAdapter, ValidationError

from conductor_handlers.toolhost.records import AnyScope
from conductor_sdk.clock import wire_time
from conductor_sdk.manifest_tools import Scope
from conductor_sdk.secret import Secret
from conductor_sdk.workspace import Workspace
from conductor_sidecar.http.errors import (
    CredentialExists,
    CredentialNotFound,
    CredentialRefused,
    CredentialsDamaged,
)
from conductor_state.private_file import read_private, write_private

FILE_NAME = "http-credentials.json"
DEFAULT = "default"
"""The credential of `http.token`; no named one is called so."""
PREFIX = "cst_"
"""Makes a leaked token easy to find and to recognise."""
TOKEN_BYTES = 32
CREDENTIALS_MAX = 100
_VERSION = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PATTERN_MAX = 160


class StoredCredential(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One named credential as it is stored."""

    name: str
    sha256: str
    """Of the token's text; hex."""
    tools: list[str]
    """Patterns; narrowed further by `http.allow_tools`."""
    created_at: str
    scopes: list[dict[str, Any]] | None = None
    """None: no narrower than the workspace."""
    expires_at: str | None = None
    """UTC, ends in `Z`; None: it has no end."""

    @property
    def expires(self) -> datetime | None:
        """When it ends."""
        return None if self.expires_at is None else datetime.fromisoformat(self.expires_at)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    credentials: list[StoredCredential]


_scopes: TypeAdapter[Sequence[AnyScope]] = TypeAdapter(list[Scope])
_file = msgspec.json.Decoder(_File)


def credential_path(workspace: Workspace) -> Path:
    """Return where the named credentials of a workspace are."""
    return workspace.state_dir / FILE_NAME


def digest_of(token: bytes) -> bytes:
    """Return what is stored of a token. Its 256 random bits need no slow hash."""
    return hashlib.sha256(token).digest()


def new_token() -> Secret:
    """Make a token: one line of ASCII."""
    return Secret(PREFIX + secrets.token_urlsafe(TOKEN_BYTES))


def read_credentials(workspace: Workspace) -> list[StoredCredential]:
    """Read all named credentials, the expired too; none where there is no file.

    Raises:
        PrivateFileRefused: A link, another owner, or open to others.
        CredentialsDamaged: It does not hold what it should.
    """
    path = credential_path(workspace)
    try:
        data = read_private(path)
    except FileNotFoundError:
        return []
    try:
        file = _file.decode(data)
        _check_file(file)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        # What is wrong may quote the file; where it is wrong must be enough.
        raise CredentialsDamaged(f"{path} ({type(error).__name__})") from None
    return file.credentials


def scopes_of(stored: StoredCredential) -> tuple[AnyScope, ...] | None:
    """Return the scopes of a stored credential.

    Raises:
        ValueError: They are no scopes.
    """
    return None if stored.scopes is None else tuple(_scopes.validate_python(stored.scopes))


def make_credential(
    name: str, tools: Sequence[str], *, token: Secret, now: datetime,
    scopes: Sequence[AnyScope] | None = None, expires_at: datetime | None = None,
) -> StoredCredential:  # fmt: skip
    """Describe a new credential; nothing is stored yet.

    Raises:
        CredentialRefused: A name, pattern or time has the wrong shape.
    """
    stored = StoredCredential(
        name=name, sha256=digest_of(token.reveal().encode()).hex(), tools=list(tools),
        created_at=wire_time(now),
        scopes=None if scopes is None else [scope.model_dump(mode="json") for scope in scopes],
        expires_at=None if expires_at is None else wire_time(expires_at),
    )  # fmt: skip
    try:
        _check(stored)
    except ValueError as error:
        raise CredentialRefused(str(error)) from None
    if expires_at is not None and expires_at <= now:
        raise CredentialRefused("it would have ended already")
    return stored


def add_credential(workspace: Workspace, stored: StoredCredential) -> None:
    """Store a credential; durable when this returns.

    Raises:
        CredentialExists: There is one of that name.
        CredentialRefused: There are too many.
    """
    with _changing(workspace) as credentials:
        if any(one.name == stored.name for one in credentials):
            raise CredentialExists(stored.name)
        if len(credentials) >= CREDENTIALS_MAX:
            raise CredentialRefused(f"there are {CREDENTIALS_MAX} already")
        credentials.append(stored)


def remove_credential(workspace: Workspace, name: str) -> None:
    """Forget a credential; a running sidecar refuses it from the next request on.

    Raises:
        CredentialNotFound: There is none of that name.
    """
    with _changing(workspace) as credentials:
        found = [one for one in credentials if one.name == name]
        if not found:
            raise CredentialNotFound(repr(name[:80]))
        credentials.remove(found[0])


@contextlib.contextmanager
def _changing(workspace: Workspace) -> Generator[list[StoredCredential]]:
    """Give the credentials to change, and write them; one process at a time."""
    workspace.create()
    path = credential_path(workspace)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(path.with_suffix(".lock"), flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        credentials = read_credentials(workspace)
        yield credentials
        encoded = msgspec.json.format(msgspec.json.encode(_File(_VERSION, credentials)))
        write_private(path, encoded + b"\n")
    finally:
        os.close(lock)


def _check_file(file: _File) -> None:
    if file.version != _VERSION:
        raise ValueError(f"version {file.version}, not {_VERSION}")
    for one in file.credentials:
        _check(one)


def _check(stored: StoredCredential) -> None:
    """Refuse a credential that does not say clearly what it is for.

    Raises:
        ValueError: With the field.
    """
    if not _NAME.fullmatch(stored.name) or stored.name == DEFAULT:
        raise ValueError(f"name is not 1 to 64 of a-z, 0-9, '.', '_', '-', or it is {DEFAULT!r}")
    if not _DIGEST.fullmatch(stored.sha256):
        raise ValueError("sha256 is not 64 hex digits")
    if not stored.tools or not all(0 < len(one) <= _PATTERN_MAX for one in stored.tools):
        raise ValueError(f"tools are not patterns of 1 to {_PATTERN_MAX} characters")
    expires = stored.expires
    if expires is not None and expires.tzinfo != UTC:
        raise ValueError("expires_at is not UTC")
    try:
        scopes_of(stored)
    except ValidationError:
        raise ValueError("scopes are not scopes of paths or the network") from None
