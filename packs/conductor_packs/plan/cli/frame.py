"""What all commands of `conductor plan` share: where, as whom, how answers and errors are printed.

Promise: standard output is one JSON value, standard error one JSON object `{"error": …}` where
something was refused, and the exit code is the documented one. Refusal: nothing is asked of a plan
here.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import click
import msgspec

from conductor_packs.plan.batch import Caller
from conductor_packs.plan.errors import (
    PlanDamaged,
    PlanFileRefused,
    PlanInputInvalid,
    PlanTablesMissing,
    VersionConflict,
)
from conductor_packs.plan.operations import Desk
from conductor_packs.plan.questions import Answer
from conductor_packs.plan.store import Plans
from conductor_sdk.clock import SystemClock
from conductor_sdk.command import CommandHost
from conductor_sdk.errors import ConductorError, Exit
from conductor_sdk.terminal_text import escaped
from conductor_sdk.workspace import Workspace

SLUG: Final = "plan"
ACTOR: Final = "CONDUCTOR_ACTOR"
"""What JSON allows and a terminal would obey."""


class Place(msgspec.Struct, frozen=True):
    """The options that every command takes."""

    workspace: Path | None
    db: Path | None
    actor: str
    session_id: str
    task_id: str


class PlanGroup(click.Group):
    """A group whose failures are JSON."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a refusal is printed as an object and becomes the exit code."""
        try:
            return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.ClickException as error:
            return complain(PlanInputInvalid(error.format_message()))
        except ConductorError as error:
            return complain(error)
        except sqlite3.Error as error:
            return complain(PlanDamaged(str(error)))
        except BrokenPipeError:
            raise
        except OSError as error:
            return complain(PlanFileRefused(f"{error.filename or ''}: {error.strerror}"))


def place_options() -> list[click.Parameter]:
    """Return the options that say where and as whom."""
    return [
        click.Option(
            ["--workspace", "-w"], type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR", help="The workspace; default: the current directory.",
        ),
        click.Option(
            ["--db"], type=click.Path(dir_okay=False, path_type=Path), metavar="PATH",
            help="Another journal file, inside of the workspace.",
        ),
        click.Option(
            ["--as", "caller"], envvar=ACTOR, metavar="AGENT",
            help="On whose behalf; default: your user name.",
        ),
        click.Option(["--session-id"], default="", metavar="ID", help="Stands in the entries."),
        click.Option(["--task-id"], default="", metavar="ID", help="Stands in the entries."),
    ]  # fmt: skip


def take_place(ctx: click.Context, given: dict[str, Any]) -> Place:
    """Take those options out of a command's parameters; the group's stand in for missing ones."""
    outer = ctx.parent.params if ctx.parent is not None else {}
    workspace = given.pop("workspace") or outer.get("workspace")
    db = given.pop("db") or outer.get("db")
    actor = given.pop("caller") or outer.get("caller") or _user()
    return Place(workspace, db, actor, given.pop("session_id"), given.pop("task_id"))


def host(ctx: click.Context) -> CommandHost:
    """Return what the program hands to commands of packs."""
    return cast("CommandHost", ctx.obj)


def root_of(ctx: click.Context, place: Place) -> Path:
    """Return the workspace's root.

    Raises:
        WorkspaceMissing: It is not a directory.
    """
    return host(ctx).workspace(place.workspace)


def file_of(root: Path, place: Place) -> Path:
    """Return the journal's file."""
    return Workspace(root).journal_db if place.db is None else root / place.db


def with_desk(
    ctx: click.Context, place: Place, work: Callable[[Desk], Awaitable[Answer]], *, create: bool
) -> Answer:
    """Open the journal, let `work` use it, and close it.

    Args:
        ctx: The command's.
        place: Where and as whom.
        work: What to do.
        create: Whether the file may be made; a command that only reads never does.

    Raises:
        PlanTablesMissing: There is no file, and it must not be made.
        WorkspaceUnsafe: `--db` leads out of the workspace.
    """

    async def run() -> Answer:
        async with opened(ctx, place, create=create) as desk:
            return await work(desk)

    return asyncio.run(run())


@asynccontextmanager
async def opened(ctx: click.Context, place: Place, *, create: bool) -> AsyncGenerator[Desk]:
    """Give a desk for as long as the block lasts."""
    from conductor_packs.plan.settings import settings

    root = root_of(ctx, place)
    config = host(ctx).config(root, SLUG)
    async with host(ctx).journal(root, slug=SLUG, actor=place.actor, db=place.db) as journal:
        file = file_of(root, place)
        if not create and not file.exists():
            raise PlanTablesMissing(str(file))
        caller = Caller(place.actor, place.session_id, place.task_id)
        yield Desk(Plans(journal, SystemClock(), settings(config)), caller, root)


def show(answer: object) -> None:
    """Print an answer."""
    click.echo(text_of(answer))


def text_of(answer: object) -> str:
    """Return an answer as indented JSON that is safe on a terminal."""
    text = json.dumps(answer, indent=2, ensure_ascii=False)
    return escaped(text)


def complain(error: ConductorError) -> int:
    """Print an error as an object; returns the exit code."""
    if isinstance(error, VersionConflict):
        show(error.data)  # a conflict is an answer too: what is there now
    click.echo(text_of({"error": error.as_json()}), err=True)
    return int(Exit(error.exit_code))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
