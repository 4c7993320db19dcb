"""A whole daemon in this process, looked at as a supervisor and as Prometheus look at it."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from conductor_sdk.client import connect
from conductor_sdk.client_wire import SocketConnection
from conductor_sdk.workspace import Workspace
from conductor_sidecar.serve import serve
from conductor_sidecar.settings import Settings

PATIENCE_S = 20.0
SECTIONS: dict[str, Any] = {
    "link": {"adapter": "memory"},
    "reconnect": {"first_spread_s": 0.02, "cap_s": 0.1},
    "http": {"listen": "127.0.0.1:0"},
}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Watch:
    """One running daemon."""

    def __init__(self, workspace: Workspace, url: str | None) -> None:
        self.workspace = workspace
        self.url = url

    @property
    def token(self) -> str:
        return self.workspace.http_token.read_text().strip()

    async def local(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask over the control socket."""
        return await asyncio.to_thread(
            _ask, SocketConnection(self.workspace, PATIENCE_S), method, path, headers
        )

    async def tcp(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask over TCP; a header's underscores are hyphens."""
        assert self.url is not None
        port = urlsplit(self.url).port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        return await asyncio.to_thread(_ask, connection, method, path, headers)

    async def samples(self) -> dict[tuple[str, ...], float]:
        """Scrape over the control socket: (name, label values by label name) to value."""
        answer = await self.local("/metrics")
        assert 200 == answer.status, answer.body
        return samples_of(answer.body.decode())


def samples_of(text: str) -> dict[tuple[str, ...], float]:
    """Return every sample of a scrape."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str]
) -> Answer:
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=sent)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())
    finally:
        connection.close()


@asynccontextmanager
async def watched(workspace: Workspace, **sections: Any) -> AsyncGenerator[Watch]:
    """Run a sidecar for the length of a block."""
    stop, ready = asyncio.Event(), asyncio.Event()
    settings = Settings.model_validate({**SECTIONS, **sections})
    task = asyncio.create_task(serve(workspace, settings, stop, ready=ready), name="sidecar")
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({task, waiting}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()
    try:
        url = (await connect(workspace.root).status())["http"]
        yield Watch(workspace, url)
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await task
