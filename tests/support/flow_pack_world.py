"""Workspaces with flows in them, and a sidecar and a conductor around."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conductor_sdk.event import KernelEvent
from conductor_server.hub import ToSend
from delivery_world import PATIENCE_S, SUBJECT, World

CHILD = Path(__file__).with_name("flow_pack_child.py")
RUN, SIGNAL, APPROVE, RETRY = "flows:run", "flows:signal", "flows:approve", "flows:retry"
COMPLETED, FAILED, HALTED = "flows:run_completed", "flows:run_failed", "flows:run_halted"

FLOWS = '''"""The flows of the pack's tests."""
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import flow_desk
from conductor_flows import Decision, Failure, Flow, NodeContext, NodeError, approval, node
from conductor_flows import timer, trigger

DB = "resource::db::write"


@dataclass
class Order:
    item: str
    count: int = 1


@dataclass
class Receipt:
    item: str
    note: str = ""


@trigger(summary="Take the order")
async def take(order: Order) -> Order:
    flow_desk.desk.calls["take"] += 1
    return order


@node(effects="pure", determinism="strict", summary="Say it in capitals")
async def shout(order: Order) -> Receipt:
    flow_desk.desk.calls["shout"] += 1
    return Receipt(order.item.upper())


@node(summary="Wait at the gate")
async def slow(order: Order) -> Receipt:
    await flow_desk.desk.wait()
    return Receipt(order.item)


@node(summary="Say no")
async def refuse(order: Order) -> Receipt:
    raise NodeError(Failure.PERMANENT, "no stock")


@node(summary="Give much")
async def much(order: Order) -> Receipt:
    return Receipt("x" * order.count)


@node(summary="Count")
async def count(order: Order) -> AsyncIterator[int]:
    for number in range(order.count):
        yield number


async def effect(name: str, order: Order, context: NodeContext) -> None:
    flow_desk.desk.calls[name] += 1
    flow_desk.maybe_die(f"before {name}")
    await context.use(DB).execute("INSERT INTO attempts VALUES (?)", (name,))
    await context.use(DB).execute(
        "INSERT INTO effects VALUES (?, ?)", (name, order.item), key=context.idempotency_key
    )
    flow_desk.maybe_die(f"after {name}")


def keyed(name: str):
    async def call(order: Order, context: NodeContext) -> Order:
        await effect(name, order, context)
        return order

    call.__name__ = name
    return node(effects="effectful", uses=[DB], idempotency="item", summary=name)(call)


reserve, charge, mail = keyed("reserve"), keyed("charge"), keyed("mail")


@node(effects="effectful", uses=[DB], idempotency="item", summary="Ship what was approved")
async def ship(decision: Decision, context: NodeContext) -> Receipt:
    item = decision.context["item"]
    if not decision.approved:
        return Receipt(item, f"refused by {decision.approver}")
    await effect("ship", Order(item), context)
    return Receipt(item, f"approved by {decision.approver}: {decision.comment}")


def built(name, *nodes, version="1.0.0", **words):
    flow = Flow(name, version, summary=name, **words)
    last = flow.add(take)
    for each in nodes:
        following = flow.add(each)
        flow.connect(last, following)
        last = following
    return flow


echo = built("echo", shout)
waiting = built("waiting", slow)
failing = built("failing", refuse)
large = built("large", much)
stream = built("stream", count)
strong = built("strong", reserve, charge, mail, shout, durability="strong")
approved = built("approved", approval("decide", Order), ship)
later = built("later", timer("pause", Order, after_s=3600.0), shout)
'''
NAMES = ("echo", "waiting", "failing", "large", "stream", "strong", "approved", "later")


def flows_in(workspace: Path) -> Path:
    """Write the flows, and the database that their effects go to."""
    path = workspace / "flows" / "shop.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FLOWS)
    with sqlite3.connect(workspace / "effects.db") as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS effects (node TEXT, item TEXT)")
        connection.execute("CREATE TABLE IF NOT EXISTS attempts (node TEXT)")
    connection.close()
    return path


def shout_fails(workspace: Path) -> None:
    """Let the last node of `echo` and `strong` fail until the gate of the desk is open."""
    path = workspace / "flows" / "shop.py"
    whole = "async def shout(order: Order) -> Receipt:\n"
    wrecked = f"""{whole}
    if not flow_desk.desk.gate.is_set():
        raise NodeError(Failure.PERMANENT, "no stock")
"""
    path.write_text(path.read_text().replace(whole, wrecked))


def config(**more: Any) -> dict[str, Any]:
    """The pack's section."""
    flows = {name: f"flows/shop.py:{name}" for name in NAMES}
    return {"flows": flows, "bind": ["db=sqlite:effects.db"], **more}


def effects(workspace: Path) -> list[tuple[str, str]]:
    """What happened, in order."""
    connection = sqlite3.connect(workspace / "effects.db")
    try:
        return connection.execute("SELECT node, item FROM effects ORDER BY rowid").fetchall()
    finally:
        connection.close()


def attempts(workspace: Path) -> list[str]:
    """Which nodes tried to have an effect, in order."""
    connection = sqlite3.connect(workspace / "effects.db")
    try:
        return [row[0] for row in connection.execute("SELECT node FROM attempts ORDER BY rowid")]
    finally:
        connection.close()


class FlowWorld(World):
    """A world whose workspace has flows."""

    async def dies(self, point: str) -> int:
        """Run the sidecar as a process that dies at a point; returns how it ended."""
        root = self.workspace.root
        child = await asyncio.create_subprocess_exec(
            sys.executable, str(CHILD), str(root), point, cwd=root,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await child.wait()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()

    def __init__(self, directory: Path) -> None:
        (directory / SUBJECT).mkdir()
        super().__init__(directory, "websocket")
        flows_in(self.workspace.root)

    async def begin(self, **more: Any) -> None:
        """Start both ends."""
        await self.open()
        await self.start(pack={"flows": config(**more)})
        await self.linked()

    async def ask(self, flow: str, key: str = "1", again: bool = False, **fields: Any) -> str:
        """Send a `flows:run`; returns the event's id."""
        payload = {"flow": flow, "payload": {"item": "tea"}, **fields}
        return await self.say(RUN, payload, key, again=again)

    async def say(
        self, kind: str, payload: Mapping[str, Any], key: str = "1", *, again: bool = False
    ) -> str:
        sent = await self.conductor.send_many(
            SUBJECT, [ToSend(kind, dict(payload), key)], again=again
        )
        return sent[0].event_id

    async def told(self, kind: str, count: int = 1) -> list[KernelEvent]:
        """Wait until the conductor has so many events of a kind."""

        async def there() -> bool:
            return len(await self.pushed(kind)) >= count

        await self.until(f"{count} {kind}", there)
        return await self.pushed(kind)

    async def dead(self) -> list[dict[str, Any]]:
        """Wait for a dead letter; returns all."""
        found: list[dict[str, Any]] = []

        async def there() -> bool:
            found[:] = (await self.get("/v1/dead-letters"))["dead_letters"]
            return bool(found)

        await self.until("a dead letter", there)
        return found
