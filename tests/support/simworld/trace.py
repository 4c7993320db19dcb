"""Everything that happened in a world, in order, as one digest.

Promise: two runs with equal digests did the same: every frame, statement, commit and timer, at the
same time. Refusal: nothing is kept but the digest; whoever wants the lines takes them as they come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable


class Trace:
    """Takes one line for each thing that happens."""

    def __init__(self, now: Callable[[], float], show: Callable[[str], None] | None = None) -> None:
        self._now = now
        self._show = show
        self._digest = hashlib.blake2b(digest_size=16)
        self.lines = 0

    def add(self, what: str, detail: str = "") -> None:
        """Add a line; the time is put before it."""
        line = f"{self._now():.6f} {what} {detail}"
        self._digest.update(line.encode("utf-8", "surrogateescape"))
        self.lines += 1
        if self._show is not None:
            self._show(line)

    def data(self, what: str, data: bytes) -> None:
        """Add bytes that nobody wants to read."""
        self._digest.update(data)
        self.add(what, str(len(data)))

    def frame(self, what: str, frame: bytes) -> None:
        """Add a frame."""
        self._digest.update(frame)
        shown = "" if self._show is None else frame[:160].decode("utf-8", "replace")
        self.add(what, f"{len(frame)} {shown}" if shown else str(len(frame)))

    @property
    def digest(self) -> str:
        """Of everything so far."""
        return self._digest.hexdigest()
