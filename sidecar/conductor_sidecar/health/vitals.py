"""What health and metrics need of a store, whatever it stands on.

Promise: all of it is plain numbers that can be read at any time. Refusal: no implementation here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class StoreVitals(Protocol):
    """One database file."""

    took: Callable[[float], None]
    """Told the seconds of each commit, on the store's thread; replace it."""

    @property
    def name(self) -> str:
        """The file's name."""
        ...

    @property
    def commits(self) -> int:
        """Commits since the start."""
        ...

    @property
    def failures(self) -> int:
        """Writes that the store itself refused, since the start."""
        ...

    @property
    def refuses(self) -> str | None:
        """The code of the last refusal, as STORE_FULL, until a write is proved to work again."""
        ...

    async def prove(self) -> None:
        """Write something that changes nothing.

        Raises:
            ConductorError: It still refuses.
        """
        ...
