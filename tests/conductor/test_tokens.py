"""Issuing, redeeming, checking and revoking."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from conductor_sdk.clock import ManualClock
from conductor_sdk.errors import ConductorError
from conductor_sdk.token import TokenExpired, TokenMalformed
from conductor_server.errors import (
    BadRequest,
    CredentialExpired,
    CredentialRevoked,
    CredentialUnknown,
    TokenNotFound,
    TokenUsed,
)
from conductor_server.tokens import TokenDesk, digest, state_of


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def desk(history: Any, clock: ManualClock) -> TokenDesk:
    return TokenDesk(history, clock)


async def test_a_token_becomes_a_credential_of_its_workspace(desk: Any) -> None:
    issued = await desk.issue("ws-1")

    credential = await desk.redeem(issued.text.reveal())

    record = await desk.authenticate(credential.text.reveal())
    assert ("ws-1", "credential", True) == (
        record.workspace, record.purpose, credential.text.reveal().startswith("csc_"),
    )  # fmt: skip


async def test_only_digests_are_kept(desk: Any) -> None:
    issued = await desk.issue("ws-1")
    credential = await desk.redeem(issued.text.reveal())

    kept = await desk.records()

    assert {digest(issued.text.reveal()), digest(credential.text.reveal())} == {
        r.digest for r in kept
    }
    assert issued.text.reveal() not in repr(kept)


async def test_a_token_enrolls_once(desk: Any) -> None:
    issued = await desk.issue("ws-1")
    await desk.redeem(issued.text.reveal())

    with pytest.raises(TokenUsed):
        await desk.redeem(issued.text.reveal())


async def test_of_enrollments_at_once_one_wins(sqlite_history: Any, clock: Any) -> None:
    desk = TokenDesk(sqlite_history, clock)
    issued = await desk.issue("ws-1")

    answers = await asyncio.gather(
        *(desk.redeem(issued.text.reveal()) for _ in range(5)), return_exceptions=True
    )

    assert [True, False, False, False, False] == [
        not isinstance(answer, ConductorError) for answer in answers
    ]


async def test_an_old_token_is_expired(desk: Any, clock: Any) -> None:
    issued = await desk.issue("ws-1", ttl_s=60)
    clock.advance(61)

    with pytest.raises(TokenExpired):
        await desk.redeem(issued.text.reveal())


async def test_a_revoked_token_enrolls_nobody(desk: Any) -> None:
    issued = await desk.issue("ws-1")
    await desk.revoke(issued.record.token_id)

    with pytest.raises(CredentialRevoked):
        await desk.redeem(issued.text.reveal())


async def test_a_token_of_another_conductor_is_unknown(desk: Any, history: Any, clock: Any) -> None:
    issued = await TokenDesk(type(history)(history._records), clock).issue("ws-1")

    with pytest.raises(CredentialUnknown):
        await desk.redeem(issued.text.reveal())


async def test_a_token_is_no_credential_and_a_credential_no_token(desk: Any) -> None:
    issued = await desk.issue("ws-1")

    with pytest.raises(CredentialUnknown):
        await desk.authenticate(issued.text.reveal())
    credential = await desk.redeem(issued.text.reveal())
    with pytest.raises(TokenMalformed):
        await desk.redeem(credential.text.reveal())


async def test_a_revoked_credential_is_told_from_an_unknown_one(desk: Any) -> None:
    credential = await desk.redeem((await desk.issue("ws-1")).text.reveal())
    await desk.revoke(credential.record.token_id)

    with pytest.raises(CredentialRevoked):
        await desk.authenticate(credential.text.reveal())
    with pytest.raises(CredentialUnknown):
        await desk.authenticate("csc_nobody\u20ac")


async def test_a_credential_may_expire(history: Any, clock: Any) -> None:
    desk = TokenDesk(history, clock, credential_ttl_s=60)
    credential = await desk.redeem((await desk.issue("ws-1")).text.reveal())
    clock.advance(60)

    with pytest.raises(CredentialExpired):
        await desk.authenticate(credential.text.reveal())


async def test_revoking_twice_keeps_the_first_time_and_an_unknown_id_is_named(
    desk: Any, clock: Any
) -> None:
    issued = await desk.issue("ws-1")
    first = await desk.revoke(issued.record.token_id)
    clock.advance(5)

    again = await desk.revoke(issued.record.token_id)

    assert first == again
    with pytest.raises(TokenNotFound, match="tok-nobody"):
        await desk.revoke("tok-nobody")


@pytest.mark.parametrize(("workspace", "ttl_s"), [("", 60.0), ("a\nb", 60.0), ("ws", 1e300)])
async def test_a_bad_order_is_refused(desk: Any, workspace: Any, ttl_s: Any) -> None:
    with pytest.raises(BadRequest):
        await desk.issue(workspace, ttl_s=ttl_s)


async def test_the_state_of_a_record_is_one_word(desk: Any, clock: Any) -> None:
    issued = await desk.issue("ws-1", ttl_s=60)
    now_ms = issued.record.issued_ms
    credential = await desk.redeem(issued.text.reveal())
    [used, _] = await desk.records()
    revoked = await desk.revoke(credential.record.token_id)

    assert ["valid", "expired", "used", "revoked"] == [
        state_of(issued.record, now_ms),
        state_of(issued.record, now_ms + 60_000),
        state_of(used, now_ms),
        state_of(revoked, now_ms),
    ]
