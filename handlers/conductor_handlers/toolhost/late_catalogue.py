"""The catalogue of a daemon that may never be asked for it.

Promise: it is built once, at the first question. Refusal: nothing of tools is imported before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conductor_handlers.toolhost.catalogue import Catalogue, CatalogueTool, ToolProblem


class LateCatalogue:
    """A catalogue that is built when somebody asks: a start has no time for tool sets."""

    def __init__(self, build: Callable[[], Catalogue]) -> None:
        self._build = build

    @cached_property
    def _built(self) -> Catalogue:
        return self._build()

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
