"""A pack's tools: what a call is, what a tool is given and what it answers.

Promise: a tool is an async function of its checked input and a context; it sees no transport and
decides no permission. Refusal: nothing here runs a tool; the tool host does, and only it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from conductor_sdk.context import PackContext
from conductor_sdk.manifest_tools import NetworkScope, PathScope
from conductor_sdk.tool_output import ToolOutput

Surface = Literal["socket", "http", "mcp", "pack"]
"""Where a call came in: the control socket, TCP, MCP, or another part of the daemon."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Who calls which tool, and in what connection; the caller's words are in `input`."""

    call_id: str
    """Unique to this call; on every trace of it."""
    tool: str
    actor: str
    """The authenticated subject, never taken from the request's body."""
    surface: Surface
    dry_run: bool = False
    """The input asks for a preview: nothing may be changed."""
    run_id: str | None = None
    task_id: str | None = None
    session_id: str | None = None


class ScopedFiles(Protocol):
    """The workspace's files, as far as the call's scopes reach.

    Every path is checked again when it is used, after following symbolic links: nothing outside of
    the workspace, outside of the scopes or below `.lumenflow` can be reached through here.
    """

    def resolve(self, path: str, access: Literal["read", "write"]) -> Path:
        """Return the real path of a file or directory that the scopes allow.

        Args:
            path: Relative to the workspace; it need not exist, its parents may be missing.
            access: What will be done with it.

        Raises:
            ScopeDenied: The scopes do not cover it, or it leads elsewhere.
        """
        ...

    def directory(self, path: str, access: Literal["read", "write"]) -> Path:
        """Return the real path of a directory whose whole content the scopes allow.

        Raises:
            ScopeDenied: As `resolve`.
        """
        ...

    def read_bytes(self, path: str) -> bytes:
        """Read a file without following a symbolic link that leads out.

        Raises:
            ScopeDenied: As `resolve`.
            OSError: As `open`.
        """
        ...

    def write_bytes(self, path: str, content: bytes) -> None:
        """Replace a file atomically and durably.

        Raises:
            ScopeDenied: As `resolve`.
            OSError: As `open`.
        """
        ...


class ToolContext(PackContext, Protocol):
    """What a tool is given: the pack's context, and the call."""

    @property
    def call(self) -> ToolCall:
        """The call."""
        ...

    @property
    def scopes(self) -> Sequence[PathScope | NetworkScope]:
        """What this call may touch: the intersection of all layers."""
        ...

    @property
    def files(self) -> ScopedFiles:
        """The files within those scopes."""
        ...

    @property
    def pack(self) -> Any:
        """The pack's own context, as `Pack.context` made it."""
        ...


Tool: TypeAlias = Callable[[Mapping[str, Any], ToolContext], Awaitable[ToolOutput]]
"""What an `entry` of the manifest names. An exception becomes `TOOL_EXECUTION_FAILED`."""
