"""Flows that are killed with SIGKILL at a boundary of a node, and go on in another process.

python killed_flow.py FOLDER MODE PLACE…, where MODE is `strong` or `partial` and a place is
NODE:WHEN. WHEN is `before` the function does anything, `inside` it, `after` its effect, or
`written`: right behind the write of the first checkpoint that knows the node's end.

Every process is a fork of one that has everything imported, so that a death costs little. For each
place one line of JSON is written: the ways in which the processes ended, the result, the effects.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from conductor_flows.capabilities.databases import SqliteDatabase
from conductor_flows.durable.resume import Signal, resume
from conductor_flows.durable.services import Durability, in_sqlite
from conductor_flows.execute.outcomes import Halt, Outcome, Value
from conductor_flows.execute.program import Handler, Program
from conductor_flows.execute.runner import Invocation, Runner
from conductor_flows.execute.services import Services
from conductor_flows.ir.model import DurabilityPolicy, NodeDurability, Policies
from conductor_flows.ir.terms import DurabilityMode, Effects, NodeKind, SurfaceKind
from conductor_sdk.clock import SystemClock
from flow_pieces import SurfaceIR, edge_ir, flow_ir, node_ir

STRONG = ("trigger", "fan", "effect", "work", "collect", "left", "right", "both")
STRONG_EDGES = (
    ("trigger", "fan"), ("fan", "effect"), ("effect", "work"), ("work", "collect"),
    ("collect", "left"), ("collect", "right"), ("left", "both"), ("right", "both"),
)  # fmt: skip
HALTS = {"pause": "timer", "call": "callback", "ask": "approval"}
PARTIAL = ("trigger", "pause", "first", "call", "second", "ask", "third")
WHEN = ("before", "inside", "after", "written")
HINT = "resource::db::write"
MOST = 12
"""Processes for one place."""


class AnyPort:
    name = None
    kind = None

    def decode(self, value: Any) -> Any:
        return value

    def encode(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {}


class LaterClock(SystemClock):
    """An hour later in every process: whoever died holds no lease any more."""

    def __init__(self, hours: int) -> None:
        self._later = timedelta(hours=hours)

    def now(self) -> datetime:
        return super().now() + self._later


class Killer:
    """Dies at one place."""

    def __init__(self, node: str, when: str) -> None:
        self._at = (node, when)
        self.ended: set[str] = set()

    def reached(self, node: str, when: str) -> None:
        if self._at == (node, when):
            os.kill(os.getpid(), signal.SIGKILL)

    def wrote(self) -> None:
        for node in self.ended:
            self.reached(node, "written")


def function(name: str, killer: Killer) -> Callable[..., Awaitable[Any]]:
    async def call(value: Any, context: Any) -> Any:
        killer.reached(name, "before")
        await asyncio.sleep(0)
        killer.reached(name, "inside")
        if name in HALTS:
            killer.ended.add(name)
            kind: Any = HALTS[name]
            return Halt(kind, value, 0.0 if kind == "timer" else None, value)
        await context.use(HINT).execute(
            "INSERT INTO effects VALUES (?, ?)", (name, msgspec.json.encode(value).decode()),
            key=context.idempotency_key,
        )  # fmt: skip
        killer.reached(name, "after")
        killer.ended.add(name)
        if name == "fan":
            return {"items": [{"n": number} for number in range(value["n"])]}
        return value if isinstance(value, dict) else {"all": value}

    return call


def program(mode: str, killer: Killer) -> Program:
    names = STRONG if mode == "strong" else PARTIAL
    nodes = [
        node_ir(
            name, kind=NodeKind.TRIGGER if name == "trigger" else NodeKind.INLINE,
            effects=Effects.PURE if name in HALTS else Effects.EFFECTFUL, effect_hints=[HINT],
            durability=NodeDurability(halts=name in HALTS),
        )
        for name in names
    ]  # fmt: skip
    each = SurfaceIR(id="each", kind=SurfaceKind.FOR_EACH, targets=["fan", "effect"], config={
        "v": 1, "source": "fan", "body_entry": "effect", "body_exit": "work",
        "collect": "collect", "items_pointer": "/items"})  # fmt: skip
    join = SurfaceIR(id="join", kind=SurfaceKind.JOIN, targets=["left", "right", "both"],
                     config={"v": 1, "sources": ["left", "right"]})  # fmt: skip
    edges = STRONG_EDGES if mode == "strong" else tuple(pairwise(PARTIAL))
    policies = Policies(durability=DurabilityPolicy(mode=DurabilityMode(mode)))
    flow = flow_ir(
        nodes, [edge_ir(*pair) for pair in edges], [each, join] if mode == "strong" else [],
        policies,
    )  # fmt: skip
    handlers = {
        name: Handler(function(name, killer), AnyPort(), AnyPort(), takes_context=True)
        for name in names
    }
    return Program(flow, handlers)


async def live(folder: Path, mode: str, place: tuple[str, str], process: int) -> None:
    """Be one process: begin the run, or go on with it, as far as it goes."""
    killer = Killer(*place)
    durability = in_sqlite(folder / "checkpoints.db", clock=LaterClock(process))
    store = durability.store
    assert store is not None
    put = store.put

    async def put_and_tell(*args: Any) -> None:
        await put(*args)
        killer.wrote()

    store.put = put_and_tell  # type: ignore[method-assign]
    database = SqliteDatabase(folder / "effects.db")
    await database.execute("CREATE TABLE IF NOT EXISTS effects (node TEXT, value TEXT)")
    services = Services(capabilities={HINT: database}, durability=durability)
    runner = Runner(program(mode, killer), services)
    outcome: Outcome | None = None
    while not isinstance(outcome, Value):
        outcome = await go_on(runner, durability)
    (folder / "result.json").write_bytes(msgspec.json.encode(outcome.value))
    await database.close()
    await durability.close()


async def go_on(runner: Runner, durability: Durability) -> Outcome:
    assert durability.store is not None
    records = await durability.store.list()
    if not records:
        return await runner.run(Invocation({"n": 2}))
    asked = [wait for wait in records[0].waits if wait.answer is None and wait.kind != "timer"]
    signals = [Signal({"said": wait.kind}) for wait in asked]
    return await resume(
        runner, durability, records[0].checkpoint_id, signal=signals[0] if signals else None
    )


def forked(folder: Path, mode: str, place: tuple[str, str], process: int) -> int:
    """Return the exit status of one process: minus the signal that ended it."""
    child = os.fork()
    if not child:
        status = 1
        try:
            asyncio.run(live(folder, mode, place, process))
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(folder: Path, mode: str, place: tuple[str, str]) -> dict[str, Any]:
    """Kill at a place twice where it is reached twice, then live on to the end."""
    folder.mkdir()
    ends: list[int] = []
    while (not ends or ends[-1] < 0) and len(ends) < MOST:
        ends.append(forked(folder, mode, place if len(ends) < 2 else ("", ""), len(ends)))
    connection = sqlite3.connect(folder / "effects.db")
    effects = sorted(row[0] for row in connection.execute("SELECT node FROM effects"))
    connection.close()
    result = folder / "result.json"
    return {
        "place": ":".join(place), "ends": ends, "effects": effects,
        "result": json.loads(result.read_bytes()) if result.exists() else None,
    }  # fmt: skip


def main(folder: Path, mode: str, places: list[str]) -> None:
    for number, place in enumerate(places):
        node, _, when = place.partition(":")
        found = killed_at(folder / str(number), mode, (node, when))
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
