"""How the commands below `conductor dev` find their conductor.

Promise: `--directory` means the same everywhere, and a client asks the conductor of that directory,
running or not. Refusal: nothing is opened before a command runs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from conductor_server.ports import History

F = TypeVar("F", bound=Callable[..., Any])
DIRECTORY = Path(".lumenflow/dev")


def directory_option(function: F) -> F:
    """Add `--directory`; the parameter is a Path, or None for that of the group."""
    return click.option(
        "--directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
        help=f"The conductor's own directory; default: {DIRECTORY}.",
    )(function)  # fmt: skip


def with_client(function: Callable[..., None]) -> Callable[..., None]:
    """Add `--directory` and hand a client of its conductor over as the first argument."""

    @directory_option
    @functools.wraps(function)
    def call(directory: Path | None, **arguments: Any) -> None:
        from conductor_server.dev_client import DevClient
        from conductor_server.dev_directory import DevDirectory

        function(
            DevClient(DevDirectory(directory or click.get_current_context().obj), open_history),
            **arguments,
        )

    return call


async def open_history(path: Path) -> History:
    """Open a conductor's history."""
    # Only where a conductor's own file is opened: the stores are most of the start-up.
    from conductor_sidecar.app import open_history

    return await open_history(path)
