"""Puts the log of this example into a blob store: `python upload.py objects.db`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from conductor_flows.capabilities.bindings.bound import built
from conductor_flows.capabilities.bindings.spec import parse

LOG = Path(__file__).parent / "log"


async def upload(database: str) -> int:
    """Put every file under its name; returns how many there were."""
    files = sorted(LOG.glob("*.log"))
    async with built([parse(f"blob=sqlite:{database}")]) as capabilities:
        for path in files:
            await capabilities["resource::blob::write"].put(path.name, path.read_bytes())
    return len(files)


if __name__ == "__main__":
    print(f"{asyncio.run(upload(sys.argv[1]))} objects in {sys.argv[1]}")
