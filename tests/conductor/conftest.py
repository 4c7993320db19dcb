"""A sidecar played by hand, and conductors in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from conductor_adapters.memory import pair
from conductor_protocol.codec import decode_conductor, encode
from conductor_protocol.messages import (
    Ack,
    ConductorMessage,
    Events,
    Hello,
    Limits,
    Push,
    Pushed,
    PushResult,
    SidecarMessage,
    UnknownMessage,
    Welcome,
)
from conductor_sdk.clock import SystemClock
from conductor_sdk.errors import ConductorError
from conductor_sdk.event import KernelEvent
from conductor_sdk.event_builder import build_kernel_event_v2
from conductor_server.activity import Activity
from conductor_server.hub import EmbeddedConductor
from conductor_server.ports import Anchor, History, HistoryEvent, Link, TokenRecord
from conductor_server.settings import HubSettings
from conductor_state.database import Database
from conductor_state.history import SqliteHistory
from conductor_state.history_records import HistoryRecords
from conductor_state.memory.history import MemoryHistory
from conductor_state.schema import load_schema

M = TypeVar("M")
PATIENCE_S = 10.0
SETTINGS = HubSettings(beat_s=5.0, close_s=0.5, drain_s=0.5, hello_s=5.0)


class RawSidecar:
    """Speaks the sidecar's half word by word."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._waiting: list[ConductorMessage] = []

    async def say(self, *messages: SidecarMessage) -> None:
        await self.link.send([encode(message) for message in messages])

    async def hear(self, kind: type[M]) -> M:
        """Wait for the next message of a kind; what comes before it is skipped."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while self._waiting:
                    message = self._waiting.pop(0)
                    if isinstance(message, kind):
                        return message
                frames = await self.link.receive(100)
                for frame in frames:
                    decoded = decode_conductor(frame, Limits())
                    assert not isinstance(decoded, UnknownMessage)
                    self._waiting.append(decoded)

    async def hello(self, *, epoch: str = "", cursor: int = 0, credit: int = 1000) -> Welcome:
        await self.say(
            Hello(
                versions=[1],
                software="raw/1",
                packs=[],
                epoch=epoch,
                cursor=cursor,
                credit=credit,
            )
        )
        return await self.hear(Welcome)

    async def ack(self, sequence: int, credit: int = 1000) -> None:
        await self.say(Ack(sequence=sequence, credit=credit))

    async def push(self, *events: KernelEvent | bytes) -> list[PushResult]:
        raws = [
            msgspec.Raw(event if isinstance(event, bytes) else event.to_json()) for event in events
        ]
        await self.say(Push(events=raws))
        results: list[PushResult] = []
        while len(results) < len(events):
            results += (await self.hear(Pushed)).results
        return results

    async def events(self, count: int) -> list[tuple[int, KernelEvent]]:
        """Wait for `count` events; returns (sequence, event)."""
        got: list[tuple[int, KernelEvent]] = []
        while len(got) < count:
            batch = await self.hear(Events)
            got += [
                (batch.first + i, msgspec.json.decode(raw, type=KernelEvent))
                for i, raw in enumerate(batch.events)
            ]
        return got

    async def closed(self) -> Any:
        """Wait for the end of the link."""
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(ConductorError) as ended:
                await drain(self.link)
        assert ended.value.code == "LINK_CLOSED"
        return ended.value


async def drain(link: Link) -> None:
    while True:
        await link.receive(100)


class Bench:
    """A conductor, and the sidecars that are connected to it in memory."""

    def __init__(self, conductor: EmbeddedConductor) -> None:
        self.conductor = conductor
        self.tasks: list[asyncio.Task[None]] = []

    async def connect(self, workspace: str = "ws-1") -> RawSidecar:
        near, far = pair()
        attached = self.conductor.attach(far, workspace)
        self.tasks.append(asyncio.create_task(attached, name=f"attach-{workspace}"))
        return RawSidecar(near)

    async def close(self) -> None:
        await self.conductor.close()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*self.tasks)


def empty_history() -> History:
    return MemoryHistory(HistoryRecords(HistoryEvent, Anchor, TokenRecord))


@pytest.fixture
def memory_history() -> History:
    return empty_history()


@pytest.fixture
def history(memory_history: History) -> History:
    return memory_history


@pytest.fixture
async def sqlite_history(tmp_path: Path) -> AsyncIterator[History]:
    path = tmp_path / "history.db"
    database = await Database.open(path, schema=load_schema("conductor"), clock=SystemClock())
    records = HistoryRecords(HistoryEvent, Anchor, TokenRecord)
    history = await SqliteHistory[HistoryEvent, Anchor, TokenRecord].open(database, records)
    yield history
    await history.close()


@pytest.fixture
def conductor(history: History) -> EmbeddedConductor:
    async def renew() -> History:
        return empty_history()

    return EmbeddedConductor(history, SystemClock(), SETTINGS, renew=renew)


@pytest.fixture
async def bench(conductor: EmbeddedConductor) -> AsyncIterator[Bench]:
    bench = Bench(conductor)
    yield bench
    await bench.close()


@pytest.fixture
def play() -> type[RawSidecar]:
    """The class itself: `play(link)` speaks over any link."""
    return RawSidecar


@pytest.fixture
def made() -> Callable[..., KernelEvent]:
    """Build an event of a workspace: `made("acme-demo:job_completed", key="1")`."""

    def build(
        kind: str = "acme-demo:job_completed",
        *,
        key: str | None = None,
        subject: str = "ws-1",
        **payload: Any,
    ) -> KernelEvent:
        return build_kernel_event_v2(
            {"kind": kind, "from": subject, "payload": payload}, idempotency_key=key
        )

    return build


@pytest.fixture
def until() -> Callable[..., Any]:
    """Read a feed until a record of a kind comes: `await until(records, "gap")`."""

    async def wait(records: AsyncIterator[Activity], what: str) -> Activity:
        async with asyncio.timeout(PATIENCE_S):
            async for record in records:
                if record.what == what:
                    return record
        raise AssertionError(what)

    return wait


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Wait for a condition, with a bound."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110  any condition, of any object
                await asyncio.sleep(0)

    return wait
