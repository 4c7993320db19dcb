"""A sidecar whose credential is turned over, with a conductor that counts who came with what."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from conductor_sdk.secret import Secret
from conductor_server.rotation import Ordered
from conductor_state.enrollment import Enrollment
from conductor_state.identity import candidate_path, write_enrollment
from delivery_world import PATIENCE_S, SUBJECT, World
from rotation_deaths import Life


class RotationWorld(World):
    """Both ends over WebSocket, the sidecar enrolled as a command would do it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "websocket")

    async def _enroll(self, link: str) -> None:
        issued = await self.conductor.tokens.issue(SUBJECT)
        granted = await self.conductor.enroll(issued.text.reveal())
        self.credential_id = granted.record.token_id
        home = link.replace("ws://", "http://").removesuffix("/link")
        write_enrollment(
            self.workspace, Enrollment(link, Secret(granted.text.reveal()), SUBJECT, None, home)
        )

    @property
    def file(self) -> dict[str, Any]:
        """The enrollment file."""
        return msgspec.json.decode(self.workspace.enrollment.read_bytes(), type=dict[str, Any])

    @property
    def generation(self) -> int:
        return int(self.file.get("generation", 1))

    @property
    def candidate(self) -> Path:
        return candidate_path(self.workspace)

    async def die_at(self, point: str) -> None:
        """Start a sidecar that dies at a point of its rotation; the next one lives."""
        self.crash_point = life = Life(point)
        await self.start()
        async with asyncio.timeout(PATIENCE_S):
            await life.over.wait()
        daemon, self.daemon = self.daemon, None
        assert daemon is not None
        daemon.cancel()
        await asyncio.gather(daemon, return_exceptions=True)
        self.crash_point = Life()

    async def order(self, overlap_s: float = 3600.0) -> Ordered:
        """Order a rotation, as an operator of the conductor does."""
        return await self.conductor.rotate(SUBJECT, overlap_s)

    async def rotated(self, generation: int) -> None:
        """Wait until a credential is in use, written down and alone."""

        async def done() -> bool:
            # The conductor is told last.
            return (
                self.generation == generation
                and not self.candidate.exists()
                and await self.valid() == [generation]
            )

        await self.until(f"credential {generation} is in use", done)
        await self.linked()

    async def valid(self) -> list[int]:
        """The versions that let in now, oldest first."""
        listed = await self.states()
        return sorted(version for version, state in listed if state == "valid")

    async def states(self) -> list[tuple[int, str]]:
        from conductor_sdk.clock import epoch_ms
        from conductor_server.rotation import version_of
        from conductor_server.tokens import state_of

        now_ms = epoch_ms(self.conductor.clock.now())
        return [
            (version_of(record), state_of(record, now_ms))
            for record in await self.conductor.tokens.records()
            if record.purpose == "credential"
        ]
