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
    from conductor_flows.cli.main import flows
    from conductor_terminal.shell import completion_script

    click.echo(completion_script("flows", flows, shell))
