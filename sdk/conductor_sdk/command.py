"""A pack's commands on the command line, and what they are given.

Promise: the help of `conductor` shows a pack's commands without importing them. Refusal: no command
is run here, and no command-line library is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # `conductor --help` imports this module: it may cost nothing
    from pathlib import Path

    from conductor_sdk.context import JournalPort
    from conductor_sdk.tool_output import ToolOutput

GROUP = "conductor.commands"
"""The entry-point group; an entry's name is the word after `conductor`."""


@dataclass(frozen=True, slots=True)
class PackCommand:
    """What an entry point of the group holds. Its module imports nothing but the sdk."""

    summary: str
    """One line of help, at most 60 characters."""
    load: Callable[[], Any]
    """Imports and returns the click command or group."""


class CommandHost(Protocol):
    """What a pack's command finds as click's `ctx.obj`."""

    def workspace(self, path: Path | None = None) -> Path:
        """Return the workspace's root: the one given, `CONDUCTOR_WORKSPACE`, or the current one.

        Raises:
            WorkspaceMissing: It is not a directory.
        """
        ...

    def config(self, workspace: Path, config_key: str) -> Mapping[str, Any]:
        """Return a pack's own section of the workspace's configuration."""
        ...

    def journal(
        self, workspace: Path, *, slug: str, actor: str, db: Path | None = None
    ) -> AbstractAsyncContextManager[JournalPort]:
        """Open the journal as a pack has it, beside a running daemon or without one.

        Args:
            workspace: Whose journal.
            slug: The pack.
            actor: On whose behalf; in the entries.
            db: Another file, inside of the workspace; made if it is missing.

        Raises:
            WorkspaceUnsafe: `db` leads out of the workspace, after following symbolic links.
        """
        ...

    async def call_tool(
        self, workspace: Path, tool: str, input: Mapping[str, Any], *,  # noqa: A002
        key: str | None = None,
    ) -> ToolOutput:  # fmt: skip
        """Call a tool through the running daemon, or with its stores where none runs."""
        ...
