"""Planning a reload: everything new is read, built and checked before anything old is touched.

Promise: a plan is complete, and what it changes is known; where it cannot be made, the error says
so and names what was known to change. Refusal: nothing that runs is changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from conductor_handlers.pack_sources import Candidate
from conductor_handlers.registry import Registry
from conductor_handlers.toolhost.catalogue import Catalogue, CatalogueTool, ToolProblem
from conductor_sdk.pack import Pack
from conductor_sidecar.config import Configuration
from conductor_sidecar.packs import BoundPacks, Load
from conductor_sidecar.reload.baseline import Baseline
from conductor_sidecar.reload.difference import (
    Change,
    pack_changes,
    setting_changes,
    tool_changes,
)
from conductor_sidecar.reload.errors import ReloadPackRefused, ReloadToolRefused
from conductor_sidecar.reload.live import taken_over
from conductor_sidecar.reload.report import facts
from conductor_sidecar.settings import Settings
from conductor_sidecar.tools import packs_catalogue

Revise = Callable[[Candidate, Pack], Pack]
Select = Callable[[Settings, Revise], Registry]


@dataclass(frozen=True, slots=True)
class Force:
    """What is in force, or is to be: a configuration with the packs and tools that it gives."""

    configuration: Configuration
    load: Load
    tools: Mapping[str, CatalogueTool]
    problems: tuple[ToolProblem, ...]

    @property
    def settings(self) -> Settings:
        """The settings that hold."""
        return self.configuration.settings

    @property
    def catalogue(self) -> Catalogue:
        """The tools."""
        return Catalogue(self.tools, self.problems)


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be in force, and what that changes."""

    force: Force
    changes: list[Change]


class Planner:
    """Makes plans."""

    def __init__(
        self, configured: Callable[[], Configuration], select: Select, packs: BoundPacks
    ) -> None:
        """Prepare; the baseline of the packs' files is taken here.

        Args:
            configured: Reads the configuration anew; may raise a ConductorError.
            select: Finds, imports and checks the packs of some settings.
            packs: Binds them.
        """
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
        settings = taken_over(now.settings, read.settings)
        changes = setting_changes(now.configuration, read)
        registry = await asyncio.to_thread(self._select, settings, self._baseline.revised)
        code = await asyncio.to_thread(self._baseline.changed_code, registry.packs)
        changes += [Change("code", slug, "changed", "restart") for slug in code]
        load = self._packs.prepare(registry, settings)
        changes += pack_changes(now.load.registry, load.registry)
        _check_packs(now.load.registry, load.registry, changes)
        catalogue = await asyncio.to_thread(packs_catalogue, load.registry, settings)
        changes += tool_changes(now.tools, catalogue.tools)
        _check_tools(now.problems, catalogue.problems, changes)
        await asyncio.to_thread(self._baseline.measure, load.registry.packs)
        configuration = replace(read, settings=settings)
        return Plan(Force(configuration, load, catalogue.tools, catalogue.problems), changes)


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
        if problem not in before:
            raise ReloadToolRefused(
                f"{problem.pack} {problem.tool}: {problem.message}", data=facts(changes)
            )
