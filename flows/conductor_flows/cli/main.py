"""`flows`: the root of all commands; the same group hangs under `conductor flows`.

Promise: `--help`, `--version` and shell completion load no command's module; every failure ends in
one line that says what happened, one that says what to type next, and a documented exit code.
Refusal: no command does its work here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import click

from conductor_sdk.errors import ConductorError, Exit

VERSION: Final = "0.1.0"
"""Kept equal to the distribution's by a test: asking the metadata costs 30 ms."""
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "new": ("new", "Make a small flow with a test that passes."),
    "graph": ("graph", "Check a flow against every rule, or draw it."),
    "entrypoints": ("entrypoints", "Check the ways into a flow."),
    "run": ("run", "Run a flow here, or serve flows over HTTP."),
    "bindings": ("bindings", "Write and check the lock of what flows are bound to."),
    "resume": ("resume", "List, show and go on with runs that wait."),
    "codes": ("codes", "Explain a diagnostic code, as CAP101."),
    "completion": ("completion", "Print the shell completion script."),
}
"""Command to (module below `cli` and attribute in it, one line of help)."""
TRACEBACK: Final = "CONDUCTOR_TRACEBACK"
"""The variable that shows where an error came from."""
TEXT_MAX: Final = 500
INTERRUPTED: Final = 130


class ReaderGone(Exception):
    """Standard output is closed."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names in the order of the table, which is the order of a first visit."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module = COMMANDS[cmd_name][0]
        command: click.Command = getattr(import_module(f"conductor_flows.cli.{module}"), module)
        return command

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
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 integrity, 6 busy, "
    "77 token refused, 130 interrupted.",
)
@click.version_option(VERSION, prog_name="flows")
@click.pass_context
def flows(ctx: click.Context) -> None:
    """Author flows as typed Python functions; check, run, serve and resume them.

    \b
    SPEC names a flow in your own code:
      my_flows:flow            an attribute of a module
      my_flows                 the only flow of a module
      path/to/file.py:flow     an attribute of a file
      path/to/file.py          the only flow of a file

    \b
    Start with:
      flows new hello
      flows graph show hello/hello.py
      flows run local hello/hello.py --payload '{"name": "Ada"}'
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def main(arguments: list[str] | None = None) -> None:
    """Run `flows` and exit with its code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        _refuse_unreadable(arguments)
        code: Any = flows.main(args=arguments, prog_name="flows", standalone_mode=False)
        if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison]  # by `>&-`
            sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except (ReaderGone, BrokenPipeError):
        # The reader of a pipe has gone (`| head`): that is its right.
        from conductor_flows.cli.printing import hush

        hush()
        sys.exit(int(Exit.OK))
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        sys.exit(_fail(error, as_json="--json" in arguments))
    sys.exit(code if isinstance(code, int) else int(Exit.OK))


def _refuse_unreadable(arguments: Sequence[str]) -> None:
    """Refuse bytes that are no text: no id, name or payload could hold them."""
    for position, argument in enumerate(arguments, start=1):
        if not argument.isascii() and argument != argument.encode("utf-8", "replace").decode():
            raise click.UsageError(f"argument {position} is not UTF-8")


def _fail(error: Exception, *, as_json: bool) -> int:
    """Say what happened and what to type next; returns the exit code."""
    from conductor_flows.cli.errors import SystemRefused, Unexpected, UsageWrong

    if isinstance(error, click.ClickException):
        if not as_json or isinstance(error, click.exceptions.NoArgsIsHelpError):
            error.show()
        else:
            complain(UsageWrong(error.format_message()), as_json=True)
        return error.exit_code
    if not isinstance(error, ConductorError):
        kind = SystemRefused if isinstance(error, OSError) else Unexpected
        error = kind(f"{type(error).__name__}: {error}"[:TEXT_MAX])
    complain(error, as_json=as_json)
    return int(error.exit_code)


def complain(error: ConductorError, *, as_json: bool) -> None:
    """Print an error on standard error, for people or for programs."""
    from conductor_flows.cli.printing import clean, json_text

    if as_json:
        text = json_text({"error": error.as_json()})
    else:
        hint = error.hint.removeprefix("run: ")
        text = f"flows: {clean(error.message)} [{error.code}]\n  next: {clean(hint)}"
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
