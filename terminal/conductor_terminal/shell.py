"""The frame around a program's commands: found late, ended with a code, failures explained.

Promise: `--help`, `--version` and shell completion load no command's module; every failure ends in
one line that says what happened, one that says what to type next, and a documented exit code.
Refusal: no command does its work here.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, NoReturn

import click

from conductor_sdk.errors import ConductorError, Exit, SystemRefused, Unexpected, UsageWrong

TRACEBACK: Final = "CONDUCTOR_TRACEBACK"
"""The variable that shows where an error came from."""
TEXT_MAX: Final = 500
"""Characters of an error that is not ours."""
INTERRUPTED: Final = 130
SETTINGS: Final[Mapping[str, Any]] = {
    "help_option_names": ["-h", "--help"], "max_content_width": 80,
}  # fmt: skip
"""Of every program's root group."""


class ReaderGone(Exception):
    """Standard output is closed."""


@dataclass(frozen=True, slots=True)
class Found:
    """Where a command is."""

    module: str
    attribute: str
    summary: str
    """One line of help."""

    def load(self) -> click.Command:
        """Import the command."""
        command: click.Command = getattr(import_module(self.module), self.attribute)
        return command


class HelpfulGroup(click.Group):
    """A group that names what was probably meant; it guesses and runs nothing."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of the first word.

        Raises:
            click.UsageError: There is none; names what may have been meant.
        """
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            meant = None if args[0].startswith("-") else self.meant(ctx, args)
            if meant is None:
                raise
            raise click.UsageError(meant, ctx) from None

    def meant(self, ctx: click.Context, args: list[str]) -> str | None:
        """Say what may have been meant by words of which the first is no command."""
        # Click's own advice knows only commands that are imported already.
        from difflib import get_close_matches

        names = self.list_commands(ctx)
        found = [*get_close_matches(args[0], names), *self._below(ctx, names, args[0])]
        listed = " or ".join(repr(each) for each in found)
        return f"No such command {args[0]!r}. Did you mean {listed}?" if found else None

    def _below(self, ctx: click.Context, names: list[str], word: str) -> list[str]:
        """Return the commands of that name in the groups of this one."""
        found: list[str] = []
        for name in names:
            with contextlib.suppress(ConductorError):  # a broken one hides no other
                group = self.get_command(ctx, name)
                if isinstance(group, click.Group) and word in group.commands:
                    found.append(f"{name} {word}")
        return found


class LazyGroup(HelpfulGroup):
    """A group whose commands are imported when they are used."""

    def __init__(self, *given: Any, table: Mapping[str, Found] | None = None, **named: Any) -> None:
        """Make a group.

        Args:
            given: As click's group.
            table: Commands by name, in the order of a first visit.
            named: As click's group.
        """
        super().__init__(*given, **named)
        self.table = table or {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names in the order of the table."""
        return list(self.table)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import and return one command."""
        found = self.table.get(cmd_name)
        return None if found is None else found.load()

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; click itself would end a broken pipe as a failure.

        Raises:
            ReaderGone: Nobody reads what is printed any more.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            if ctx.parent is not None:
                raise  # below another program's group, which has its own way
            raise ReaderGone from None

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002  click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """List the commands from the table, so that help imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, found.summary) for name, found in self.table.items()])


def run(program: str, group: click.Group, arguments: list[str] | None = None) -> NoReturn:
    """Run a program's command line and exit with its code.

    Args:
        program: Its name, in front of every failure.
        group: Its commands.
        arguments: By default those of the process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        _refuse_unreadable(arguments)
        code: Any = group.main(args=arguments, prog_name=program, standalone_mode=False)
        if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison]  # by `>&-`
            sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except (ReaderGone, BrokenPipeError):
        # The reader of a pipe has gone (`| head`): that is its right.
        from conductor_terminal.printing import hush

        hush()
        sys.exit(int(Exit.OK))
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        sys.exit(_fail(program, error, as_json="--json" in arguments))
    sys.exit(code if isinstance(code, int) else int(Exit.OK))


def obey_no_color(ctx: click.Context) -> None:
    """Print without colour where people have asked for that: https://no-color.org."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def _refuse_unreadable(arguments: Sequence[str]) -> None:
    """Refuse bytes that are no text: no id, name or payload could hold them."""
    for position, argument in enumerate(arguments, start=1):
        if not argument.isascii() and argument != argument.encode("utf-8", "replace").decode():
            raise click.UsageError(f"argument {position} is not UTF-8")


def _fail(program: str, error: Exception, *, as_json: bool) -> int:
    """Say what happened and what to type next; returns the exit code."""
    if isinstance(error, click.ClickException):
        if not as_json or isinstance(error, click.exceptions.NoArgsIsHelpError):
            error.show()
        else:
            wrong = UsageWrong(error.format_message(), hint=f"run: {program} --help")
            complain(program, wrong, as_json=True)
        return error.exit_code
    if not isinstance(error, ConductorError):
        kind = SystemRefused if isinstance(error, OSError) else Unexpected
        error = kind(f"{type(error).__name__}: {error}"[:TEXT_MAX])
    complain(program, error, as_json=as_json)
    return int(error.exit_code)


def complain(program: str, error: ConductorError, *, as_json: bool) -> None:
    """Print an error on standard error, for people or for programs."""
    from conductor_sdk.terminal_text import clean
    from conductor_terminal.printing import json_text

    if as_json:
        text = json_text({"error": error.as_json()})
    else:
        hint = error.hint.removeprefix("run: ")
        text = f"{program}: {clean(error.message)} [{error.code}]\n  next: {clean(hint)}"
    click.echo(text, err=True)


def completion_script(program: str, group: click.Group, shell: str) -> str:
    """Return the script that teaches a shell a program's commands.

    Args:
        program: Its name.
        group: Its commands.
        shell: `bash`, `zsh` or `fish`.

    Raises:
        click.BadParameter: Another shell.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.BadParameter(shell)
    return kind(group, {}, program, f"_{program.upper()}_COMPLETE").source()
