"""The tool host of a daemon, put together from the registry, the settings and the stores.

Promise: the daemon, a command without a daemon and a listing build it alike. Refusal: nothing about
a call is decided here; the host does, and nothing is imported for a tool before its first call.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from conductor_handlers.registry import Registry
from conductor_handlers.toolhost.host import HostPorts, ToolHost
from conductor_handlers.toolhost.late_catalogue import LateCatalogue
from conductor_handlers.toolhost.ports import ToolEvents, ToolTimes
from conductor_handlers.toolhost.records import Caller, Listing, PackRoom
from conductor_handlers.toolhost.settings import HostSettings
from conductor_sdk.clock import Clock, epoch_ms
from conductor_sidecar.logs import get_logger
from conductor_sidecar.packs import BoundPacks, pack_config
from conductor_sidecar.settings import Settings, ToolPolicy
from conductor_sidecar.stores import Stores

if TYPE_CHECKING:
    from conductor_handlers.toolhost.catalogue import Catalogue, ToolProblem
    from conductor_handlers.toolhost.policy import Rule

END_S = 5.0
"""How long tools that were cancelled may take to end."""


class Tools:
    """The host of one daemon, with its beginning, its upkeep and its end."""

    def __init__(self, host: ToolHost, stores: Stores, settings: Settings, clock: Clock) -> None:
        self.host = host
        self._stores = stores
        self._settings = settings
        self._clock = clock

    def adopt(
        self, catalogue: Catalogue | LateCatalogue, rooms: Mapping[str, PackRoom],
        settings: Settings,
    ) -> None:  # fmt: skip
        """Take over other packs and settings; calls that run end in what they began in."""
        self.host.adopt(catalogue, rooms, host_settings(settings))
        self._settings = settings

    async def recover(self) -> int:
        """Close what the last process left open; once, before the first call.

        Returns how many calls were interrupted.
        """
        return await self.host.recover(self._stores.calls)

    async def prune(self) -> int:
        """Forget old answers and approvals; returns how many. Calls are looked through as well.

        So the next start looks through the journal from here, and not from its beginning.
        """
        await self._stores.calls.look_on()
        settings = self._settings
        answers = await self._stores.results.prune(self._before(settings.tools.result_days))
        return answers + await self._stores.approvals.prune(self._before(settings.retention.days))

    async def close(self, timeout_s: float) -> None:
        """Let what runs finish for so long, then end it; no call is taken any more."""
        await self.host.drain(timeout_s)
        await self.host.close(END_S)
        await self._stores.calls.look_on()

    def _before(self, days: float) -> int:
        return epoch_ms(self._clock.now() - timedelta(days=days))


class LateListings(Sequence[Listing]):
    """Listings that are asked for when somebody looks: a start has no time for tool sets."""

    def __init__(self, ask: Callable[[], list[Listing]]) -> None:
        self._ask = ask

    @cached_property
    def _found(self) -> list[Listing]:
        return self._ask()

    @overload
    def __getitem__(self, index: int) -> Listing: ...
    @overload
    def __getitem__(self, index: slice) -> list[Listing]: ...
    def __getitem__(self, index: int | slice) -> Listing | list[Listing]:
        return self._found[index]

    def __len__(self) -> int:
        return len(self._found)


def build_tools(
    packs: BoundPacks, stores: Stores, events: ToolEvents, settings: Settings, *,
    subject: str, clock: Clock, times: ToolTimes | None = None,
) -> Tools:  # fmt: skip
    """Build the host of the loaded packs and open their `ctx.tools`."""
    host = ToolHost(
        LateCatalogue(
            lambda: packs_catalogue(packs.registry, settings, root=packs.workspace),
            slow=any(pack.pack.tools_in is not None for pack in packs.registry.packs),
        ),
        packs.rooms,
        HostPorts(stores.approvals, stores.results, stores.journal, events),
        subject=subject, settings=host_settings(settings), clock=clock,
        log=get_logger(part="tools"), times=times,
    )  # fmt: skip
    packs.attach(host)
    return Tools(host, stores, settings, clock)


def packs_catalogue(
    registry: Registry, settings: Settings, toolset: str | None = None, *, root: Path | None = None
) -> Catalogue:
    """Return the tools of the loaded packs as they are configured, or with another tool set.

    With the root of a workspace also those that packs make of what stands in it.
    """
    from conductor_handlers.toolhost.catalogue import build_catalogue

    override = {} if toolset is None else {"toolset": toolset}
    configs: Mapping[str, Mapping[str, Any]] = {
        pack.slug: {**pack_config(pack, settings), **override} for pack in registry.packs
    }
    return build_catalogue(registry, configs, root)


def listings_without_host(
    registry: Registry, settings: Settings, root: Path, toolset: str | None = None
) -> tuple[list[Listing], Sequence[ToolProblem]]:
    """Return what a host with these settings would list for this user, and what is not offered.

    Nothing is imported for a tool, and no store is opened.
    """
    from conductor_handlers.toolhost.gate import Gates

    catalogue = packs_catalogue(registry, settings, toolset, root=root)
    gates = Gates(host_settings(settings), {pack.slug: root for pack in registry.packs})
    found = [
        gates.of(tool, None).listing()
        for tool in catalogue.tools.values()
        if not tool.manifest.internal_only
    ]
    return [listing for listing in found if listing is not None], catalogue.problems


def host_settings(settings: Settings) -> HostSettings:
    """Translate the sections `tools` and `approvals`."""
    tools = settings.tools
    rules = _rules(tools.policies) if tools.policies else ()
    return HostSettings(
        scopes=tuple(tools.scopes), rules=rules, default_decision=tools.default_decision,
        deadline_s=tools.deadline_s, max_concurrency=tools.max_concurrency,
        approval_ttl_s=settings.approvals.ttl_s,
    )  # fmt: skip


def _rules(policies: Sequence[ToolPolicy]) -> tuple[Rule, ...]:
    from conductor_handlers.toolhost.policy import Rule

    return tuple(
        Rule(f"workspace.{number}", policy.decision, policy.tool, policy.reason)
        for number, policy in enumerate(policies, start=1)
    )


def local_caller() -> Caller:
    """Return the caller on this machine: the user whose workspace it is."""
    user = os.geteuid()
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        name = str(user)
    return Caller(f"local:{name}", "socket")
