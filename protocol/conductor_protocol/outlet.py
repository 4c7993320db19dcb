"""The effects that one call of a session adds up to.

Promise: effects come out in the order in which they were put in, neighbouring sends as one write.
Refusal: a hostile peer is answered a bounded number of times for one call; the rest is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from conductor_protocol.codec import DETAIL_MAX, encode
from conductor_protocol.effects import Close, Counted, Send
from conductor_protocol.errors import ProtocolError
from conductor_protocol.messages import ConductorMessage, Error, SidecarMessage

E = TypeVar("E")


class Outlet(Generic[E]):
    """Collects effects; `E` is the union of one end's effects."""

    __slots__ = ("_effects", "_max_replies", "_replies")

    def __init__(self, max_replies: int) -> None:
        self._effects: list[E | Send | Counted | Close] = []
        self._max_replies = max_replies
        self._replies = 0

    def renew(self) -> None:
        """Begin a call that reads: the answers to it are counted anew."""
        self._replies = 0

    def add(self, effect: E) -> None:
        """Put an effect at the end."""
        self._effects.append(effect)

    def count(self, code: str, detail: str = "", count: int = 1) -> None:
        """Put a `Counted` at the end."""
        self._effects.append(Counted(code, detail, count))

    def send(self, message: SidecarMessage | ConductorMessage) -> None:
        """Send one message after what is already to be sent."""
        self.send_frames([encode(message)])

    def send_frames(self, frames: Sequence[bytes]) -> None:
        """Send frames after what is already to be sent."""
        last = self._effects[-1] if self._effects else None
        if isinstance(last, Send):
            last.frames.extend(frames)
        elif frames:
            self._effects.append(Send(list(frames)))

    def reply(
        self, code: str, detail: str, *, fatal: bool = False, sequence: int | None = None
    ) -> None:
        """Send an `error`, unless enough were sent for this call; a fatal one always goes."""
        self._replies += 1
        if fatal or self._replies <= self._max_replies:
            text = detail[:DETAIL_MAX]
            self.send(Error(code=code, message=text, fatal=fatal, sequence=sequence))

    def answer(self, error: ProtocolError) -> None:
        """Count what the peer broke and tell it so."""
        self.count(error.code, error.detail)
        self.reply(error.code, error.message, fatal=error.fatal)

    def take(self) -> list[E | Send | Counted | Close]:
        """Take everything out."""
        effects, self._effects = self._effects, []
        return effects
