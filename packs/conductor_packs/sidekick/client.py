"""Sidekick for other programs: typed calls, over HTTP or in process, with one interface.

Promise: the same request gives the same response or the same error, however it travels; both ways
end at the tool host, so scopes, approvals and evidence hold for both. Refusal: no storage is
opened here, and no call is repeated by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from conductor_packs.sidekick.contract.methods import SidekickMethods
from conductor_sdk.errors import ConductorError
from conductor_sdk.secret import Secret
from conductor_sdk.tool_output import ToolFault, ToolOutput

R = TypeVar("R", bound=msgspec.Struct)


class ToolCalls(Protocol):
    """What a client calls through: a pack's `ctx.tools`, or the tools of a sidecar."""

    async def call(
        self, tool: str, input: Mapping[str, Any] | None = None, *,  # noqa: A002  the wire's word
        key: str | None = None,
    ) -> ToolOutput:  # fmt: skip
        """Call a tool; a refusal is an answer."""
        ...


class SidekickFailed(ConductorError):
    """Sidekick did not do what it was asked."""

    code = "SIDEKICK_FAILED"
    default_hint = "run: conductor tools describe TOOL"

    def __init__(self, tool: str, fault: ToolFault, data: Mapping[str, Any] | None) -> None:
        """Say why.

        Args:
            tool: The tool's name.
            fault: With the code of the tool or of the tool host.
            data: What a provider said of its failure.
        """
        facts: dict[str, object] = {"tool": tool, "code": fault.code}
        super().__init__(f"{tool}: {fault.message} [{fault.code}]", data=facts)
        self.tool = tool
        self.fault = fault
        self.answered = dict(data or {})


class AnswerUnexpected(ConductorError):
    """What Sidekick answered does not fit the contract."""

    code = "SIDEKICK_ANSWER_UNEXPECTED"
    default_hint = "compare the versions: conductor sidekick status --json"


class SidekickClient(SidekickMethods):
    """The tools of Sidekick. Safe to share between tasks."""

    def __init__(self, tools: ToolCalls) -> None:
        """Prepare; nothing is sent yet.

        Args:
            tools: What to call through; `connect_sidekick` and `sidekick_at` give a sidecar's.
        """
        self._tools = tools

    async def call(
        self, tool: str, request: msgspec.Struct, response: type[R], *, key: str | None = None
    ) -> R:
        """Call a tool.

        Raises:
            SidekickFailed: It did not succeed, for example `NOT_FOUND` or `APPROVAL_REQUIRED`.
            AnswerUnexpected: The answer does not fit.
            SidecarUnreachable: Over HTTP only: no sidecar answers.
        """
        given: dict[str, Any] = msgspec.to_builtins(request)
        output = await self._tools.call(tool, given, key=key)
        if not output.success:
            raise SidekickFailed(tool, output.error or ToolFault("UNKNOWN", ""), output.data)
        try:
            return msgspec.convert(output.data or {}, response)
        except msgspec.ValidationError as error:
            raise AnswerUnexpected(f"{tool}: {error}") from None


def connect_sidekick(workspace: Path | str | None = None) -> SidekickClient:
    """Return the Sidekick of a workspace's running sidecar, over its control socket.

    Raises:
        WorkspaceMissing: It is not a directory.
    """
    from conductor_sdk.client import connect

    return SidekickClient(connect(workspace).tools)


def sidekick_at(url: str, token: str | Secret) -> SidekickClient:
    """Return the Sidekick of a sidecar that serves its tools over TCP.

    Raises:
        ValueError: The address or the token cannot be used.
    """
    from conductor_sdk.client_tools import connect_http

    return SidekickClient(connect_http(url, token).tools)
