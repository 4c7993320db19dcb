"""`flows completion`: the script that teaches a shell our commands.

Promise: what is printed can be sourced. Refusal: no shell's files are edited.
"""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  eval "$(flows completion bash)"       in ~/.bashrc
    zsh:   eval "$(flows completion zsh)"        in ~/.zshrc
    fish:  flows completion fish | source        in config.fish
    """
    from click.shell_completion import get_completion_class

    from conductor_flows.cli.main import flows

    kind = get_completion_class(shell)
    if kind is None:
        raise click.BadParameter(shell)
    click.echo(kind(flows, {}, "flows", "_FLOWS_COMPLETE").source())
