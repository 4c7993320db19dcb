"""A sidecar that SIGKILLs itself at a step of a rotation: `python rotation_child.py DIR POINT`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from conductor_sdk.workspace import resolve_workspace
from conductor_sidecar.logs import configure
from conductor_sidecar.serve import Machine, serve
from conductor_sidecar.settings import LinkSettings, LogSettings, ReconnectSettings, Settings
from crash_killer import Killer


async def main(directory: Path, point: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = Settings(
        link=LinkSettings(adapter="websocket"),
        reconnect=ReconnectSettings(first_spread_s=0.05, cap_s=0.2),
    )
    await serve(
        resolve_workspace(directory), settings, stop, machine=Machine(crash_point=Killer(point))
    )


if __name__ == "__main__":
    configure(LogSettings(level="info", format="json"))
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
