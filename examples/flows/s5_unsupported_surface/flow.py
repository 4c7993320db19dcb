"""A flow with a rate limit: it runs here, and is refused by a host that has no rate limits."""

from __future__ import annotations

from dataclasses import dataclass

from conductor_flows import Flow, node, trigger


@dataclass(frozen=True)
class Message:
    """A text."""

    value: str


@trigger(summary="Take the request")
async def take(message: Message) -> Message:
    """Take what was sent, as it is."""
    return message


@node(determinism="strict", summary="Work that is not to begin too often")
async def work(message: Message) -> Message:
    """Give the text back, reversed."""
    return Message(message.value[::-1])


@node(determinism="strict", summary="Answer")
async def respond(message: Message) -> Message:
    """Answer with what was made."""
    return message


flow = Flow(
    "s5_unsupported_surface_flow", "1.0.0", profile="web", summary="Ten calls a second at most"
)
start = flow.add(take, "trigger")
middle = flow.add(work)
end = flow.add(respond, "responder")
flow.connect(start, middle)
flow.connect(middle, end)
flow.rate_limit(middle, qps=10, burst=5)
flow.entrypoint(start, end, path="/unsupported", method="POST", deadline_ms=2000)
