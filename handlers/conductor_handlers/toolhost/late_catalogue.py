"""The catalogue of a daemon that may never be asked for it.

Promise: it is built once, at the first question; whoever may wait has it built off the loop, since
a pack may load modules of its users for it. Refusal: nothing of tools is imported before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conductor_handlers.toolhost.catalogue import Catalogue, CatalogueTool, ToolProblem


class LateCatalogue:
    """A catalogue that is built when somebody asks: a start has no time for tool sets."""

    def __init__(self, build: Callable[[], Catalogue], *, slow: bool = False) -> None:
        """Wait for a question.

        Args:
            build: Gives the tools.
            slow: It may take long, as where a pack loads modules for it.
        """
        self._build = build
        self._slow = slow
        self._found: Catalogue | None = None
        self._building: asyncio.Task[Catalogue] | None = None

    @property
    def built(self) -> bool:
        """Whether somebody has asked before."""
        return self._found is not None

    async def prepare(self) -> None:
        """Build it, in a thread if that is slow; from then on questions are answered at once.

        Raises:
            Exception: As `build`; the next one to ask tries again.
        """
        if not self._slow:
            self._found = self._build()
            return
        if self._building is None:
            self._building = asyncio.create_task(asyncio.to_thread(self._build), name="tools.list")
        task = self._building
        try:
            # Shielded: the first to ask may go while a second one waits.
            self._found = await asyncio.shield(task)
        finally:
            if task.done() and self._building is task:
                self._building = None

    @property
    def _built(self) -> Catalogue:
        if self._found is None:
            self._found = self._build()
        return self._found

    @property
    def tools(self) -> Mapping[str, CatalogueTool]:
        """By name, sorted."""
        return self._built.tools

    @property
    def problems(self) -> tuple[ToolProblem, ...]:
        """The tools that are not offered."""
        return self._built.problems

    def get(self, name: str) -> CatalogueTool | None:
        """Return a tool."""
        return self._built.get(name)
