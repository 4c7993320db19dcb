"""Which processes open links at an address: two that take turns are one too many.

Promise: the newest keeps the address; an older one that comes back while the newer one's link is
open is named as sharing it. Refusal: what a restart looks like is never taken for sharing.

A broker gives a client id to whoever connects last, and not every broker says so to the other one.
"""

from __future__ import annotations

from collections import OrderedDict, deque

FORMER = 8
TOPICS = 65_536


class Processes:
    """The lives that have opened links, for the latest addresses."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, deque[str]] = OrderedDict()

    def shared(self, topic: str, process: str, *, alive: bool) -> bool:
        """Take note of a process that opens a link; returns whether it must not.

        Args:
            topic: The address.
            process: The life that opens; empty: it does not say.
            alive: Whether another link is open there, as far as anybody knows.
        """
        lives = self._seen.setdefault(topic, deque(maxlen=FORMER))
        self._seen.move_to_end(topic)
        if len(self._seen) > TOPICS:
            self._seen.popitem(last=False)
        if alive and process in lives and lives[-1] != process:
            return True
        if process and (not lives or lives[-1] != process):
            if process in lives:
                lives.remove(process)
            lives.append(process)
        return False
