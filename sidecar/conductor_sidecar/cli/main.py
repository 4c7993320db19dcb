"""`conductor`: the root of all commands.

Promise: `--help`, `--version` and shell completion load no command's module; every failure ends in
one line that says what happened, one that says what to type next, and a documented exit code.
Refusal: no command does its work here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from conductor_sdk.errors import ConductorError, Exit

if TYPE_CHECKING:
    from conductor_sidecar.cli.found_commands import FoundCommand

VERSION = "0.1.0"
"""Kept equal to the distribution's by a test: asking the metadata costs 30 ms."""
COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("demo", "demo", "Guided tour on this machine, under 30 s; needs nothing."),
    "sidecar": ("sidecar", "sidecar", "Run the daemon in the foreground."),
    "enroll": ("enroll", "enroll", "Exchange an enrollment token for this workspace's credential."),
    "rotate": ("rotate", "rotate", "Replace this workspace's credential by a new one."),
    "status": ("status", "status", "Show link, cursor, lanes, queue and counters."),
    "health": ("health", "health", "Tell whether it is live and ready, for probes."),
    "events": ("events", "events", "Follow what happens, live."),
    "explain": ("explain", "explain", "Tell the story of one event, with times."),
    "dead-letters": ("dead_letters", "dead_letters", "List, show, redrive or drop dead letters."),
    "push": ("push", "push", "Push one event through the running sidecar."),
    "inbox": ("inbox", "inbox", "Read what the loopback conductor received."),
    "packs": ("pack", "packs", "Show which packs are loaded, and why others are not."),
    "tools": ("tools", "tools", "List, describe and call the tools that packs bring."),
    "approvals": ("approvals", "approvals", "List, show, grant or deny leave for calls."),
    "mcp": ("mcp", "mcp", "Serve the tools to an MCP client on standard input."),
    "pack": ("pack", "pack", "Make, validate and test packs."),
    "log": ("log", "log", "Read and verify the journal."),
    "reload": ("reload", "reload", "Take over settings and manifests as they are now."),
    "config": ("config", "config", "Show settings and where each comes from."),
    "doctor": ("doctor", "doctor", "Check this workspace and machine."),
    "diagnose": ("diagnose", "diagnose", "Write a redacted bundle for whoever helps."),
    "backup": ("backup", "backup", "Write the state of this workspace into one file."),
    "restore": ("backup", "restore", "Put a backup in the place of this workspace's state."),
    "systemd": ("systemd", "systemd", "Print, install or remove systemd units."),
    "dev": ("dev", "dev", "Run an embedded conductor for development."),
    "completion": ("completion", "completion", "Print the shell completion script."),
}
"""Command to (module below `cli`, attribute, one line of help)."""
TRACEBACK = "CONDUCTOR_TRACEBACK"
"""The variable that shows where an error came from."""
TEXT_MAX = 500
ALIASES = {"mem:inbox": "inbox"}


class ReaderGone(Exception):
    """Standard output is closed."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names in the order of the table, which is the order of a first visit.

        Commands of packs follow.
        """
        return [*COMMANDS, *_pack_commands()]

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import and return one command."""
        entry = COMMANDS.get(ALIASES.get(cmd_name, cmd_name))
        if entry is None:
            found = _pack_commands().get(cmd_name)
            return None if found is None else found.load()
        module, attribute, _ = entry
        command: click.Command = getattr(
            import_module(f"conductor_sidecar.cli.{module}"), attribute
        )
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; click itself would end a broken pipe as a failure.

        Raises:
            ReaderGone: Nobody reads what is printed any more.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ReaderGone from None

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002  click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """List the commands from the table, so that help imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])
        if found := _pack_commands():
            with formatter.section("Commands of packs"):
                formatter.write_dl([(name, item.summary()) for name, item in found.items()])


def _pack_commands() -> dict[str, FoundCommand]:
    """Return what installed packs add, without what has one of our names."""
    from conductor_sidecar.cli.found_commands import find_commands

    taken = {*COMMANDS, *ALIASES}
    return {name: item for name, item in find_commands().items() if name not in taken}


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 integrity, 5 expectation "
    "failed, 6 busy, 69 conductor unavailable, 77 token refused, 78 bad configuration.",
)
@click.version_option(VERSION, prog_name="conductor")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Run packs beside a workspace: nothing lost, nothing done twice.

    Start with `conductor demo`. A workspace is a directory; commands take the current one, or the
    one named by --workspace or CONDUCTOR_WORKSPACE.
    """
    from conductor_sidecar.cli.pack_commands import Host

    ctx.obj = Host()
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def main(arguments: list[str] | None = None) -> None:
    """Run `conductor` and exit with its code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        _refuse_unreadable(arguments)
        code: Any = cli.main(args=arguments, prog_name="conductor", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except ReaderGone:
        # The reader of a pipe has gone (`| head`): that is its right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(int(Exit.OK))
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        sys.exit(_fail(error, as_json="--json" in arguments))
    sys.exit(code if isinstance(code, int) else int(Exit.OK))


def _refuse_unreadable(arguments: Sequence[str]) -> None:
    """Refuse bytes that are no text: no id, kind, key or payload could hold them."""
    for position, argument in enumerate(arguments, start=1):
        if not argument.isascii() and argument != argument.encode("utf-8", "replace").decode():
            raise click.UsageError(f"argument {position} is not UTF-8")


def _fail(error: Exception, *, as_json: bool) -> int:
    """Say what happened and what to type next; returns the exit code."""
    from conductor_sidecar.errors import SystemRefused, Unexpected, UsageWrong

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
    from conductor_sidecar.cli.output import clean, one_line

    if as_json:
        text = one_line({"error": error.as_json()})
    else:
        hint = error.hint.removeprefix("run: ")
        text = f"conductor: {clean(error.message)} [{error.code}]\n  next: {clean(hint)}"
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
