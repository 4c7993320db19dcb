"""Options that many commands share, so that they are spelled and explained once.

Promise: the same words and defaults everywhere. Refusal: nothing is resolved or opened here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])
CHECKPOINTS: Final = Path(".flow/checkpoints")
"""Where checkpoints are kept by default: a folder of files that a person can read."""
CHECKPOINT_DB: Final = Path(".flow/checkpoints.db")
"""The same as one SQLite file."""


def _files(_: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def read_file(*, dash: bool = False) -> click.Path:
    """Return the type of a file that is read, or of `-` for standard input."""
    return click.Path(exists=True, dir_okay=False, path_type=Path, allow_dash=dash)


def spec_argument(*, required: bool = True, many: bool = False) -> Callable[[F], F]:
    """Add SPEC; the parameter is `spec`, or the tuple `specs`."""
    return click.argument(
        "specs" if many else "spec", required=required, nargs=-1 if many else 1,
        metavar="SPEC..." if many else ("SPEC" if required else "[SPEC]"), shell_complete=_files,
    )  # fmt: skip


def json_option(function: F) -> F:
    """Add `--json`; the parameter is `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(
        function
    )


def binding_options(function: F) -> F:
    """Add `--bind` and `--bindings-lock`; the parameters are `binds` and `lock`."""
    locked = click.option(
        "--bindings-lock", "lock", type=read_file(),
        metavar="FILE", help="Take the bindings from a lock instead.",
    )  # fmt: skip
    return bind_option(locked(function))


def bind_option(function: F) -> F:
    """Add `--bind`; the parameter is `binds`."""
    return click.option(
        "--bind", "binds", multiple=True, metavar="HINT=PROVIDER",
        help="What stands behind a capability, as kv=sqlite:kv.db; may be repeated.",
    )(function)  # fmt: skip


def end_options(function: F) -> F:
    """Add `--trigger` and `--capture`."""
    captured = click.option(
        "--capture", metavar="ALIAS", help="The node whose output is the answer."
    )
    return click.option("--trigger", metavar="ALIAS", help="The node that the payload goes to.")(
        captured(function)
    )


def checkpoint_dir_option(function: F) -> F:
    """Add `--checkpoint-dir`; the parameter is `checkpoint_dir`, a Path or None."""
    return click.option(
        "--checkpoint-dir", type=click.Path(path_type=Path), metavar="PATH",
        help=f"The folder of checkpoints, or their SQLite file.  [default: {CHECKPOINTS}]",
    )(function)  # fmt: skip


def checked_ends(trigger: str | None, capture: str | None) -> tuple[str, str] | None:
    """Return both ends, or None where none was given.

    Raises:
        click.UsageError: Only one was given.
    """
    if (trigger is None) != (capture is None):
        raise click.UsageError("--trigger and --capture come together")
    return None if trigger is None or capture is None else (trigger, capture)
