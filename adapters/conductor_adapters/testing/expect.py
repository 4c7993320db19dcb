"""The few assertions that the contract suites need.

Promise: a failure shows both values. Refusal: no test framework is imported, no time is slept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from conductor_adapters.transport import LinkClosed, Transport

PATIENCE_S = 10.0
"""How long anything may take before a suite gives up: a bound, never a measure."""
_QUIET_TURNS = 200


class Peer(Protocol):
    """The far end of a link, as a suite drives it."""

    async def receive(self, limit: int) -> list[bytes]:
        """Wait for frames, as `Transport.receive`; raise anything at the end."""
        ...

    async def send(self, frames: list[bytes]) -> None:
        """Send frames in order; wait while the network takes no more."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with a goodbye."""
        ...

    async def abort(self) -> None:
        """Vanish without a goodbye."""
        ...


def equal(expected: object, actual: object) -> None:
    """Fail unless both are equal."""
    if expected != actual:
        raise AssertionError(f"expected {_short(expected)}, got {_short(actual)}")


def true(value: object, sentence: str) -> None:
    """Fail with the sentence unless `value` is true."""
    if not value:
        raise AssertionError(f"not so: {sentence}")


async def closed(link: Transport) -> LinkClosed:
    """Return the error with which `receive` ends; fail if it returns frames."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            frames = await link.receive(1)
    except LinkClosed as error:
        return error
    raise AssertionError(f"expected the end of the link, got {_short(frames)}")


async def send_raises(link: Transport) -> LinkClosed:
    """Return the error that `send` raises; fail if it returns."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await link.send([b"late"])
    except LinkClosed as error:
        return error
    raise AssertionError("expected LinkClosed from send, it returned")


async def gather(link: Transport | Peer, count: int) -> list[bytes]:
    """Receive until at least `count` frames have come."""
    frames: list[bytes] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(frames) < count:
            frames += await link.receive(1024)
    return frames


async def quiet(progress: Callable[[], int]) -> int:
    """Turn the event loop until `progress` has stood still for many turns; return it."""
    last, turns = progress(), 0
    async with asyncio.timeout(PATIENCE_S):
        while turns < _QUIET_TURNS:
            await asyncio.sleep(0)
            now = progress()
            turns = turns + 1 if now == last else 0
            last = now
    return last


def _short(value: object) -> str:
    text = repr(value)
    limit = 200
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
