"""The tool host: the only way to a pack's tools.

Promise: nothing of what decides about calls is imported before the first question, so that a start
is as quick without tools as with them; from then on `Calls` answers. Refusal: no transport, no
credential and no store is known here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

from conductor_handlers.toolhost.given import Given, HostPorts
from conductor_handlers.toolhost.late_catalogue import LateCatalogue
from conductor_sdk.clock import Clock, SystemClock
from conductor_sdk.tool_output import ToolOutput, failed

if TYPE_CHECKING:
    from conductor_handlers.toolhost.calls import Calls
    from conductor_handlers.toolhost.catalogue import Catalogue
    from conductor_handlers.toolhost.ports import CallHistory, ToolTimes
    from conductor_handlers.toolhost.records import Caller, Listing, PackRoom, Request
    from conductor_handlers.toolhost.settings import HostSettings
    from conductor_sdk.context import Log

__all__ = ["HostPorts", "ToolHost"]


class ToolHost:
    """Runs tools. Use from one event loop; close it before its stores."""

    def __init__(
        self,
        catalogue: Catalogue | LateCatalogue,
        rooms: Mapping[str, PackRoom],
        ports: HostPorts,
        *,
        subject: str,
        settings: HostSettings | None = None,
        clock: Clock | None = None,
        log: Log | None = None,
        times: ToolTimes | None = None,
    ) -> None:
        """Prepare; nothing is imported or asked yet.

        Args:
            catalogue: The tools.
            rooms: What each pack's tools run in, by slug.
            ports: The stores.
            subject: The enrolled subject: the `from` of `agent-runtime:tool_called`.
            settings: The configuration.
            clock: Gives every time and duration of the evidence.
            log: Is told what cannot be answered: evidence that was refused, tools that are stuck.
            times: Is told of every call.
        """
        self._given = Given(catalogue, rooms, settings)
        self._results = ports.results
        self._make = partial(
            _calls, ports, subject=subject, clock=clock or SystemClock(), log=log, times=times
        )
        self._made: Calls | None = None
        self._stopping = False

    def adopt(
        self, catalogue: Catalogue | LateCatalogue, rooms: Mapping[str, PackRoom],
        settings: HostSettings,
    ) -> None:  # fmt: skip
        """Take over other tools and settings; calls that run end in what they began in."""
        self._given = Given(catalogue, rooms, settings)
        if self._made is not None:
            self._made.adopt(self._given)

    @property
    def offered(self) -> Catalogue | LateCatalogue:
        """The tools that it offers."""
        return self._given.catalogue

    async def ready(self) -> None:
        """Have the tools found, off the loop; `listings` and `names` need not wait for it then."""
        catalogue = self._given.catalogue
        if isinstance(catalogue, LateCatalogue) and not catalogue.built:
            await catalogue.prepare()

    async def settled(self, packs: Collection[str], timeout_s: float) -> bool:
        """Wait for the calls of these packs' tools to end; tells whether they did in time."""
        return self._made is None or await self._made.settled(packs, timeout_s)

    async def call(self, request: Request) -> ToolOutput:
        """Call a tool. A refusal is an answer; nothing but CancelledError is raised.

        The call is finished, and its evidence written, even if the caller is cancelled: the tool
        is cancelled then, and what it did is `CALL_INTERRUPTED`.
        """
        if self._made is None and self._stopping:
            return failed("TOOL_UNAVAILABLE", "the daemon is stopping")
        await self.ready()
        return await self._calls.call(request)

    def listings(self, caller: Caller) -> list[Listing]:
        """Return the tools that a caller may call, sorted by name.

        Those for packs only are left out, and those that scopes or policy refuse in any case.
        """
        return self._calls.listings(caller)

    def known(self) -> list[Listing]:
        """Return every tool that is not for packs only, sorted, whatever refuses its calls."""
        return self._calls.known()

    def names(self, caller: Caller) -> list[str]:
        """Return the names of the tools that a call would find, sorted."""
        return self._calls.names(caller)

    async def recover(self, history: CallHistory) -> int:
        """Close what the last process left open; once, before the first call.

        Returns how many calls were interrupted.
        """
        calls = await history.open_calls()
        for call in calls:
            await self._calls.interrupted(call)
        # Without an open call as well: a crash may come after a call's last entry and before the
        # answer of its key is kept.
        await self._results.abandon_running()
        return len(calls)

    async def drain(self, timeout_s: float) -> int:
        """Take no more calls but those that a running tool makes, and wait for what runs.

        Returns how many calls had not ended in time; `close` ends them.
        """
        self._stopping = True
        return 0 if self._made is None else await self._made.drain(timeout_s)

    async def close(self, timeout_s: float = 5.0) -> None:
        """Take no more calls, cancel the tools that run, and finish their evidence."""
        self._stopping = True
        if self._made is not None:
            await self._made.close(timeout_s)

    @property
    def _calls(self) -> Calls:
        if self._made is None:
            self._made = self._make(self._given)
        return self._made


def _calls(
    ports: HostPorts, given: Given, *, subject: str, clock: Clock, log: Log | None,
    times: ToolTimes | None,
) -> Calls:  # fmt: skip
    from conductor_handlers.toolhost.calls import Calls

    return Calls(given, ports, subject=subject, clock=clock, log=log, times=times)
