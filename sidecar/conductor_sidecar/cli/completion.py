"""`conductor completion`: the script that teaches a shell our commands.

Promise: what is printed can be sourced. Refusal: no shell's files are edited.
"""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  eval "$(conductor completion bash)"       in ~/.bashrc
    zsh:   eval "$(conductor completion zsh)"        in ~/.zshrc
    fish:  conductor completion fish | source        in config.fish
    """
    from conductor_sidecar.cli.main import cli
    from conductor_terminal.shell import completion_script

    click.echo(completion_script("conductor", cli, shell))
