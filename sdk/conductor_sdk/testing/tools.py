"""The pack's own tools, called as the tool host would.

Promise: entries, scopes, required approvals, schemas and answers meet the daemon's checks, with
its codes. Refusal: no policy, no journal entry, no deadline in real time, no other pack's tools.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from conductor_sdk.manifest_tools import ToolManifest
from conductor_sdk.pack import Pack
from conductor_sdk.pack_errors import ScopeDenied
from conductor_sdk.scoped_files import WorkspaceFiles
from conductor_sdk.testing.context import HarnessContext, HarnessToolContext
from conductor_sdk.tool import Surface, ToolCall
from conductor_sdk.tool_entry import ToolUnavailable, load_entry, read_answer
from conductor_sdk.tool_output import ToolOutput, failed
from conductor_sdk.tool_schema import NotJson, Schema, from_json, to_json

DEADLINE_S = 30.0
"""What `ctx.deadline` counts from, in manual time, where a tool names no deadline."""
ANY_OBJECT: Mapping[str, Any] = {"type": "object", "additionalProperties": True}


@dataclass(frozen=True, slots=True)
class ToolCaller:
    """Who calls, and in what connection."""

    actor: str = "tester"
    surface: Surface = "socket"
    approved: bool = False
    """Whether it holds whatever approvals the tool requires."""
    run_id: str | None = None
    task_id: str | None = None
    session_id: str | None = None


class HarnessTools:
    """The `ToolPort` of the harness: the tools of one pack. Attached before the first call."""

    _context: HarnessContext
    _own: Any

    def __init__(self, pack: Pack, config: Mapping[str, Any]) -> None:
        slug = pack.manifest.slug
        self._pack = pack
        self._config = config
        self._as_pack = ToolCaller(actor=f"pack:{slug}", surface="pack")
        self._schemas: dict[str, tuple[Schema, Schema | None]] = {}
        self._answers: dict[tuple[str, str, str], tuple[bytes, ToolOutput]] = {}
        self._calls = 0

    def attach(self, context: HarnessContext, own: Any) -> None:
        """Say what the tools are given."""
        self._context = context
        self._own = own

    @cached_property
    def manifests(self) -> Mapping[str, ToolManifest]:
        """The pack's tools for its configuration and workspace, by name; the first of a name."""
        pack, found = self._pack, dict[str, ToolManifest]()
        tools = pack.manifest.tools if pack.toolset is None else pack.toolset(self._config)
        more = () if pack.tools_in is None else pack.tools_in(self._config, self._context.workspace)
        for each in (*tools, *more):
            if isinstance(each, ToolManifest):
                found.setdefault(each.name, each)
        return found

    async def call(
        self, tool: str, input: Mapping[str, Any] | None = None, *,  # noqa: A002  the wire's word
        key: str | None = None,
    ) -> ToolOutput:  # fmt: skip
        """Call one of the pack's tools as the pack."""
        return await self.run(tool, dict(input or {}), key=key, caller=self._as_pack)

    def names(self) -> Sequence[str]:
        """Return the names of the pack's tools, sorted."""
        return sorted(self.manifests)

    async def run(
        self, name: str, given: object, *, key: str | None = None, caller: ToolCaller | None = None
    ) -> ToolOutput:
        """Call a tool as anybody."""
        caller = caller or ToolCaller()
        tool = self.manifests.get(name)
        if tool is None or (tool.internal_only and caller.surface != "pack"):
            return failed("TOOL_NOT_FOUND", f"no tool is called {name!r}")
        if tool.required_approvals and not caller.approved:
            return failed("APPROVAL_REQUIRED", f"{name} requires an approval")
        try:
            text = to_json(given)
        except NotJson as error:
            return failed("INVALID_INPUT", str(error))
        if key is None:
            return await self._run(tool, text, caller)
        place = (caller.actor, name, key)
        first, answer = self._answers.get(place, (text, None))
        if first != text:
            return failed("IDEMPOTENCY_CONFLICT", f"the key {key!r} came with another input")
        if answer is None:
            answer = await self._run(tool, text, caller)
            self._answers[place] = (text, answer)
        return answer

    async def _run(self, tool: ToolManifest, text: bytes, caller: ToolCaller) -> ToolOutput:
        try:
            taken, answered = self._schemas_of(tool)
            entry = load_entry(tool.entry)
            for name in tool.required_env:
                if not os.environ.get(name):
                    raise ToolUnavailable(f"the environment variable {name} is not set")  # noqa: TRY301  # one answer for all
        except (ToolUnavailable, ValueError) as error:
            return failed("TOOL_UNAVAILABLE", str(error))
        given = from_json(text)
        problems = taken.problems(given)
        if problems:
            details = {"problems": problems}
            return failed("INVALID_INPUT", f"the input of {tool.name} is invalid", details=details)
        try:
            answer: object = await entry(given, self._tool_context(tool, given, caller))
        except ScopeDenied as error:
            return failed("SCOPE_DENIED", error.message)
        except Exception as error:  # noqa: BLE001  foreign code: anything may come
            text_of = " ".join(f"{type(error).__name__}: {error}".split())
            return failed("TOOL_EXECUTION_FAILED", f"{tool.name} failed: {text_of}")
        return read_answer(answer, answered)[0]

    def _schemas_of(self, tool: ToolManifest) -> tuple[Schema, Schema | None]:
        if tool.name not in self._schemas:
            output = None if tool.output_schema is None else Schema(tool.output_schema)
            own = tool.input_schema if tool.input_check == "host" else None
            taken = Schema(own or ANY_OBJECT, strict=True)
            self._schemas[tool.name] = (taken, output)
        return self._schemas[tool.name]

    def _tool_context(
        self, tool: ToolManifest, given: Any, caller: ToolCaller
    ) -> HarnessToolContext:
        context = self._context
        self._calls += 1
        call = ToolCall(
            call_id=f"call-{self._calls}", tool=tool.name, actor=caller.actor,
            surface=caller.surface,
            dry_run=isinstance(given, dict) and given.get("dry_run") is True,  # pyright: ignore[reportUnknownMemberType]  # JSON values are honest Any
            run_id=caller.run_id, task_id=caller.task_id, session_id=caller.session_id,
        )  # fmt: skip
        shared = {field.name: getattr(context, field.name) for field in fields(context)}
        shared["deadline"] = context.clock.monotonic() + (tool.deadline_s or DEADLINE_S)
        return HarnessToolContext(
            **shared, call=call, scopes=tool.required_scopes, pack=self._own,
            files=WorkspaceFiles(context.workspace, tool.required_scopes),
        )  # fmt: skip
