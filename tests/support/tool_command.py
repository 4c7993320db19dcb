"""A pack's command for tests: it uses everything that a command is given."""

from __future__ import annotations

from typing import Any

from conductor_sdk.command import PackCommand


def _load() -> Any:
    import asyncio
    from pathlib import Path

    import click

    from conductor_sdk.command import CommandHost

    @click.command()
    @click.option("--workspace", type=click.Path(path_type=Path))
    @click.option("--db", type=click.Path(path_type=Path))
    @click.argument("word")
    @click.pass_obj
    def bench(host: CommandHost, word: str, workspace: Path | None, db: Path | None) -> None:
        """Do WORD."""
        root = host.workspace(workspace)

        async def work() -> object:
            async with host.journal(root, slug="tool-pack", actor="ann", db=db) as journal:
                sequence = await journal.append("NOTED", {"word": word})
            output = await host.call_tool(root, "bench:echo", {"n": 3})
            return sequence, output.success

        click.echo(f"{host.config(root, 'tool-pack')} {asyncio.run(work())}")

    return bench


command = PackCommand("Do one word, in a summary that is much longer than sixty characters.", _load)
broken = PackCommand("Gives no command.", lambda: "no command")
