"""What the flows of the pack's tests do, seen and steered from a test in the same process.

A test puts a fresh one into `desk`; a child process has its own, and dies where a file says so.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Desk:
    """Calls by node, the gate that `slow` waits at, and who waits there."""

    calls: Counter[str] = field(default_factory=Counter)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    inside: int = 0
    most: int = 0
    """At once."""
    cancelled: int = 0

    async def wait(self) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.inside -= 1


desk = Desk()


def maybe_die(place: str) -> None:
    """Kill this process where the file `die` of the current directory says, once."""
    order = Path("die")
    if order.exists() and order.read_text() == place:
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
