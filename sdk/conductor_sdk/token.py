"""The text of an enrollment token: what both ends can say about it without a network.

Promise: a token that is cut short, mistyped or too old is refused here, with the command that
mends it. Refusal: this says nothing about whether the conductor still accepts the token; only
the digest that it keeps decides that.

One line: `cse1.<claims>.<secret>`. The claims are base64url of a JSON object with `sub` (the
workspace), `exp` (seconds since 1970-01-01 UTC) and `aud` ("conductor"); the secret is at least
32 random bytes in base64url. Neither part is padded.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime

import msgspec

from conductor_sdk.clock import Clock, SystemClock
from conductor_sdk.errors import ConductorError, Exit
from conductor_sdk.event import is_event_id
from conductor_sdk.secret import Secret

PREFIX = "cse1"
AUDIENCE = "conductor"
SECRET_MIN_BYTES = 32
TEXT_MAX = 4096
"""Characters; longer text is not read any further."""
_EXP_MAX = 253_402_300_799
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+\Z")


class TokenMalformed(ConductorError):
    """The text is not an enrollment token."""

    code = "TOKEN_MALFORMED"
    default_hint = "copy the whole line, or issue a new one: conductor dev token issue WORKSPACE"
    exit_code = Exit.TOKEN_REFUSED


class TokenExpired(ConductorError):
    """The enrollment token has expired."""

    code = "TOKEN_EXPIRED"
    default_hint = "issue a new one: conductor dev token issue WORKSPACE"
    exit_code = Exit.TOKEN_REFUSED


class EnrollmentToken(msgspec.Struct, frozen=True):
    """A well-formed enrollment token."""

    subject: str
    """The workspace that it enrolls: later the `from` of everything it pushes."""
    expires_at: datetime
    """Aware UTC, whole seconds."""
    text: Secret
    """The whole token, as it is presented to the conductor."""


class _Claims(msgspec.Struct, frozen=True):
    sub: str
    exp: int
    aud: str


def format_enrollment_token(subject: str, expires_at: datetime, secret: bytes) -> EnrollmentToken:
    """Build a token from its parts; the way back of `parse_enrollment_token`.

    Args:
        subject: The workspace, 1 to 128 characters without control characters.
        expires_at: Aware; cut to whole seconds.
        secret: At least 32 random bytes.

    Raises:
        ValueError: A part has the wrong shape.
    """
    if not _is_subject(subject) or len(secret) < SECRET_MIN_BYTES:
        raise ValueError("a token needs a subject of 1 to 128 characters and 32 secret bytes")
    exp = int(expires_at.timestamp())
    claims = msgspec.json.encode(_Claims(subject, exp, AUDIENCE))
    text = ".".join((PREFIX, _encode(claims), _encode(secret)))
    return EnrollmentToken(subject, datetime.fromtimestamp(exp, UTC), Secret(text))


def parse_enrollment_token(text: str, clock: Clock | None = None) -> EnrollmentToken:
    """Read a token; white space around the line is allowed, anything else is not.

    Args:
        text: What stands in the token file.
        clock: Decides whether it has expired; the system's by default.

    Raises:
        TokenMalformed: With what is wrong, without a character of the secret.
        TokenExpired: With the workspace and the time at which it ended.
    """
    line = text.strip() if len(text) <= TEXT_MAX else text
    parts = line.split(".") if len(line) <= TEXT_MAX else []
    match parts:
        case [version, claims_text, secret_text] if version == PREFIX:
            pass
        case [version, *_] if re.fullmatch(r"cse\d+", version) and version != PREFIX:
            raise TokenMalformed(f"version {version!r} is not known here")
        case _:
            raise TokenMalformed(f"expected one line {PREFIX}.<claims>.<secret>")
    claims = _claims(claims_text)
    if len(_decode(secret_text, "secret")) < SECRET_MIN_BYTES:
        raise TokenMalformed(f"its secret is shorter than {SECRET_MIN_BYTES} bytes")
    expires_at = datetime.fromtimestamp(claims.exp, UTC)
    if expires_at <= (clock or SystemClock()).now():
        raise TokenExpired(
            f"{claims.sub!r} at {expires_at.isoformat().replace('+00:00', 'Z')}",
            hint=f"issue a new one: conductor dev token issue {claims.sub}",
        )
    return EnrollmentToken(claims.sub, expires_at, Secret(line))


def _claims(text: str) -> _Claims:
    try:
        claims = msgspec.json.decode(_decode(text, "claims"), type=_Claims)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TokenMalformed(f"its claims are not what a token carries ({error})") from None
    if claims.aud != AUDIENCE:
        raise TokenMalformed(f"it is for {claims.aud[:40]!r}, not for {AUDIENCE!r}")
    if not _is_subject(claims.sub) or not 0 < claims.exp <= _EXP_MAX:
        raise TokenMalformed("its subject or expiry is out of range")
    return claims


def _is_subject(subject: str) -> bool:
    return is_event_id(subject) and subject.strip() == subject


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str, part: str) -> bytes:
    if not _BASE64URL.match(text) or len(text) % 4 == 1:
        raise TokenMalformed(f"its {part} part is not base64url")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
