"""A second credential beside the first, until it is used: the conductor's half of a rotation.

Promise: while a rotation is on its way the present credential keeps working, until a newer one is
used for the first time or the overlap ends; whatever step this process is killed at, one of the
two lets the sidecar in. Refusal: no credential's text is kept, so a lost answer is answered anew
with another text of the same version.

A credential's version stands at the end of its id: `crd-4f….3` is the third of its enrollment. The
one that waits to be fetched has no digest that any text could have.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import timedelta

import msgspec

from conductor_sdk.clock import Clock, epoch_ms
from conductor_sdk.secret import Secret
from conductor_server.activity import Feed
from conductor_server.errors import NothingToRotate, RotationNotWaiting
from conductor_server.ports import TokenRecord
from conductor_server.tokens import (
    CREDENTIAL_PREFIX,
    WAITING,
    Issued,
    TokenDesk,
    digest,
    state_of,
)

OVERLAP_S = 604_800.0
"""A present credential ends a week after its rotation was ordered, if nobody uses the new one."""
TEXTS_MAX = 8
"""Texts of one version that may be valid at once: each is an answer that may have been lost."""
URL = "/api/v1/enrollments"
"""Where a sidecar fetches; a path at the conductor where it was enrolled."""


class Ordered(msgspec.Struct, frozen=True):
    """A rotation that is on its way."""

    workspace: str
    version: int
    overlap_ends_ms: int


def no_crash(point: str) -> None:
    """Do nothing at a named crash point; fault suites pass a function that dies."""


def version_of(record: TokenRecord) -> int:
    """Return which credential of its enrollment a record is; the enrolled one is the first."""
    parts = record.token_id.split(".")
    return int(parts[1]) if len(parts) > 1 else 1


def lineage_of(record: TokenRecord) -> str:
    """Return the id of the enrollment's first credential."""
    return record.token_id.split(".", 1)[0]


class Rotations:
    """Orders, hands out and completes rotations. One per conductor."""

    def __init__(
        self, desk: TokenDesk, clock: Clock, feed: Feed, *,
        crash_point: Callable[[str], None] = no_crash,
    ) -> None:  # fmt: skip
        """Build it.

        Args:
            desk: Knows credentials, and the history of now.
            clock: Decides on expiry.
            feed: Told of what happens.
            crash_point: Called between the steps, for fault suites.
        """
        self._desk = desk
        self._clock = clock
        self._feed = feed
        self._crash_point = crash_point
        self._changing = asyncio.Lock()
        self._settled: set[str] = set()
        """Ids of rotated credentials whose predecessors are known to be revoked."""
        self._workspaces: set[str] | None = None
        """Those for which something may wait; None: not looked yet."""

    async def order(self, workspace: str, overlap_s: float = OVERLAP_S) -> Ordered:
        """Let a workspace fetch a new credential. One that waits already is not made anew.

        Args:
            workspace: Whose; if it was enrolled several times, each enrollment gets its own.
            overlap_s: Seconds after which the present credentials end, whatever happens.

        Raises:
            NothingToRotate: It has no valid credential.
        """
        ends_ms = epoch_ms(self._clock.now() + timedelta(seconds=overlap_s))
        async with self._changing:
            lineages = await self._lineages(workspace)
            versions = [
                await self._order(valid, ends_ms)
                for valid in lineages.values()
                # Without a credential that lets in, nobody could fetch what waits.
                if any(not one.digest.startswith(WAITING) for one in valid)
            ]
            self._feed.tell("rotation_ordered", workspace, f"version {max(versions, default=0)}")
        if not versions:
            raise NothingToRotate(workspace)
        if self._workspaces is not None:
            self._workspaces.add(workspace)
        return Ordered(workspace, max(versions), ends_ms)

    async def waiting(self, workspace: str, credential: TokenRecord | None) -> int | None:
        """Return the version that waits for whoever connects: ordered, and not in use yet.

        Args:
            workspace: Who connects.
            credential: With what; None: it was presented to somebody else.
        """
        if self._workspaces is None:
            self._workspaces = {
                record.workspace
                for record in await self._desk.history.tokens()
                if record.purpose == "credential" and version_of(record) > 1
            }
        if workspace not in self._workspaces:
            return None
        lineages = await self._lineages(workspace)
        mine = list(lineages) if credential is None else [lineage_of(credential)]
        found = [_waits(lineages.get(lineage, [])) for lineage in mine]
        return max((version for version in found if version is not None), default=None)

    async def fetch(self, presented: TokenRecord, version: int) -> Issued | None:
        """Give a new credential to whoever presents a valid one.

        Args:
            presented: The record of the credential that was presented.
            version: Which is wanted; 0: a new one, whatever its version.

        Returns:
            The credential, of which only its receiver has the text; None: the presented one is of
            that version already, and in use from now on.

        Raises:
            RotationNotWaiting: No such version waits.
        """
        held = version_of(presented)
        if version == held:
            return None
        async with self._changing:
            valid = await self._lineage(presented)
            if version == 0 and _newest(valid, held) == held:
                ends_ms = epoch_ms(self._clock.now() + timedelta(seconds=OVERLAP_S))
                await self._order(valid, ends_ms)
                valid = await self._lineage(presented)
            newest = _newest(valid, held)
            if newest == held or version not in {0, newest}:
                raise RotationNotWaiting(f"version {version}; the newest is {newest}")
            self._feed.tell("rotation_fetched", presented.workspace, f"version {newest}")
            return await self._issue(valid, newest)

    async def authenticate(self, text: str) -> TokenRecord:
        """Return the record of a valid credential; one that replaces others is in use from now.

        Raises:
            ConductorError: As `TokenDesk.authenticate`.
        """
        record = await self._desk.authenticate(text)
        await self.used(record)
        return record

    async def used(self, record: TokenRecord) -> None:
        """Note that a credential was presented: what it replaces is revoked. Idempotent."""
        if version_of(record) == 1 or record.token_id in self._settled:
            return
        async with self._changing:
            for other in await self._lineage(record):
                if other.token_id != record.token_id and version_of(other) <= version_of(record):
                    self._crash_point("conductor.superseding")
                    await self._revoke(other)
                    self._crash_point("conductor.superseded")
                    self._feed.tell("rotated", record.workspace, record.token_id)
        self._settled.add(record.token_id)

    async def withdraw(self, record: TokenRecord) -> None:
        """Revoke what was to replace a credential that is revoked itself."""
        async with self._changing:
            for other in await self._lineage(record):
                if version_of(other) > version_of(record):
                    await self._revoke(other)

    async def _order(self, valid: list[TokenRecord], ends_ms: int) -> int:
        """Order a rotation of one enrollment; returns the version that waits then."""
        newest = _waits(valid)
        if newest is None:
            newest = _newest(valid, 1) + 1
            waiting = TokenRecord(
                token_id=f"{lineage_of(valid[0])}.{newest}",
                digest=WAITING + secrets.token_hex(16), purpose="credential",
                workspace=valid[0].workspace, issued_ms=self._now_ms(), expires_ms=None,
            )  # fmt: skip
            await self._desk.history.put_token(waiting)
            self._crash_point("conductor.ordered")
        for one in valid:
            ends = version_of(one) < newest and (one.expires_ms is None or one.expires_ms > ends_ms)
            if ends:
                limited = msgspec.structs.replace(one, expires_ms=ends_ms)
                await self._desk.history.put_token(limited)
                self._crash_point("conductor.limited")
        return newest

    async def _issue(self, valid: list[TokenRecord], version: int) -> Issued:
        """Make a text of a version. Older texts stay: the sidecar may have stored one of them."""
        same = [one for one in valid if version_of(one) == version]
        now_ms, ttl = self._now_ms(), self._desk.credential_ttl_s
        secret = Secret(CREDENTIAL_PREFIX + secrets.token_urlsafe(32))
        first = next((one.token_id for one in same if one.digest.startswith(WAITING)), None)
        record = TokenRecord(
            token_id=first or f"{lineage_of(same[0])}.{version}.{secrets.token_hex(3)}",
            digest=digest(secret.reveal()), purpose="credential", workspace=same[0].workspace,
            issued_ms=now_ms, expires_ms=None if ttl is None else now_ms + round(ttl * 1000),
        )  # fmt: skip
        await self._desk.history.put_token(record)
        self._crash_point("conductor.issued")
        texts = [one for one in same if one.token_id != record.token_id]
        for stale in texts[: max(0, len(texts) + 1 - TEXTS_MAX)]:
            await self._revoke(stale)
        return Issued(record, secret)

    async def _revoke(self, record: TokenRecord) -> None:
        revoked = msgspec.structs.replace(record, revoked_ms=self._now_ms())
        await self._desk.history.put_token(revoked)

    async def _lineage(self, record: TokenRecord) -> list[TokenRecord]:
        return (await self._lineages(record.workspace)).get(lineage_of(record), [])

    async def _lineages(self, workspace: str) -> dict[str, list[TokenRecord]]:
        """Return the credentials that let in or wait, by enrollment, oldest first."""
        found: dict[str, list[TokenRecord]] = {}
        for record in await self._desk.history.tokens():
            if (record.purpose, record.workspace) == ("credential", workspace) and (
                state_of(record, self._now_ms()) in {"valid", "waiting"}
            ):
                found.setdefault(lineage_of(record), []).append(record)
        return found

    def _now_ms(self) -> int:
        return epoch_ms(self._clock.now())


def _newest(valid: list[TokenRecord], least: int) -> int:
    return max((version_of(one) for one in valid), default=least)


def _waits(valid: list[TokenRecord]) -> int | None:
    """Return the version of an enrollment that is not in use yet: the older ones still let in."""
    versions = {version_of(one) for one in valid}
    return max(versions) if len(versions) > 1 else None
