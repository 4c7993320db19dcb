"""Reading the live tail of a running sidecar from another process or thread.

Promise: records come as they happen, until the sidecar stops. Refusal: no history.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator

import msgspec

from conductor_sdk.client_wire import SocketConnection
from conductor_sdk.errors import SidecarUnreachable
from conductor_sdk.workspace import Workspace
from conductor_sidecar.feed import Activity

CONNECT_S = 30.0
OK = 200


def follow(workspace: Workspace) -> Iterator[Activity]:
    """Yield activity; blocks between records, and ends when the sidecar stops.

    Raises:
        SidecarUnreachable: None runs.
    """
    connection = SocketConnection(workspace, CONNECT_S)
    try:
        connection.request("GET", "/v1/events")
        response = connection.getresponse()
        if response.status != OK:
            raise SidecarUnreachable(f"it answered {response.status}: {response.reason}")
        connection.sock.settimeout(None)
        while line := response.readline():
            if line.strip():
                yield msgspec.json.decode(line, type=Activity)
    except (OSError, msgspec.DecodeError) as error:
        raise SidecarUnreachable(f"it hung up ({type(error).__name__})") from None
    finally:
        connection.close()


async def follow_async(workspace: Workspace) -> AsyncIterator[Activity]:
    """Yield activity on the event loop; a daemon thread reads."""
    loop = asyncio.get_running_loop()
    records: asyncio.Queue[Activity | None] = asyncio.Queue()

    def put(record: Activity | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be gone by then
            loop.call_soon_threadsafe(records.put_nowait, record)

    def read() -> None:
        with contextlib.suppress(SidecarUnreachable):
            for record in follow(workspace):
                put(record)
        put(None)

    threading.Thread(target=read, name="activity", daemon=True).start()
    while (record := await records.get()) is not None:
        yield record
