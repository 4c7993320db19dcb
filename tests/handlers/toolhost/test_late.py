"""A host that nobody asked yet: it costs a start nothing, and ends like any other."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest

from conductor_handlers.toolhost.late_catalogue import LateCatalogue
from conductor_handlers.toolhost.policy import Rule
from conductor_handlers.toolhost.settings import HostSettings
from conductor_sdk.tool_output import failed

BUILT = """
import asyncio, sys
from conductor_handlers.toolhost.host import HostPorts, ToolHost
from conductor_handlers.toolhost.late_catalogue import LateCatalogue
from conductor_handlers.toolhost.pack_tools import PackTools
from conductor_state.memory.tool_results import MemoryToolResults
from tool_evidence import MemoryEvents, MemoryEvidence

def build():
    raise AssertionError("the catalogue is asked for")

async def live():
    evidence = MemoryEvidence()
    ports = HostPorts(None, MemoryToolResults(), evidence, MemoryEvents())
    host = ToolHost(LateCatalogue(build), {}, ports, subject="ws-1")
    PackTools("demo").attach(host)
    assert 0 == await host.recover(evidence)
    assert await host.settled({"demo"}, 1.0)
    await host.drain(1.0)
    await host.close()

asyncio.run(live())
prefix = "conductor_handlers.toolhost."
late = {"calls", "gate", "steps", "policy", "scopes", "catalogue", "evidence", "dispatch"}
print(sorted(late & {name.removeprefix(prefix) for name in sys.modules}))
"""


def test_a_life_without_a_question_imports_nothing_that_decides() -> None:
    program = f"import sys; sys.path[:] = {sys.path!r}\n{BUILT}"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert b"[]\n" == done.stdout


async def test_a_host_that_stops_before_its_first_call_takes_none(world: Any) -> None:
    world.tool("a:b")
    for stop in ("drain", "close"):
        await getattr(world.restarted(), stop)(1.0)
        expected = failed("TOOL_UNAVAILABLE", "the daemon is stopping")
        assert expected == await world.call("a:b")
    assert [] == world.types()


async def test_what_is_adopted_before_the_first_call_is_what_is_called(world: Any) -> None:
    world.tool("a:b")
    host = world.host
    rules = (Rule("no", "deny", "a:*", "not today"),)
    host.adopt(world.catalogue, world.rooms, HostSettings(rules=rules))
    assert "POLICY_DENIED" == (await world.call("a:b")).error.code


async def test_whoever_may_wait_has_the_tools_found_off_the_loop_and_once(world: Any) -> None:
    world.tool("a:b")
    assert world.host.offered is world.catalogue
    threads: list[int] = []

    def build() -> Any:
        threads.append(threading.get_ident())
        return world.catalogue

    late = LateCatalogue(build, slow=True)
    assert not late.built
    await asyncio.gather(late.prepare(), late.prepare())
    assert late.built
    assert ["a:b"] == list(late.tools)
    assert 1 == len(threads)
    assert threading.get_ident() != threads[0]


async def test_the_first_to_ask_may_go_and_a_failure_is_tried_again(world: Any) -> None:
    world.tool("a:b")
    assert world.host.offered is world.catalogue
    go, tries = threading.Event(), list[int]()

    def build() -> Any:
        tries.append(1)
        assert go.wait(10)
        if len(tries) == 1:
            raise OSError("not now")
        return world.catalogue

    late = LateCatalogue(build, slow=True)
    first = asyncio.create_task(late.prepare())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    second = asyncio.create_task(late.prepare())
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(OSError, match="not now"):
        await second
    await late.prepare()
    assert ["a:b"] == list(late.tools)
