"""`conductor`: the root of all commands.

Promise: `--help`, `--version` and shell completion load no command's module; every failure ends in
one line that says what happened, one that says what to type next, and a documented exit code.
Refusal: no command does its work here.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from conductor_sdk.errors import ConductorError, Exit

VERSION = "0.1.0"
"""Kept equal to the distribution's by a test: asking the metadata costs 30 ms."""
COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("demo", "demo", "Guided tour on this machine, under 30 s; needs nothing."),
    "sidecar": ("sidecar", "sidecar", "Run the daemon in the foreground."),
    "enroll": ("enroll", "enroll", "Exchange an enrollment token for this workspace's credential."),
    "status": ("status", "status", "Show link, cursor, lanes, queue and counters."),
    "events": ("events", "events", "Follow what happens, live."),
    "explain": ("explain", "explain", "Tell the story of one event, with times."),
    "dead-letters": ("dead_letters", "dead_letters", "List, show, redrive or drop dead letters."),
    "push": ("push", "push", "Push one event through the running sidecar."),
    "inbox": ("inbox", "inbox", "Read what the loopback conductor received."),
    "packs": ("pack", "packs", "Show which packs are loaded, and why others are not."),
    "tools": ("tools", "tools", "List the tools that packs bring."),
    "pack": ("pack", "pack", "Make, validate and test packs."),
    "log": ("log", "log", "Read and verify the journal."),
    "config": ("config", "config", "Show settings and where each comes from."),
    "doctor": ("doctor", "doctor", "Check this workspace and machine."),
    "dev": ("dev", "dev", "Run an embedded conductor for development."),
    "completion": ("completion", "completion", "Print the shell completion script."),
}
"""Command to (module below `cli`, attribute, one line of help)."""
ALIASES = {"mem:inbox": "inbox"}


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
        entry = COMMANDS.get(ALIASES.get(cmd_name, cmd_name))
        if entry is None:
            return None
        module, attribute, _ = entry
        command: click.Command = getattr(
            import_module(f"conductor_sidecar.cli.{module}"), attribute
        )
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002  click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """List the commands from the table, so that help imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 integrity, 5 expectation "
    "failed, 6 busy, 69 conductor unavailable, 77 token refused, 78 bad configuration.",
)
@click.version_option(VERSION, prog_name="conductor")
def cli() -> None:
    """Run packs beside a workspace: nothing lost, nothing done twice.

    Start with `conductor demo`. A workspace is a directory; commands take the current one, or the
    one named by --workspace or CONDUCTOR_WORKSPACE.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run `conductor` and exit with its code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code: Any = cli.main(args=arguments, prog_name="conductor", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ConductorError as error:
        complain(error, as_json="--json" in arguments)
        sys.exit(int(error.exit_code))
    except BrokenPipeError:
        # The reader of a pipe has gone (`| head`): that is its right.
        sys.stderr.close()
        sys.exit(int(Exit.OK))
    sys.exit(code if isinstance(code, int) else int(Exit.OK))


def complain(error: ConductorError, *, as_json: bool) -> None:
    """Print an error on standard error, for people or for programs."""
    if as_json:
        import msgspec

        text = msgspec.json.encode({"error": error.as_json()}).decode()
    else:
        text = f"conductor: {error.message} [{error.code}]\n  next: {error.hint}"
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
