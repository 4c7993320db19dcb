"""`flows`: the root of all commands; the same group hangs under `conductor flows`.

Promise: `--help`, `--version` and shell completion load no command's module. Refusal: no command
does its work here.
"""

from __future__ import annotations

from typing import Final

import click

from conductor_flows.cli.groups import FlowRoot
from conductor_terminal.shell import SETTINGS, Found, obey_no_color, run

VERSION: Final = "0.1.0"
"""Kept equal to the distribution's by a test: asking the metadata costs 30 ms."""
COMMANDS: Final[dict[str, Found]] = {
    name: Found(f"conductor_flows.cli.{name}", name, summary)
    for name, summary in (
        ("new", "Make a small flow with a test that passes."),
        ("graph", "Check a flow against every rule, or draw it."),
        ("entrypoints", "Check the ways into a flow."),
        ("run", "Run a flow here, or serve flows over HTTP."),
        ("bindings", "Write and check the lock of what flows are bound to."),
        ("resume", "List, show and go on with runs that wait."),
        ("codes", "Explain a diagnostic code, as CAP101."),
        ("completion", "Print the shell completion script."),
    )
}
"""Name, which is that of the module and of the command, and one line of help."""


@click.group(
    cls=FlowRoot,
    table=COMMANDS,
    usual="run local",
    context_settings=SETTINGS,
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
    obey_no_color(ctx)


def main(arguments: list[str] | None = None) -> None:
    """Run `flows` and exit with its code."""
    run("flows", flows, arguments)


if __name__ == "__main__":
    main()
