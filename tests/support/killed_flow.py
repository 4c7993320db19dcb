"""A strong-mode flow in a child process, killed where it is told to be.

python killed_flow.py FOLDER run|resume NODE WHEN, where WHEN is `before` or `after` the effect.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from conductor_flows.capabilities.databases import SqliteDatabase
from conductor_flows.durable.resume import resume
from conductor_flows.durable.services import in_sqlite
from conductor_flows.execute.outcomes import Value
from conductor_flows.execute.program import Handler, Program
from conductor_flows.execute.runner import Invocation, Runner
from conductor_flows.execute.services import Services
from conductor_flows.ir.model import DurabilityPolicy, Policies
from conductor_flows.ir.terms import DurabilityMode, Effects, NodeKind, SurfaceKind
from flow_pieces import SurfaceIR, edge_ir, flow_ir, node_ir

NODES = ("trigger", "fan", "effect", "work", "collect", "left", "right", "both")
EDGES = (
    ("trigger", "fan"), ("fan", "effect"), ("effect", "work"), ("work", "collect"),
    ("collect", "left"), ("collect", "right"), ("left", "both"), ("right", "both"),
)  # fmt: skip
HINT = "resource::db::write"


class AnyPort:
    name = None
    kind = None

    def decode(self, value: Any) -> Any:
        return value

    def encode(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {}


class Flow:
    """Counts its calls, and dies at one of them."""

    def __init__(self, node: str, when: str) -> None:
        self._at = (node, when)

    def _maybe_die(self, node: str, when: str) -> None:
        if self._at == (node, when):
            os.kill(os.getpid(), signal.SIGKILL)

    def program(self) -> Program:
        nodes = [
            node_ir(
                name, kind=NodeKind.TRIGGER if name == "trigger" else NodeKind.INLINE,
                effects=Effects.EFFECTFUL, effect_hints=[HINT],
            )
            for name in NODES
        ]  # fmt: skip
        surfaces = [
            SurfaceIR(id="each", kind=SurfaceKind.FOR_EACH, targets=["fan", "effect"], config={
                "v": 1, "source": "fan", "body_entry": "effect", "body_exit": "work",
                "collect": "collect", "items_pointer": "/items"}),
            SurfaceIR(id="join", kind=SurfaceKind.JOIN, targets=["left", "right", "both"],
                      config={"v": 1, "sources": ["left", "right"]}),
        ]  # fmt: skip
        policy = DurabilityPolicy(
            mode=DurabilityMode.STRONG, lease_ttl=1000, retry_on_lease_conflict=True
        )
        flow = flow_ir(
            nodes, [edge_ir(*pair) for pair in EDGES], surfaces, Policies(durability=policy)
        )
        return Program(
            flow,
            {name: Handler(self._function(name), AnyPort(), AnyPort(), True) for name in NODES},
        )

    def _function(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(value: Any, context: Any) -> Any:
            self._maybe_die(name, "before")
            await context.use(HINT).execute(
                "INSERT INTO effects VALUES (?, ?)", (name, msgspec.json.encode(value).decode()),
                key=context.idempotency_key,
            )  # fmt: skip
            self._maybe_die(name, "after")
            if name == "fan":
                return {"items": [{"n": number} for number in range(value["n"])]}
            return value if isinstance(value, dict) else {"all": value}

        return call


async def main(folder: Path, verb: str, node: str, when: str) -> None:
    durability = in_sqlite(folder / "checkpoints.db")
    database = SqliteDatabase(folder / "effects.db")
    await database.execute("CREATE TABLE IF NOT EXISTS effects (node TEXT, value TEXT)")
    services = Services(capabilities={HINT: database}, durability=durability)
    runner = Runner(Flow(node, when).program(), services)
    if verb == "run":
        outcome = await runner.run(Invocation({"n": 2}))
    else:
        assert durability.store is not None
        (record,) = await durability.store.list()
        outcome = await resume(runner, durability, record.checkpoint_id)
    assert isinstance(outcome, Value)
    sys.stdout.write(msgspec.json.encode(outcome.value).decode())
    await database.close()
    await durability.close()


if __name__ == "__main__":
    _, given_folder, given_verb, given_node, given_when = sys.argv
    asyncio.run(main(Path(given_folder), given_verb, given_node, given_when))
