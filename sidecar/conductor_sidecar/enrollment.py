"""Enrollment: one token file and one request become the workspace's credential.

Promise: the token is read from a private file only, sent once, and stored nowhere; what the
conductor gives back is checked before it replaces anything. Refusal: no retry, no prompt, and no
secret in an error.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import msgspec

from conductor_sdk.clock import Clock
from conductor_sdk.secret import Secret
from conductor_sdk.token import EnrollmentToken, parse_enrollment_token
from conductor_sdk.workspace import Workspace
from conductor_sidecar.errors import (
    ConfigInvalid,
    EnrollmentFailed,
    EnrollmentRefused,
    TokenFileMissing,
)

if TYPE_CHECKING:
    import ssl

TIMEOUT_S = 15.0
ENDPOINT = "/api/v1/enrollments"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Grant(msgspec.Struct, frozen=True):
    """What a conductor answers to an enrollment."""

    credential: Secret
    subject: str
    link: str
    """The address of the link: ws:// or wss://."""
    expires_at: datetime | None = None
    version: Annotated[int, msgspec.Meta(ge=1)] = 1
    """Which credential of the workspace it is; a rotation has a higher one."""


def read_token_file(path: Path, read: Callable[[Path], bytes], clock: Clock) -> EnrollmentToken:
    """Read an enrollment token from a private file.

    Args:
        path: The file: one line, mode 0600, no symbolic link.
        read: Reads private files, with suspicion.
        clock: Decides whether the token has expired.

    Raises:
        TokenFileMissing: There is no such file.
        PrivateFileRefused: It is a link, another user's, or open to others.
        TokenMalformed: It does not hold a token.
        TokenExpired: It held one.
    """
    try:
        data = read(path)
    except FileNotFoundError:
        quoted = shlex.quote(str(path))
        hint = f"save the token there: umask 077; cat > {quoted}"
        raise TokenFileMissing(str(path), hint=hint) from None
    return parse_enrollment_token(data.decode("utf-8", "replace").strip(), clock)


def check_url(url: str, *, allow_plaintext: bool) -> str:
    """Return the conductor's base URL without a trailing slash.

    Raises:
        ConfigInvalid: Not http(s), or http to another machine.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        hint = "give the conductor's address, for example https://conductor.example"
        raise ConfigInvalid(f"{url!r} is not an http or https URL", hint=hint)
    if parts.username or parts.password:
        raise ConfigInvalid("the URL holds a user or password", hint="leave it out")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not allow_plaintext:
        hint = "use https, or --allow-plaintext on a network that you trust"
        raise ConfigInvalid("the token would cross the network unencrypted", hint=hint)
    return url.rstrip("/")


def try_writing(workspace: Workspace) -> None:
    """Make the state directory and write into it, leaving nothing behind.

    Raises:
        OSError: There is no permission, or no room.
        WorkspaceUnsafe: The directory cannot be trusted.
    """
    workspace.create()
    with tempfile.TemporaryFile(dir=workspace.state_dir, buffering=0) as probe:
        probe.write(bytes(4096))


def request_grant(url: str, token: Secret, *, ca_file: str | None = None) -> Grant:
    """Exchange an enrollment token at the conductor.

    Raises:
        EnrollmentRefused: The conductor does not accept the token.
        EnrollmentFailed: It was not reached, or its answer makes no sense.
    """
    import httpx2

    def authorize(request: httpx2.Request) -> httpx2.Request:
        # Here, so that no local variable of a traceback holds the header.
        request.headers["authorization"] = f"Bearer {token.reveal()}"
        return request

    try:
        answer = httpx2.post(
            url + ENDPOINT,
            auth=authorize,
            json={},
            timeout=TIMEOUT_S,
            verify=_trust(ca_file),
            follow_redirects=False,
        )
    except httpx2.HTTPError as error:
        raise EnrollmentFailed(f"{url}: {type(error).__name__}: {error}") from None
    if answer.status_code in {401, 403}:
        raise EnrollmentRefused(f"{url} answered {answer.status_code}: {_reason(answer.content)}")
    if not answer.is_success:
        raise EnrollmentFailed(f"{url} answered {answer.status_code}: {_reason(answer.content)}")
    try:
        return msgspec.json.decode(answer.content, type=Grant, dec_hook=_secret)
    except msgspec.DecodeError as error:
        raise EnrollmentFailed(f"{url} answered something else: {error}") from None


def _secret(kind: type, value: Any) -> Secret:
    del kind
    if not isinstance(value, str):
        raise TypeError("a credential is text")
    return Secret(value)


def _trust(ca_file: str | None) -> ssl.SSLContext:
    import ssl

    return ssl.create_default_context(cafile=ca_file)


def _reason(body: bytes) -> str:
    try:
        answer = msgspec.json.decode(body[:65536])
        return str(answer["error"]["message"])[:200]
    except (msgspec.DecodeError, KeyError, TypeError):
        return "no reason given"
