"""A stream of events as a flow; `web` serves it with S1, by `flows run serve`.

Promise: items are given when they are due, as on the bare side. Refusal: no setting that a user
would not get.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from benchmarks.flows import ticking
from benchmarks.flows.ticking import Asked, Tick
from conductor_flows import Flow, node, trigger


@trigger(summary="Take what is asked")
async def ask(asked: Asked) -> Asked:
    """Hand on."""
    return asked


@node(summary="Give items when they are due")
async def ticks(asked: Asked) -> AsyncIterator[Tick]:
    """Give them."""
    async for tick in ticking.ticks(asked):
        yield tick


flow = Flow("ticking", "1.0.0", profile="web", summary="Items, each when it is due")
start, end = flow.add(ask), flow.add(ticks)
flow.connect(start, end)
flow.entrypoint(start, end, path="/ticks", method="POST", respond="stream")
