"""Which tools there are: those of the loaded packs, each under one name.

Promise: the same packs and configurations give the same catalogue; a bad tool or a clash refuses
that tool alone and is listed as a problem. Refusal: no entry is imported and no schema compiled
before its first use.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from conductor_handlers.errors import describe
from conductor_handlers.registry import LoadedPack, Registry
from conductor_handlers.toolhost.records import Listing
from conductor_sdk.manifest_tools import PolicyManifest, ToolManifest
from conductor_sdk.pack import ToolLeftOut
from conductor_sdk.tool import Tool
from conductor_sdk.tool_entry import ToolUnavailable, load_entry
from conductor_sdk.tool_schema import Schema

ANY_OBJECT: Mapping[str, Any] = {"type": "object", "additionalProperties": True}
"""The input schema of a tool that declares none."""
_NON_WORD = re.compile(r"\W+", re.ASCII)


@dataclass(frozen=True, slots=True)
class ToolProblem:
    """A tool that is not offered, and why."""

    pack: str
    tool: str
    """Empty where the pack's whole tool set is meant."""
    message: str
    left_out: bool = False
    """The pack itself leaves it out, for what it found in the workspace."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What a first call prepared: entry and schemas."""

    run: Tool
    input: Schema
    output: Schema | None


class CatalogueTool:
    """One tool of one pack."""

    def __init__(
        self, pack: LoadedPack, manifest: ToolManifest, toolset: str | None = None
    ) -> None:
        self.pack = pack.slug
        self.version = pack.version
        self.manifest = manifest
        self.name = manifest.name
        self.mcp_name = mcp_name(pack.slug, manifest.name)
        self.policies: Sequence[PolicyManifest] = pack.pack.manifest.policies
        self._toolset = toolset
        self._ready: Ready | None = None

    def ready(self) -> Ready:
        """Import the entry and compile the schemas, once; a failure is tried again.

        Raises:
            ToolUnavailable: The entry cannot be imported, a schema is no schema, or a variable of
                `required_env` is not set.
        """
        if self._ready is None:
            self._ready = self._prepared()
        for name in self.manifest.required_env:
            if not os.environ.get(name):
                raise ToolUnavailable(f"the environment variable {name} is not set")
        return self._ready

    def _prepared(self) -> Ready:
        manifest = self.manifest
        try:
            taken = Schema(input_schema(manifest), strict=True)
            given = None if manifest.output_schema is None else Schema(manifest.output_schema)
        except ValueError as error:
            raise ToolUnavailable(f"a schema of {self.name} is invalid: {error}") from None
        return Ready(load_entry(manifest.entry), taken, given)

    @cached_property
    def listing(self) -> Listing:
        """The tool as it is listed, without what policies add."""
        manifest = self.manifest
        output = manifest.output_schema
        return Listing(
            name=self.name, title=manifest.title, description=manifest.description,
            pack=self.pack, version=self.version, permission=manifest.permission,
            input_schema=dict(manifest.input_schema or ANY_OBJECT),
            output_schema=None if output is None else dict(output),
            required_scopes=[
                scope.model_dump(mode="json", exclude_defaults=True)
                for scope in manifest.required_scopes
            ],
            required_approvals=list(manifest.required_approvals),
            destructive=manifest.destructive, idempotent=manifest.idempotent,
            mcp_name=self.mcp_name, toolset=self._toolset,
        )  # fmt: skip


def input_schema(manifest: ToolManifest) -> Mapping[str, Any]:
    """Return what the host checks a tool's input by."""
    own = manifest.input_schema if manifest.input_check == "host" else None
    return own or ANY_OBJECT


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The tools of one daemon. Look-ups are one dict access."""

    tools: Mapping[str, CatalogueTool] = field(default_factory=dict[str, CatalogueTool])
    """By name, sorted."""
    problems: tuple[ToolProblem, ...] = ()

    def get(self, name: str) -> CatalogueTool | None:
        """Return a tool."""
        return self.tools.get(name)


def build_catalogue(
    registry: Registry, configs: Mapping[str, Mapping[str, Any]], root: Path | None = None
) -> Catalogue:
    """Collect the tools of all loaded packs, in the order of their slugs. Never raises.

    Args:
        registry: The loaded packs.
        configs: The packs' sections of the configuration, by slug.
        root: The workspace; without one nothing is offered that stands in it.
    """
    tools: dict[str, CatalogueTool] = {}
    mcp_names: dict[str, str] = {}
    problems: list[ToolProblem] = []
    for pack in registry.packs:
        config = configs.get(pack.slug, {})
        found = _tools(pack, config, problems)
        for tool in chain(found, _tools_in(pack, config, root, problems)):
            refusal = _refusal(tool, pack.slug, tools, mcp_names)
            if refusal is not None:
                problems.append(ToolProblem(pack.slug, tool.name, refusal))
                continue
            tools[tool.name] = tool
            mcp_names[tool.mcp_name] = tool.name
    return Catalogue({name: tools[name] for name in sorted(tools)}, tuple(problems))


def _tools(
    pack: LoadedPack, config: Mapping[str, Any], problems: list[ToolProblem]
) -> Iterator[CatalogueTool]:
    chosen: Iterable[Any] = pack.pack.manifest.tools
    toolset: str | None = None
    if pack.pack.toolset is not None:
        try:
            with contextlib.redirect_stdout(sys.stderr):
                chosen = list(pack.pack.toolset(config))
        except (Exception, SystemExit) as error:  # noqa: BLE001  foreign code: anything may come
            problems.append(ToolProblem(pack.slug, "", f"toolset: {describe(error)}"))
            return
        named = config.get("toolset")
        toolset = named if isinstance(named, str) else None
    for manifest in chosen:
        if isinstance(manifest, ToolManifest):
            yield CatalogueTool(pack, manifest, toolset)
        else:
            text = f"toolset: a {type(manifest).__name__} is no ToolManifest"
            problems.append(ToolProblem(pack.slug, "", text))


def _tools_in(
    pack: LoadedPack, config: Mapping[str, Any], root: Path | None, problems: list[ToolProblem]
) -> Iterator[CatalogueTool]:
    if pack.pack.tools_in is None or root is None:
        return
    try:
        with contextlib.redirect_stdout(sys.stderr):
            chosen: Iterable[Any] = list(pack.pack.tools_in(config, root))
    except (Exception, SystemExit) as error:  # noqa: BLE001  foreign code: anything may come
        problems.append(ToolProblem(pack.slug, "", f"tools_in: {describe(error)}"))
        return
    for each in chosen:
        match each:
            case ToolManifest():
                yield CatalogueTool(pack, each)
            case ToolLeftOut(name, why):
                problems.append(ToolProblem(pack.slug, name, why, left_out=True))
            case _:
                text = f"tools_in: a {type(each).__name__} is no ToolManifest"
                problems.append(ToolProblem(pack.slug, "", text))


def _refusal(
    tool: CatalogueTool,
    slug: str,
    tools: Mapping[str, CatalogueTool],
    mcp_names: Mapping[str, str],
) -> str | None:
    if tool.name in tools:
        return f"the name is taken by the pack {tools[tool.name].pack}"
    if tool.mcp_name in mcp_names:
        return f"on MCP it would be {tool.mcp_name}, as {mcp_names[tool.mcp_name]}"
    for approval in tool.manifest.required_approvals:
        if not approval.startswith(slug + ":"):
            return f"the approval {approval!r} does not begin with {slug}:"
    return None


def mcp_name(slug: str, name: str) -> str:
    """Return the tool's name on MCP: word characters only, the pack's slug in front, once."""
    group, _, verb = name.partition(":")
    whole = f"{slug}_{verb}" if verb and group == slug else f"{slug}_{name}"
    return _NON_WORD.sub("_", whole).strip("_")
