"""The state of a site as a stream: a snapshot, then five updates, one every 120 ms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import msgspec

from conductor_flows import Flow, node, trigger

INTERVAL_S = 0.12
UPDATES = 5
FIRST_LATENCY_MS = 120
MORE_LATENCY_MS = 12
Status = Literal["operational", "degraded"]


class SiteRequest(msgspec.Struct, frozen=True):
    """Which site."""

    site: str


class SiteEvent(msgspec.Struct, frozen=True):
    """How the site is at one moment."""

    event: str
    """`snapshot`, then `update_0` and so on."""
    site: str
    status: Status
    latency_ms: int


@trigger(summary="Take the request")
async def take(request: SiteRequest) -> SiteRequest:
    """Take what was sent, as it is."""
    return request


@node(determinism="stable", summary="How the site is now")
async def snapshot(request: SiteRequest) -> SiteEvent:
    """Look once."""
    return SiteEvent("snapshot", request.site, "operational", FIRST_LATENCY_MS)


@node(summary="The snapshot, then updates as they come")
async def stream(first: SiteEvent) -> AsyncIterator[SiteEvent]:
    """Give six events; closing the stream ends it at once."""
    yield first
    for number in range(UPDATES):
        await asyncio.sleep(INTERVAL_S)
        status: Status = "operational" if number % 2 else "degraded"
        latency_ms = FIRST_LATENCY_MS + MORE_LATENCY_MS * (number + 1)
        yield SiteEvent(f"update_{number}", first.site, status, latency_ms)


flow = Flow("s2_site_flow", "1.0.0", profile="web", summary="The state of a site, live")
start = flow.add(take, "trigger")
now = flow.add(snapshot)
live = flow.add(stream)
flow.connect(start, now)
flow.connect(now, live)
flow.entrypoint(start, live, path="/site/stream", method="POST", deadline_ms=5000, respond="stream")
