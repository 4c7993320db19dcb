"""One trace over everything that may happen to an event: retry, SIGKILL, dead letter, redrive."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conductor_sdk.trace_context import TraceContext, derived_context, parse_traceparent
from delivery_world import SUBJECT, World
from house import ROOT
from installed import install
from otlp_collector import Collector, collecting
from running import Running, environment
from trace_pack import ASKED, DONE, NOTED, TOOL

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{SPAN}-01"
PUSH = f"push {DONE}"
HANDLE = f"handle {ASKED}"
SETTINGS = {
    "reconnect.first_spread_s": 0.05, "reconnect.cap_s": 0.2, "dispatch.retry_first_s": 0.02,
    "drain.deadline_s": 5.0, "logs.format": "json",
}  # fmt: skip


class Host:
    """A workspace whose sidecar is a process of its own, and its conductor."""

    def __init__(self, world: World, directory: Path, collector: Collector) -> None:
        self.world = world
        self.collector = collector
        self.root = world.workspace.root
        installed = install(directory / "installed", packs={"trace_pack": "trace_pack:pack"})
        path = os.pathsep.join([str(installed), str(ROOT / "tests" / "support")])
        self._env = environment() | {"PYTHONPATH": path}
        self._running: list[Running] = []

    async def start(self, **more: Any) -> Running:
        """Start the daemon; returns when it handles events."""
        chosen = {**SETTINGS, "traces.otlp_endpoint": self.collector.url, **more}
        words = [f"--set {name}={shlex.quote(str(value))}" for name, value in chosen.items()]
        command = f"exec conductor sidecar --workspace {self.root} {' '.join(words)}"
        running = Running(command, self.root, self._env)
        self._running.append(running)
        await asyncio.to_thread(running.wait_for, '"event": "ready"')
        return running

    async def conductor(self, *words: str) -> str:
        """Run a command of ours; returns what it printed."""
        command = f"exec conductor {shlex.join(words)} --workspace {self.root}"
        running = Running(command, self.root, self._env)
        assert await asyncio.to_thread(running.wait) == 0, running.printed
        await asyncio.to_thread(running.end)
        return running.printed

    async def explained(self, event_id: str) -> dict[str, Any]:
        """What `conductor explain` knows of an event's first story."""
        printed = await self.conductor("explain", event_id, "--json")
        story: dict[str, Any] = msgspec.json.decode(printed)["stories"][0]
        return story

    def end(self) -> None:
        """Kill what still runs."""
        for running in self._running:
            running.end(signal.SIGKILL)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
async def host(tmp_path: Path, collector: Collector) -> AsyncIterator[Host]:
    (tmp_path / SUBJECT).mkdir()
    world = World(tmp_path, "websocket")
    await world.open()
    host = Host(world, tmp_path, collector)
    yield host
    await asyncio.to_thread(host.end)
    await world.end()


async def send(host: Host, do: str, traceparent: str | None) -> str:
    sent = await host.world.conductor.send(SUBJECT, ASKED, {"n": 1, "do": do}, "one",
                                           traceparent=traceparent)  # fmt: skip
    return sent.event_id


async def spans(host: Host, *names: str) -> None:
    """Wait until each of these has arrived, as often as it is named."""

    def there(got: list[Any]) -> bool:
        have = [span.name for span in got]
        return all(have.count(name) >= names.count(name) for name in names)

    await asyncio.to_thread(host.collector.wait_for, there)


async def test_one_trace_over_a_retry_a_kill_a_restart_and_a_pushed_event(host: Host) -> None:
    first = await host.start()
    event_id = await send(host, "stumble", GIVEN)
    await spans(host, "receive", HANDLE)
    await host.world.until("the second attempt hangs", (host.root / "hangs").exists)
    os.kill(first.pid, signal.SIGKILL)
    await asyncio.to_thread(first.wait)

    second = await host.start()
    await spans(host, HANDLE, HANDLE, f"tool {TOOL}", PUSH, f"push {NOTED}")
    failed, handled = host.collector.named(HANDLE)
    [tool], [push] = host.collector.named(f"tool {TOOL}"), host.collector.named(PUSH)
    [noted] = host.collector.named(f"push {NOTED}")
    [receive] = host.collector.named("receive")
    assert {TRACE} == {span.trace_id for span in (failed, handled, tool, push, noted)}
    assert [(TRACE, SPAN)] == receive.links
    # Each attempt hangs below whoever sent the event; the killed one is the number that is missing.
    assert [SPAN, SPAN] == [failed.parent, handled.parent]
    assert [1, 3] == [span.attributes["conductor.attempt"] for span in (failed, handled)]
    assert ("failed", "HANDLER_FAILED") == (failed.attributes["conductor.outcome"], failed.error)
    assert ("handled", "") == (handled.attributes["conductor.outcome"], handled.error)
    assert [handled.span_id] * 2 == [tool.parent, push.parent]
    assert (tool.span_id, "success") == (noted.parent, tool.attributes["conductor.outcome"])
    await spans(host, "push agent-runtime:tool_called")
    assert [(TRACE, tool.span_id)] == [
        (told.trace_id, told.parent)
        for told in host.collector.named("push agent-runtime:tool_called")
    ]
    assert "confirmed" == push.attributes["conductor.outcome"]
    assert push.attributes["messaging.message.id"] != event_id
    assert [f"00-{TRACE}-{handled.span_id}-01"] == [
        event.traceparent for event in await host.world.pushed(DONE)
    ]
    assert f"00-{TRACE}-{handled.span_id}-01" == (host.root / "traceparent").read_text()
    assert SUBJECT == push.resource["service.instance.id"]

    pushed = push.attributes["messaging.message.id"]
    assert [TRACE, TRACE] == [
        (await host.explained(name))["trace_id"] for name in (event_id, pushed)
    ]
    lines = [msgspec.json.decode(line) for line in second.printed.splitlines()]
    assert [TRACE] == [line["trace_id"] for line in lines if line["event"] == "asked"]
    assert "RuntimeError" not in str(host.collector.spans)
    assert 0 == await asyncio.to_thread(second.end)


async def test_a_redriven_dead_letter_stays_in_its_trace(host: Host) -> None:
    running = await host.start()
    event_id = await send(host, "reject", None)
    derived = derived_context(event_id).trace_id
    await spans(host, HANDLE)
    listed = msgspec.json.decode(await host.conductor("dead-letters", "list", "--json"))
    assert [(event_id, derived)] == [
        (letter["event_id"], letter["trace_id"]) for letter in listed["dead_letters"]
    ]
    assert f"trace_id:   {derived}" in await host.conductor("dead-letters", "show", event_id)

    await host.conductor("dead-letters", "redrive", event_id)
    await spans(host, HANDLE, HANDLE, PUSH)
    rejected, handled = host.collector.named(HANDLE)
    [push] = host.collector.named(PUSH)
    assert {derived} == {span.trace_id for span in (rejected, handled, push)}
    assert ["", "", handled.span_id] == [span.parent for span in (rejected, handled, push)]
    assert ("reject", "REJECT") == (rejected.attributes["conductor.outcome"], rejected.error)
    assert handled.attributes["conductor.redriven"]
    assert derived == (await host.explained(event_id))["trace_id"]
    assert f"trace {derived}" in await host.conductor("explain", event_id)
    assert 0 == await asyncio.to_thread(running.end)


async def test_spans_of_the_last_moment_are_exported_before_the_end(host: Host) -> None:
    running = await host.start()
    await send(host, "work", GIVEN)
    await host.world.until("the event is handled", (host.root / "traceparent").exists)
    assert 0 == await asyncio.to_thread(running.end)
    assert 1 == len(host.collector.named(HANDLE))


async def test_an_event_whose_emitter_records_nothing_makes_no_span(host: Host) -> None:
    running = await host.start()
    silent = TraceContext(TRACE, SPAN, sampled=False).traceparent
    await send(host, "work", silent)
    await host.world.until("the event is handled", (host.root / "traceparent").exists)
    assert silent == (host.root / "traceparent").read_text()

    async def there() -> bool:
        return bool(await host.world.pushed(DONE))

    await host.world.until("the pushed event is there", there)
    assert [silent] == [event.traceparent for event in await host.world.pushed(DONE)]
    assert 0 == await asyncio.to_thread(running.end)
    assert [] == host.collector.spans


async def test_without_a_collector_a_given_context_is_still_handed_on(host: Host) -> None:
    running = await host.start(**{"traces.otlp_endpoint": "null"})
    await send(host, "work", GIVEN)
    await host.world.until("the event is handled", (host.root / "traceparent").exists)
    assert GIVEN == (host.root / "traceparent").read_text()
    context = parse_traceparent(GIVEN)
    assert context is not None
    assert 0 == await asyncio.to_thread(running.end)
    lines = [msgspec.json.decode(line) for line in running.printed.splitlines()]
    assert [context.trace_id] == [line["trace_id"] for line in lines if line["event"] == "asked"]
    assert [] == host.collector.requests
