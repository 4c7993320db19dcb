"""The pack's own context: its engine, made at first use.

Promise: a section that cannot be used is refused when the pack is bound, before any event comes;
making a context imports no flow; handlers, tools and the background task of one bound pack share
one engine. Refusal: nothing runs by itself.
"""

from __future__ import annotations

import asyncio
import importlib
import weakref
from functools import cached_property
from typing import TYPE_CHECKING, Final

from conductor_packs.flows.settings import settings
from conductor_sdk.context import PackContext

if TYPE_CHECKING:
    from conductor_packs.flows.engine import Engine

_made: Final[weakref.WeakValueDictionary[int, FlowsContext]] = weakref.WeakValueDictionary()
"""By the daemon's context, which a background task is given; as long as the pack's own lives."""


class FlowsContext:
    """One for each bound pack."""

    def __init__(self, base: PackContext) -> None:
        """Wrap the daemon's context.

        Raises:
            SettingsInvalid: The configuration cannot be used; the pack is refused with it.
        """
        self.base = base
        self._settings = settings(base.config)
        _made[id(base)] = self

    async def prepared(self) -> bool:
        """Import what runs flows, beside the event loop; False: the workspace has no flows."""
        if not self.base.config.get("flows"):
            return False
        if "engine" not in self.__dict__:
            # Seconds of imports on a busy machine: links and other packs go on meanwhile.
            await asyncio.to_thread(importlib.import_module, "conductor_packs.flows.engine")
        return True

    @cached_property
    def engine(self) -> Engine:
        """What runs the flows."""
        from conductor_packs.flows.engine import Engine

        return Engine(self.base, self._settings)


def context_of(base: PackContext) -> FlowsContext:
    """Return the pack's own context that was made of the daemon's."""
    known = _made.get(id(base))
    return FlowsContext(base) if known is None else known
