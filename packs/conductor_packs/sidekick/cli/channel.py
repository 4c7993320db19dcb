"""`conductor sidekick channel …`.

Promise: each command is one tool call. Refusal: no provider is known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from conductor_packs.sidekick.cli.calling import Given, calls
from conductor_packs.sidekick.cli.show import print_record, print_rows, shown

_provider = click.option("--provider", metavar="NAME", help="A transport of the configuration.")


@click.group()
def channel() -> None:
    """Send and receive messages."""


def _one(data: Mapping[str, Any]) -> None:
    print_record(data["channel"], first=("id", "name", "type"))


def _many(data: Mapping[str, Any]) -> None:
    print_rows(
        ["id", "messages", "last message", "name"],
        [
            (item["id"], item["message_count"], item.get("last_message_at"), item["name"])
            for item in data["items"]
        ],
        nothing="no channels",
    )


def _sent(data: Mapping[str, Any]) -> None:
    message = data.get("message")
    print_record(message or {key: value for key, value in data.items() if key != "dry_run"})


def _received(data: Mapping[str, Any]) -> None:
    if "items" not in data:
        for record in data.get("records", ()):
            click.echo(shown(record))
        if data.get("nextCursor"):
            click.echo(shown(f"next: --cursor {data['nextCursor']}"))
        return
    print_rows(
        ["at", "sender", "content"],
        [(item["created_at"], item["sender"], item["content"]) for item in data["items"]],
        nothing="no messages",
    )


def _gone(data: Mapping[str, Any]) -> None:
    click.echo(f"deleted: {data['deleted_id']} with {data['deleted_messages']} messages")


@channel.command()
@click.argument("name")
@click.option("--type", "kind", type=click.Choice(["terminal"]))
@calls("channel:configure", _one, changes=True)
def configure(name: str, kind: str | None) -> Given:
    """Make a channel called NAME, or change it."""
    return {"name": name, "type": kind}


@channel.command()
@click.argument("content")
@click.option("--channel", metavar="NAME", help="Default: default.")
@click.option("--sender", metavar="NAME", help="Who speaks; default: assistant.")
@_provider
@calls("channel:send", _sent, changes=True)
def send(**given: Any) -> Given:
    """Put a message into a channel, or hand it to a provider."""
    return given


@channel.command()
@click.option("--channel", metavar="NAME", help="Default: all.")
@click.option("--since", metavar="TIME", help="Sent then or later.")
@click.option("--limit", type=int, metavar="N", help="The newest so many.")
@_provider
@click.option("--cursor", metavar="TEXT", help="Where a provider's last answer ended.")
@calls("channel:receive", _received)
def receive(**given: Any) -> Given:
    """Show messages, oldest first."""
    return given


@channel.command("list")
@click.option("--limit", type=int, metavar="N", help="At most so many.")
@calls("channel:list", _many)
def list_(limit: int | None) -> Given:
    """List channels."""
    return {"limit": limit}


@channel.command()
@click.argument("name")
@calls("channel:delete", _gone, changes=True)
def delete(name: str) -> Given:
    """Remove a channel and its messages; needs an approval."""
    return {"name": name}
