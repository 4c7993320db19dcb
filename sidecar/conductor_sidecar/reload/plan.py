"""Planning a reload: everything new is read, built and checked before anything old is touched.

Promise: a plan is complete, and what it changes is known; where it cannot be made, the error says
so and names what was known to change. Refusal: nothing that runs is changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from conductor_handlers.pack_sources import Candidate
from conductor_handlers.registry import Registry
from conductor_sdk.pack import Pack
from conductor_sidecar.config import Configuration
from conductor_sidecar.packs import BoundPacks, Load
from conductor_sidecar.reload.baseline import Baseline
from conductor_sidecar.reload.difference import (
    Change,
    code_changes,
    pack_changes,
    setting_changes,
    tool_changes,
)
from conductor_sidecar.reload.errors import ReloadPackRefused, ReloadToolRefused
from conductor_sidecar.reload.live import taken_over
from conductor_sidecar.reload.report import facts
from conductor_sidecar.settings import Settings
from conductor_sidecar.tools import packs_catalogue

if TYPE_CHECKING:
    from conductor_handlers.toolhost.catalogue import Catalogue, ToolProblem
    from conductor_handlers.toolhost.late_catalogue import LateCatalogue

Revise = Callable[[Candidate, Pack], Pack]
Select = Callable[[Settings, Revise], Registry]


@dataclass(frozen=True, slots=True)
class Force:
    """What is in force, or is to be: a configuration with the packs and tools that it gives."""

    configuration: Configuration
    load: Load
    catalogue: Catalogue | LateCatalogue
    """The tools."""

    @property
    def settings(self) -> Settings:
        """The settings that hold."""
        return self.configuration.settings


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be in force, and what that changes."""

    force: Force
    changes: list[Change]


class Planner:
    """Makes plans."""

    def __init__(
        self, configured: Callable[[], Configuration], select: Select, packs: BoundPacks,
        held: Iterable[str] = (),
    ) -> None:  # fmt: skip
        """Prepare; the baseline of the packs' files is taken here.

        Args:
            configured: Reads the configuration anew; may raise a ConductorError.
            select: Finds, imports and checks the packs of some settings.
            packs: Binds them.
            held: Settings that cannot be taken over here.
        """
        self._held = frozenset(held)
        self._configured = configured
        self._select = select
        self._packs = packs
        self._baseline = Baseline()
        self._baseline.note(packs.registry.packs)

    async def measure(self) -> None:
        """Remember the code of the packs as it is now; once, soon after the start."""
        await asyncio.to_thread(self._baseline.measure, self._packs.registry.packs)

    async def plan(self, now: Force) -> Plan:
        """Plan how to get from what is in force to what the files say.

        Raises:
            ConfigInvalid: The configuration is not valid.
            ReloadPackRefused: A pack that was loaded would be refused, or a new one is.
            ReloadToolRefused: A tool would not be offered that was.
        """
        # In a thread: packs are imported, and files are read.
        read = await asyncio.to_thread(self._configured)
        settings = taken_over(now.settings, read.settings, self._held)
        changes = setting_changes(now.configuration, read, self._held)
        registry = await asyncio.to_thread(self._select, settings, self._baseline.revised)
        changes += code_changes(
            await asyncio.to_thread(self._baseline.changed_code, registry.packs)
        )
        load = self._packs.prepare(registry, settings)
        catalogue = await asyncio.to_thread(
            packs_catalogue, load.registry, settings, root=self._packs.workspace
        )
        changes += pack_changes(now.load.registry, load.registry, catalogue.tools)
        _check_packs(now.load.registry, load.registry, changes)
        changes += tool_changes(now.catalogue.tools, catalogue.tools)
        _check_tools(now.catalogue.problems, catalogue.problems, changes)
        await asyncio.to_thread(self._baseline.measure, load.registry.packs)
        configuration = replace(read, settings=settings)
        return Plan(Force(configuration, load, catalogue), changes)


def _check_packs(before: Registry, after: Registry, changes: list[Change]) -> None:
    known = {pack.name: [problem.code for problem in pack.problems] for pack in before.refused}
    for pack in after.refused:
        if known.get(pack.name) != [problem.code for problem in pack.problems]:
            first = pack.problems[0]
            raise ReloadPackRefused(
                f"{pack.name}: {first.message}", hint=first.hint,
                data={**facts(changes), "problems": [p.as_json() for p in pack.problems]},
            )  # fmt: skip


def _check_tools(
    before: tuple[ToolProblem, ...], after: tuple[ToolProblem, ...], changes: list[Change]
) -> None:
    for problem in after:
        if problem not in before and not problem.left_out:
            raise ReloadToolRefused(
                f"{problem.pack} {problem.tool}: {problem.message}", data=facts(changes)
            )
