"""A host that serves every surface but rate limits."""

from __future__ import annotations

import asyncio

from flow import flow

from conductor_flows.execute.errors import SurfaceUnsupported
from conductor_flows.execute.planning.surfaces import SERVED
from conductor_flows.execute.runner import Invocation
from conductor_flows.host.hosting import Host
from conductor_flows.host.services import serving
from conductor_flows.ir.terms import SurfaceKind


async def main() -> None:
    """Try to run the flow there."""
    async with serving(served=SERVED - {SurfaceKind.RATE_LIMIT}) as services:
        try:
            print(await Host(flow.program(), services).invoke(Invocation({"value": "stressed"})))
        except SurfaceUnsupported as refused:
            print(refused.code, refused.detail)


if __name__ == "__main__":
    asyncio.run(main())
