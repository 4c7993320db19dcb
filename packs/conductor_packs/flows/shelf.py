"""The flows that the configuration names, loaded when they are first asked for.

Promise: a flow that cannot be loaded is an error of its own; one whose files have changed is loaded
again before the next run; nobody waits for another one's load. Refusal: no module runs on the event
loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from conductor_packs.flows import library
from conductor_packs.flows.errors import FlowBroken, FlowUnknown
from conductor_packs.flows.library import Loaded, Place


class Shelf:
    """The flows of a workspace. Use from one event loop."""

    def __init__(self, workspace: Path, specs: Mapping[str, str]) -> None:
        root = workspace.resolve()  # as listings have it: a flow is loaded once for both
        self._places = {name: Place(root, name, spec) for name, spec in specs.items()}
        self._under_way: dict[str, asyncio.Task[Loaded | FlowBroken]] = {}

    @property
    def names(self) -> list[str]:
        """The names of all flows, sorted."""
        return sorted(self._places)

    def spec(self, name: str) -> str:
        """Return where a flow comes from."""
        return self._places[name].spec

    async def get(self, name: str) -> Loaded:
        """Return a flow as it is now.

        Raises:
            FlowUnknown: The configuration names none of that name.
            FlowBroken: It cannot be loaded.
        """
        if name not in self._places:
            raise FlowUnknown(repr(name), data={"flows": self.names})
        found = library.known(self._places[name])
        if found is None:
            if name not in self._under_way:
                # One thread for each flow, whoever waits for it and however long it takes.
                loading = asyncio.create_task(self._load(name), name="flows.load")
                self._under_way[name] = loading
            found = await asyncio.shield(self._under_way[name])
        if isinstance(found, FlowBroken):
            # A new one each time: an error that is raised again collects frames.
            raise FlowBroken(found.detail, hint=found.hint, data=found.data)
        return found

    async def _load(self, name: str) -> Loaded | FlowBroken:
        try:
            return await asyncio.to_thread(library.loaded, self._places[name])
        finally:
            del self._under_way[name]
