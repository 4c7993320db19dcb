"""`conductor`: the root of all commands.

Promise: `--help`, `--version` and shell completion load no command's module; commands of packs
stand beside ours, and never in the place of one. Refusal: no command does its work here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from conductor_terminal.shell import SETTINGS, Found, LazyGroup, obey_no_color, run

if TYPE_CHECKING:
    from conductor_sidecar.cli.found_commands import FoundCommand

VERSION: Final = "0.1.0"
"""Kept equal to the distribution's by a test: asking the metadata costs 30 ms."""
COMMANDS: Final[dict[str, Found]] = {
    name: Found(f"conductor_sidecar.cli.{module}", attribute, summary)
    for name, module, attribute, summary in (
        ("demo", "demo", "demo", "Guided tour on this machine, under 30 s; needs nothing."),
        ("sidecar", "sidecar", "sidecar", "Run the daemon in the foreground."),
        (
            "enroll",
            "enroll",
            "enroll",
            "Exchange an enrollment token for this workspace's credential.",
        ),
        ("rotate", "rotate", "rotate", "Replace this workspace's credential by a new one."),
        ("status", "status", "status", "Show link, cursor, lanes, queue and counters."),
        ("health", "health", "health", "Tell whether it is live and ready, for probes."),
        ("events", "events", "events", "Follow what happens, live."),
        ("explain", "explain", "explain", "Tell the story of one event, with times."),
        (
            "dead-letters",
            "dead_letters",
            "dead_letters",
            "List, show, redrive or drop dead letters.",
        ),
        ("push", "push", "push", "Push one event through the running sidecar."),
        ("inbox", "inbox", "inbox", "Read what the loopback conductor received."),
        ("packs", "pack", "packs", "Show which packs are loaded, and why others are not."),
        ("tools", "tools", "tools", "List, describe and call the tools that packs bring."),
        ("approvals", "approvals", "approvals", "List, show, grant or deny leave for calls."),
        ("mcp", "mcp", "mcp", "Serve the tools to an MCP client on standard input."),
        ("pack", "pack", "pack", "Make, validate and test packs."),
        ("log", "log", "log", "Read and verify the journal."),
        ("reload", "reload", "reload", "Take over settings and manifests as they are now."),
        ("config", "config", "config", "Show settings and where each comes from."),
        ("doctor", "doctor", "doctor", "Check this workspace and machine."),
        ("diagnose", "diagnose", "diagnose", "Write a redacted bundle for whoever helps."),
        ("backup", "backup", "backup", "Write the state of this workspace into one file."),
        ("restore", "backup", "restore", "Put a backup in the place of this workspace's state."),
        ("systemd", "systemd", "systemd", "Print, install or remove systemd units."),
        ("dev", "dev", "dev", "Run an embedded conductor for development."),
        ("completion", "completion", "completion", "Print the shell completion script."),
    )
}
"""Name, module below `cli`, attribute, one line of help; in the order of a first visit."""
ALIASES: Final = {"mem:inbox": "inbox"}


class PackGroup(LazyGroup):
    """Our commands, and those that installed packs add."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return ours in the order of the table, then those of packs."""
        return [*super().list_commands(ctx), *self._of_packs()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        ours = super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))
        if ours is not None:
            return ours
        found = self._of_packs().get(cmd_name)
        return None if found is None else found.load()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List ours from the table, and those of packs without importing them."""
        super().format_commands(ctx, formatter)
        if found := self._of_packs():
            with formatter.section("Commands of packs"):
                formatter.write_dl([(name, item.summary()) for name, item in found.items()])

    def _of_packs(self) -> dict[str, FoundCommand]:
        """Return what installed packs add, without what has one of our names."""
        from conductor_sidecar.cli.found_commands import find_commands

        taken = {*self.table, *ALIASES}
        return {name: item for name, item in find_commands().items() if name not in taken}


@click.group(
    cls=PackGroup,
    table=COMMANDS,
    context_settings=SETTINGS,
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
    obey_no_color(ctx)


def main(arguments: list[str] | None = None) -> None:
    """Run `conductor` and exit with its code."""
    run("conductor", cli, arguments)


if __name__ == "__main__":
    main()
