"""Asking the conductor of a directory, whether it runs or not.

Promise: one request, one answer: over HTTP from the conductor that runs there, else from the same
code in this process on the history file. Refusal: what only a running conductor has (faults,
links, live events) is not imitated without one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlencode, urlsplit

import msgspec

from conductor_sdk.clock import SystemClock
from conductor_sdk.errors import ConductorError, EventMalformed
from conductor_sdk.secret import Secret
from conductor_server.dev_directory import DevDirectory
from conductor_server.errors import (
    BadRequest,
    DevAnswered,
    DevNotRunning,
    FaultSyntax,
    NothingToRotate,
    OperatorRefused,
    RestartUnavailable,
    TokenNotFound,
)
from conductor_server.ports import History

OpenHistory: TypeAlias = Callable[[Path], Awaitable[History]]
JsonObject: TypeAlias = dict[str, Any]
_TIMEOUT_S = 60.0
_OK = 200
_BY_CODE: Mapping[str, type[ConductorError]] = {
    kind.code: kind
    for kind in (
        BadRequest, EventMalformed, FaultSyntax, NothingToRotate, OperatorRefused,
        RestartUnavailable, TokenNotFound,
    )
}  # fmt: skip


class _Complaint(msgspec.Struct):
    code: str
    message: str
    hint: str


class _Failure(msgspec.Struct):
    error: _Complaint


class DevClient:
    """The operator's calls to the conductor of one directory. Blocking."""

    def __init__(self, directory: DevDirectory, open_history: OpenHistory) -> None:
        self.directory = directory
        self._open_history = open_history

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, object] | None = None,
        live: bool = False,
    ) -> JsonObject:
        """Make one operator call and return its answer.

        Args:
            method: `GET`, `POST` or `DELETE`.
            path: Below the server's root, for example `/dev/send`.
            body: What becomes the JSON body.
            query: What becomes the query string; None values are left out.
            live: Only a running conductor can answer this.

        Raises:
            DevNotRunning: None runs and `live` was asked for.
            ConductorError: What the conductor refused, by its code.
        """
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = f"{path}?{urlencode(given)}" if given else path
        data = b"" if body is None else msgspec.json.encode(body)
        running = self.directory.running()
        if running is not None:
            return self._over_http(running.url, method, target, data)
        if live:
            raise DevNotRunning(str(self.directory.path))
        return asyncio.run(self._in_process(method, target, data))

    def _over_http(self, url: str, method: str, target: str, data: bytes) -> JsonObject:
        token = self.directory.operator_token()
        connection = HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_S)
        headers = {"Authorization": f"Bearer {token.reveal()}", "Connection": "close"}
        try:
            connection.request(method, target, data, headers)
            response = connection.getresponse()
            return _answer(response.status, response.read())
        except (OSError, HTTPException) as error:
            raise DevNotRunning(f"{url}: {error or type(error).__name__}") from error
        finally:
            connection.close()

    async def _in_process(self, method: str, target: str, data: bytes) -> JsonObject:
        import httpx2

        from conductor_server.hub import EmbeddedConductor
        from conductor_server.server import application

        with self.directory.hold():
            history = await self._open_history(self.directory.history)
            try:
                token = Secret("in process")
                app = application(EmbeddedConductor(history, SystemClock()), token)
                async with httpx2.AsyncClient(
                    transport=httpx2.ASGITransport(app), base_url="http://conductor"
                ) as client:
                    headers = {"Authorization": f"Bearer {token.reveal()}"}
                    response = await client.request(method, target, content=data, headers=headers)
                    return _answer(response.status_code, response.content)
            finally:
                await history.close()


def _answer(status: int, body: bytes) -> JsonObject:
    try:
        if status == _OK:
            return msgspec.json.decode(body, type=JsonObject)
        said = msgspec.json.decode(body, type=_Failure).error
    except msgspec.DecodeError:
        raise DevAnswered(f"status {status}") from None
    kind = _BY_CODE.get(said.code)
    if kind is None:
        raise DevAnswered(said.message, hint=said.hint, data={"code": said.code})
    raise kind(said.message.removeprefix(kind().message).removeprefix(": "), hint=said.hint)
