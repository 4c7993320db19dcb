"""When a carrier that keeps frames may forget them: after the commit that holds their events.

Promise: a frame is counted as stored in the order of its arrival, once everything that came with
it or before it is durable. Refusal: it knows no carrier; a transport that keeps nothing is left
alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from conductor_adapters.transport import LateAcknowledgement, Transport
from conductor_protocol.effects import Deliver, SidecarEffect


class _Read(NamedTuple):
    frames: int
    last: int
    """The sequence up to which everything must be stored."""


class LateAcks:
    """The frames of one link that have been read and whose events are not stored."""

    def __init__(self, transport: Transport) -> None:
        self._acknowledge: Callable[[int], None] | None = None
        if isinstance(transport, LateAcknowledgement):
            self._acknowledge = transport.defer()
        self._reads: deque[_Read] = deque()

    def read(self, frames: int, effects: Sequence[SidecarEffect]) -> None:
        """Take note of frames that were read together, before their effects are performed."""
        if self._acknowledge is None:
            return
        delivered = [effect.last for effect in effects if isinstance(effect, Deliver)]
        if delivered:
            self._reads.append(_Read(frames, delivered[-1]))
        elif self._reads:
            self._reads.append(_Read(frames, self._reads[-1].last))
        else:
            self._acknowledge(frames)

    def stored(self, last: int) -> None:
        """Let the carrier forget what everything up to a sequence came with."""
        frames = 0
        while self._reads and self._reads[0].last <= last:
            frames += self._reads.popleft().frames
        if frames and self._acknowledge is not None:
            self._acknowledge(frames)
