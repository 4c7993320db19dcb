"""Tokens with which somebody outside may end a wait.

Promise: a token for one use is used once, whoever comes first; from what is stored no token can be
made. Refusal: nothing is said about why a token is unknown.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, Final

import msgspec

from conductor_flows.capabilities.rows import Rows, RowStore
from conductor_flows.durable.errors import TokenUnknown, TokenUsed
from conductor_flows.durable.ports import Ticket
from conductor_sdk.clock import Clock, SystemClock, epoch_ms

TOKENS: Final = ".tokens"
TOKEN_BYTES: Final = 24


class _Row(msgspec.Struct, frozen=True):
    checkpoint_id: str
    wait_id: str
    metadata: dict[str, Any]
    until_ms: int | None
    single_use: bool
    used: bool = False


class RowSignals:
    """A `ResumeSignalSource`."""

    def __init__(self, rows: RowStore, *, clock: Clock | None = None) -> None:
        self._rows = rows
        self._clock = clock or SystemClock()

    async def create_token(
        self, ticket: Ticket, *, ttl_s: float | None = None, single_use: bool = True
    ) -> str:
        """See `ResumeSignalSource.create_token`."""
        # Hex: a token is typed on command lines, and one that began with a dash would be an option.
        token = secrets.token_hex(TOKEN_BYTES)
        now_ms = epoch_ms(self._clock.now())
        row = _Row(
            ticket.checkpoint_id, ticket.wait_id, dict(ticket.metadata),
            None if ttl_s is None else now_ms + round(ttl_s * 1000), single_use,
        )  # fmt: skip
        data = msgspec.json.encode(row)
        await self._rows.run(lambda rows: rows.put(TOKENS, _key(token), data))
        return token

    async def peek(self, token: str) -> Ticket:
        """See `ResumeSignalSource.peek`."""
        return await self._use(token, use=False)

    async def resolve(self, token: str) -> Ticket:
        """See `ResumeSignalSource.resolve`."""
        return await self._use(token, use=True)

    async def _use(self, token: str, *, use: bool) -> Ticket:
        now_ms, key = epoch_ms(self._clock.now()), _key(token)

        def find(rows: Rows) -> Ticket:
            data = rows.get(TOKENS, key)
            if data is None:
                raise TokenUnknown
            try:
                row = msgspec.json.decode(data, type=_Row)
            except msgspec.MsgspecError:
                raise TokenUnknown from None
            if row.used:
                raise TokenUsed
            if row.until_ms is not None and row.until_ms <= now_ms:
                raise TokenUnknown
            if use and row.single_use:
                rows.put(TOKENS, key, msgspec.json.encode(msgspec.structs.replace(row, used=True)))
            return Ticket(row.checkpoint_id, row.wait_id, row.metadata)

        return await self._rows.run(find)

    async def revoke(self, token: str) -> None:
        """See `ResumeSignalSource.revoke`."""
        if not await self._rows.run(lambda rows: rows.drop(TOKENS, _key(token))):
            raise TokenUnknown


def _key(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
