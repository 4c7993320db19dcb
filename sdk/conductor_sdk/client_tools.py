"""Calling tools of a sidecar from another process: over its control socket, or over HTTP.

Promise: a call answers what the tool host answered, a refusal as well as a success; with a key the
same call again, after a lost answer, has no second effect. Refusal: nothing is repeated by itself,
and no answer is kept.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from conductor_sdk.client_wire import Answer, SidecarAnswered, complaint, decoded, exchange
from conductor_sdk.secret import Secret
from conductor_sdk.tool_info import ToolInfo
from conductor_sdk.tool_output import ToolOutput

__all__ = ["HttpSidecar", "RemoteTools", "ToolInfo", "connect_http"]

TIMEOUT_S = 3630.0
"""A tool may take an hour; its host ends it then, and says so."""
_OK = 200


class _Tools(msgspec.Struct):
    tools: list[ToolInfo]


class RemoteTools:
    """The tools of a running sidecar. Safe to share between tasks; one connection for each call."""

    def __init__(
        self, dial: Callable[[float], HTTPConnection], *, token: Secret | None = None,
        prefix: str = "",
    ) -> None:  # fmt: skip
        """Prepare calls; nothing is sent yet. `connect` and `connect_http` make one.

        Args:
            dial: Makes a connection that waits at most so many seconds for one step.
            token: Sent with every request, as a bearer token.
            prefix: Stands before every path.
        """
        self._dial = dial
        self._token = token
        self._prefix = prefix

    async def call(
        self, tool: str, input: Mapping[str, Any] | None = None, *,  # noqa: A002  the wire's word
        key: str | None = None, run_id: str | None = None, task_id: str | None = None,
        session_id: str | None = None, timeout_s: float = TIMEOUT_S,
    ) -> ToolOutput:  # fmt: skip
        """Call a tool; a refusal is an answer, not an exception.

        Args:
            tool: Its name.
            input: A JSON object.
            key: With it, the same call again gives the first call's answer and has no effect.
            run_id: On the call's traces, as the two below.
            task_id: See `run_id`.
            session_id: See `run_id`.
            timeout_s: The longest wait for one step of the answer.

        Raises:
            SidecarUnreachable: No sidecar answers, or it did not finish: whether the tool ran is
                not known. With a key, call again.
            SidecarAnswered: What answered is no tool host.
        """
        context = {"run_id": run_id, "task_id": task_id, "session_id": session_id}
        named = {name: value for name, value in context.items() if value is not None}
        return await asyncio.to_thread(
            self.call_blocking, tool, input, key=key, context=named, timeout_s=timeout_s
        )

    def call_blocking(
        self, tool: str, input: Mapping[str, Any] | None = None, *,  # noqa: A002  the wire's word
        key: str | None = None, context: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> ToolOutput:  # fmt: skip
        """Call a tool as `call`, without an event loop."""
        body = {"input": dict(input or {}), **({"context": dict(context)} if context else {})}
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = self._exchange(
            "POST", f"/tools/{quote(tool, safe='')}", timeout_s, msgspec.json.encode(body), headers
        )
        try:
            output = msgspec.json.decode(answer.body, type=ToolOutput)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise complaint(answer) from None
        if not output.success and output.error is None:
            raise SidecarAnswered(f"status {answer.status} without an error")
        return output

    async def list(self) -> builtins.list[ToolInfo]:
        """Return the tools that this caller may use, by name.

        Raises:
            SidecarUnreachable: No sidecar answers.
            SidecarAnswered: It refused, with its code.
        """
        return await asyncio.to_thread(self.list_blocking)

    def list_blocking(self) -> builtins.list[ToolInfo]:
        """Return the tools as `list`, without an event loop."""
        answer = self._exchange("GET", "/tools", 30.0)
        if answer.status != _OK:
            raise complaint(answer)
        return decoded(answer.body, _Tools).tools

    def _exchange(
        self, method: str, path: str, timeout_s: float, body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        return exchange(
            self._dial(timeout_s), method, self._prefix + path, body, headers, self._token
        )


class HttpSidecar:
    """A sidecar that serves its tools over TCP. `connect_http` makes one."""

    def __init__(self, tools: RemoteTools) -> None:
        self._tools = tools

    @property
    def tools(self) -> RemoteTools:
        """The tools that the credential may use."""
        return self._tools


def connect_http(url: str, token: str | Secret, *, ca_file: Path | None = None) -> HttpSidecar:
    """Return a sidecar by the address of its tools; nothing is sent yet.

    Args:
        url: For example `http://127.0.0.1:7433`, or `https://…` of a proxy before it.
        token: The bearer token.
        ca_file: Trust anchors for https, where the system's are not the right ones.

    Raises:
        ValueError: The address is neither http nor https, or the token cannot be sent.
    """
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise ValueError(f"not an http address: {url!r}")
    token = token if isinstance(token, Secret) else Secret(token)
    if not _is_word(token.reveal()):
        raise ValueError("a token is one word of printable ASCII")

    def dial(timeout_s: float) -> HTTPConnection:
        if parts.scheme == "http":
            return HTTPConnection(host, port, timeout=timeout_s)
        import ssl

        trust = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        return HTTPSConnection(host, port, timeout=timeout_s, context=trust)

    return HttpSidecar(RemoteTools(dial, token=token, prefix=parts.path.rstrip("/")))


def _is_word(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and " " not in text
