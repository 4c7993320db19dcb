"""Calls that packs make: as themselves, and never wider than the call that they are in."""

from __future__ import annotations

import asyncio
from typing import Any

from conductor_handlers.toolhost.pack_tools import PackTools
from conductor_handlers.toolhost.records import Caller
from conductor_handlers.toolhost.settings import HostSettings
from conductor_sdk.manifest_tools import PathScope
from conductor_sdk.tool_output import ToolOutput, succeeded

WRITE = {"type": "path", "pattern": ".demo/**", "access": "write"}


def code(output: ToolOutput) -> str | None:
    return None if output.error is None else output.error.code


async def test_a_pack_calls_as_itself(world: Any) -> None:
    async def who(_given: Any, ctx: Any) -> ToolOutput:
        return succeeded({"actor": ctx.call.actor, "surface": ctx.call.surface})

    world.tool("a:who", who)
    world.tool("a:inner", internal_only=True)
    assert world.host is not None
    door = world.doors["demo"]
    assert {"actor": "pack:demo", "surface": "pack"} == (await door.call("a:who")).data
    assert (await door.call("a:inner", {"n": 1}, key="k")).success
    assert ["a:inner", "a:who"] == door.names()
    assert {"pack:demo"} == {entry.actor for entry in world.evidence.entries}


async def test_a_door_without_a_host_says_so() -> None:
    door = PackTools("demo")
    assert "TOOL_UNAVAILABLE" == code(await door.call("a:b"))
    assert () == door.names()


async def test_a_call_inside_of_a_call_is_journaled_with_its_parent(world: Any) -> None:
    async def outer(_given: Any, ctx: Any) -> ToolOutput:
        inner = await ctx.tools.call("a:inner", {"n": 1})
        return succeeded({"inner": inner.data, "parent": ctx.call.call_id})

    world.tool("a:outer", outer)
    world.tool("a:inner")
    output = await world.call("a:outer")
    assert {"n": 1} == output.data["inner"]
    inner = [e.payload for e in world.evidence.entries if e.payload.get("tool") == "a:inner"]
    assert {output.data["parent"]} == {payload["parent_call_id"] for payload in inner}


async def test_a_caller_with_narrow_scopes_gets_no_wider_ones_through_a_pack(world: Any) -> None:
    async def outer(_given: Any, ctx: Any) -> ToolOutput:
        inner = await ctx.tools.call("b:write")
        return succeeded({"code": code(inner)})

    world.tool("a:outer", outer)
    world.tool("b:write", pack="other", required_scopes=[WRITE])
    assert {"code": None} == (await world.call("a:outer")).data
    narrow = Caller("me", "http", scopes=(PathScope(type="path", pattern="**", access="read"),))
    assert {"code": "SCOPE_DENIED"} == (await world.call("a:outer", caller=narrow)).data


async def test_calls_inside_of_calls_take_no_slot_so_they_cannot_lock_each_other_out(
    world: Any,
) -> None:
    async def outer(_given: Any, ctx: Any) -> ToolOutput:
        return await ctx.tools.call("a:inner")

    world.tool("a:outer", outer)
    world.tool("a:inner")
    world.settings = HostSettings(max_concurrency=1)
    outputs = await asyncio.gather(*(world.call("a:outer") for _ in range(5)))
    assert all(output.success for output in outputs)


async def test_a_tool_that_calls_itself_comes_to_an_end(world: Any) -> None:
    deep: list[int] = []

    async def again(_given: Any, ctx: Any) -> ToolOutput:
        deep.append(1)
        return await ctx.tools.call("a:again")

    world.tool("a:again", again)
    assert "TOOL_EXECUTION_FAILED" == code(await world.call("a:again"))
    assert 8 == len(deep)
