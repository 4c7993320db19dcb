"""What a pack's own commands are given: click's `ctx.obj` is a `CommandHost`.

Promise: a command of a pack reaches its workspace, configuration, journal and tools as the daemon
would let it. Refusal: no path leads out of the workspace, and none into the daemon's own files.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conductor_sdk.context import JournalPort
    from conductor_sdk.tool_output import ToolOutput

VARIABLE = "CONDUCTOR_WORKSPACE"


class Host:
    """`conductor_sdk.command.CommandHost` of this program."""

    def workspace(self, path: Path | None = None) -> Path:
        """Return the workspace's root: the one given, `CONDUCTOR_WORKSPACE`, or the current one.

        Raises:
            WorkspaceMissing: It is not a directory.
            WorkspaceUnsafe: Its state directories lead elsewhere.
        """
        from conductor_sdk.workspace import resolve_workspace

        return resolve_workspace(path or os.environ.get(VARIABLE) or None).root

    def config(self, workspace: Path, config_key: str) -> Mapping[str, Any]:
        """Return a pack's own section of the workspace's configuration.

        Raises:
            ConfigInvalid: The configuration cannot be read.
        """
        from conductor_sidecar.config import load_configuration

        loaded = load_configuration(workspace, environ=os.environ)
        return loaded.settings.pack.get(config_key, {})

    def journal(
        self, workspace: Path, *, slug: str, actor: str, db: Path | None = None
    ) -> AbstractAsyncContextManager[JournalPort]:
        """Open the journal as a pack has it, beside a running daemon or without one.

        Args:
            workspace: Whose journal.
            slug: The pack.
            actor: On whose behalf; signs the entries.
            db: Another file, inside of the workspace; made if it is missing.

        Raises:
            WorkspaceUnsafe: `db` leads out of the workspace, after following symbolic links, or
                to a file of the daemon.
            EntryRefused: `actor` is the name of the daemon or of another pack.
        """
        return _journal(workspace, slug, actor, db)

    async def call_tool(
        self, workspace: Path, tool: str, input: Mapping[str, Any], *,  # noqa: A002  the port's word
        key: str | None = None,
    ) -> ToolOutput:  # fmt: skip
        """Call a tool through the running daemon, or with its stores where none runs.

        Raises:
            WorkspaceBusy: Another command holds the stores for longer than 10 s.
            SidecarAnswered: What answered is no tool host.
        """
        import asyncio

        from conductor_sidecar.cli.tool_calls import call_tool

        return await asyncio.to_thread(call_tool, workspace, tool, input, key=key)


@contextlib.asynccontextmanager
async def _journal(
    workspace: Path, slug: str, actor: str, db: Path | None
) -> AsyncGenerator[JournalPort]:
    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar.app import open_journal
    from conductor_sidecar.pack_journal import PackJournal

    place = resolve_workspace(workspace)
    journal = open_journal(place, None if db is None else inside(place.root, db))
    try:
        yield PackJournal(slug, journal, actor=actor)
    finally:
        await journal.close()


def inside(root: Path, db: Path) -> Path:
    """Return the real path of a journal file that a caller names.

    Args:
        root: The workspace's, resolved.
        db: Relative to the workspace, or absolute.

    Raises:
        WorkspaceUnsafe: It is not inside, after following symbolic links, or it is not the
            journal and among the daemon's files.
    """
    from conductor_sdk.workspace import STATE_PARTS, Workspace, WorkspaceUnsafe

    try:
        real = (root / db).resolve()
    except (OSError, RuntimeError, ValueError):
        real = Path("/")
    hint = "name a file in the workspace, for example: --db plans.db"
    if not real.is_relative_to(root) or real == root:
        raise WorkspaceUnsafe(f"{db} is not inside of {root}", hint=hint)
    ours = real.relative_to(root).parts[0].lower() == STATE_PARTS[0]
    if ours and real != Workspace(root).journal_db:
        raise WorkspaceUnsafe(f"{db} is a place of the daemon's own files", hint=hint)
    return real
