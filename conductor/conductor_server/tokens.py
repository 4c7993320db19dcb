"""Who may connect: enrollment tokens, the credentials they turn into, and their end.

Promise: a token enrolls once; what is kept is a SHA-256 digest, so the database of a conductor
lets nobody in. Refusal: no token text is stored, logged or given a second time.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from datetime import timedelta

import msgspec

from conductor_sdk.clock import Clock, epoch_ms
from conductor_sdk.secret import Secret
from conductor_sdk.token import SECRET_MIN_BYTES, format_enrollment_token, parse_enrollment_token
from conductor_server.errors import (
    BadRequest,
    CredentialExpired,
    CredentialRevoked,
    CredentialUnknown,
    TokenNotFound,
    TokenUsed,
)
from conductor_server.ports import History, TokenRecord

CREDENTIAL_PREFIX = "csc_"
WAITING = "waiting:"
"""Begins the digest of a credential that is ordered and has no text yet: no text has it."""
ENROLLMENT_TTL_S = 86_400.0
"""An enrollment token that nobody used ends after a day."""


class Issued(msgspec.Struct, frozen=True):
    """A record together with the text that only its receiver will have."""

    record: TokenRecord
    text: Secret


class TokenDesk:
    """Issues, redeems, checks and revokes. One per history; redeeming is serialised."""

    def __init__(
        self, history: History, clock: Clock, *, credential_ttl_s: float | None = None
    ) -> None:
        """Build a desk.

        Args:
            history: Where records are kept.
            clock: Decides on expiry.
            credential_ttl_s: Seconds that a credential lives; None: until it is revoked.
        """
        self.history = history
        self._clock = clock
        self.credential_ttl_s = credential_ttl_s
        self._redeeming = asyncio.Lock()

    async def issue(self, workspace: str, *, ttl_s: float = ENROLLMENT_TTL_S) -> Issued:
        """Issue an enrollment token for a workspace; its record is durable when this returns.

        Raises:
            BadRequest: The workspace name or the lifetime has the wrong shape.
        """
        now = self._clock.now()
        try:
            token = format_enrollment_token(
                workspace, now + timedelta(seconds=ttl_s), secrets.token_bytes(SECRET_MIN_BYTES)
            )
        except (ValueError, OverflowError) as error:
            raise BadRequest(str(error)) from None
        record = TokenRecord(
            token_id="tok-" + secrets.token_hex(6),
            digest=digest(token.text.reveal()),
            purpose="enrollment",
            workspace=workspace,
            issued_ms=epoch_ms(now),
            expires_ms=epoch_ms(token.expires_at),
        )
        await self.history.put_token(record)
        return Issued(record, token.text)

    async def redeem(self, text: str) -> Issued:
        """Turn an enrollment token into a credential, once.

        The credential's id shares its hexadecimal part with the token's. The token is spent
        before the credential is made: a crash between the two costs a token, never gives two.

        Raises:
            TokenMalformed: The text is no token.
            TokenExpired: It is too old.
            CredentialUnknown: This conductor never issued it.
            CredentialRevoked: It was revoked.
            TokenUsed: It was redeemed before.
        """
        token = parse_enrollment_token(text, self._clock)
        async with self._redeeming:
            record = await self._find(token.text.reveal(), "enrollment")
            if record.used_ms is not None:
                raise TokenUsed(record.token_id)
            now_ms = epoch_ms(self._clock.now())
            await self.history.put_token(msgspec.structs.replace(record, used_ms=now_ms))
            secret = Secret(CREDENTIAL_PREFIX + secrets.token_urlsafe(32))
            ttl = self.credential_ttl_s
            credential = TokenRecord(
                token_id="crd-" + record.token_id.removeprefix("tok-"),
                digest=digest(secret.reveal()),
                purpose="credential",
                workspace=record.workspace,
                issued_ms=now_ms,
                expires_ms=None if ttl is None else now_ms + round(ttl * 1000),
            )
            await self.history.put_token(credential)
        return Issued(credential, secret)

    async def authenticate(self, text: str) -> TokenRecord:
        """Return the record of a credential that is valid now.

        Raises:
            CredentialUnknown: It is not a credential of this conductor.
            CredentialRevoked: It was revoked.
            CredentialExpired: It is too old.
        """
        record = await self._find(text, "credential")
        if record.expires_ms is not None and record.expires_ms <= epoch_ms(self._clock.now()):
            raise CredentialExpired(record.token_id)
        return record

    async def revoke(self, token_id: str) -> TokenRecord:
        """Revoke a token or credential by id; again is harmless.

        Raises:
            TokenNotFound: No token has this id.
        """
        for record in await self.history.tokens():
            if record.token_id == token_id:
                break
        else:
            raise TokenNotFound(token_id)
        if record.revoked_ms is None:
            now_ms = epoch_ms(self._clock.now())
            record = msgspec.structs.replace(record, revoked_ms=now_ms)
            await self.history.put_token(record)
        return record

    async def records(self) -> list[TokenRecord]:
        """Return every token and credential, oldest first, without any text."""
        return await self.history.tokens()

    async def _find(self, text: str, purpose: str) -> TokenRecord:
        wanted = digest(text)
        record = await self.history.token_by_digest(wanted)
        found = record is not None and hmac.compare_digest(record.digest, wanted)
        if record is None or not found or record.purpose != purpose:
            raise CredentialUnknown
        if record.revoked_ms is not None:
            raise CredentialRevoked(record.token_id)
        return record


def digest(text: str) -> str:
    """Return the SHA-256 hex digest under which a token is kept."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def state_of(record: TokenRecord, now_ms: int) -> str:
    """Say in one word what a record is worth.

    It is `revoked`, `used`, `expired`, `waiting` to be fetched, or `valid`.
    """
    if record.revoked_ms is not None:
        return "revoked"
    if record.digest.startswith(WAITING):
        return "waiting"
    if record.used_ms is not None:
        return "used"
    if record.expires_ms is not None and record.expires_ms <= now_ms:
        return "expired"
    return "valid"
