"""A flow that needs a key-value store: without one it is refused before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

from conductor_flows import Flow, NodeContext, node, trigger

KV_READ = "resource::kv::read"


@dataclass(frozen=True)
class Lookup:
    """What is looked up."""

    key: str


@dataclass(frozen=True)
class Found:
    """What is kept under the key; None: nothing."""

    key: str
    value: str | None


@trigger(summary="Take the request")
async def take(lookup: Lookup) -> Lookup:
    """Take what was sent, as it is."""
    return lookup


@node(effects="read_only", uses=[KV_READ], summary="Read the value of a key")
async def read(lookup: Lookup, context: NodeContext) -> Found:
    """Ask the store that the host bound."""
    value: bytes | None = await context.use(KV_READ).get(lookup.key)
    return Found(lookup.key, None if value is None else value.decode())


@node(determinism="strict", summary="Answer")
async def respond(found: Found) -> Found:
    """Answer with what was found."""
    return found


flow = Flow("s4_preflight_flow", "1.0.0", profile="web", summary="Needs a key-value store")
start = flow.add(take, "trigger")
middle = flow.add(read)
end = flow.add(respond, "responder")
flow.connect(start, middle)
flow.connect(middle, end)
flow.entrypoint(start, end, path="/preflight", method="POST", deadline_ms=250)
