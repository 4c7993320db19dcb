"""`conductor sidekick memory …`.

Promise: each command is one tool call. Refusal: nothing is ranked or filtered here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from conductor_packs.sidekick.cli.calling import Given, calls
from conductor_packs.sidekick.cli.show import print_record, print_rows

TYPES = click.Choice(["fact", "preference", "note", "snippet"])
_tags = click.option("--tag", "tags", multiple=True, metavar="TAG", help="May be given again.")


@click.group()
def memory() -> None:
    """Remember and recall."""


def _one(data: Mapping[str, Any]) -> None:
    print_record(data["memory"], first=("id", "type", "content"))


def _many(data: Mapping[str, Any]) -> None:
    print_rows(
        ["id", "type", "tags", "content"],
        [
            (item["id"], item["type"], item["tags"], item.get("snippet") or item["content"])
            for item in data["items"]
        ],
        nothing="nothing is remembered that fits",
    )


def _gone(data: Mapping[str, Any]) -> None:
    click.echo(f"forgotten: {data['deleted_id']}")


@memory.command()
@click.argument("content")
@click.option("--type", "kind", type=TYPES, default="note", show_default=True)
@_tags
@calls("memory:store", _one, changes=True)
def store(content: str, kind: str, tags: tuple[str, ...]) -> Given:
    """Remember CONTENT."""
    return {"content": content, "type": kind, "tags": tags}


@memory.command()
@click.argument("query", required=False)
@click.option("--type", "kind", type=TYPES)
@_tags
@click.option("--since", metavar="TIME", help="Changed then or later.")
@click.option("--until", metavar="TIME", help="Changed before then.")
@click.option("--semantic", is_flag=True, default=None, help="Also what means the same.")
@click.option("--limit", type=int, metavar="N", help="At most so many.")
@calls("memory:recall", _many)
def recall(kind: str | None, **given: Any) -> Given:
    """Find what is remembered: the best match first, or the last changed without a QUERY."""
    return {"type": kind, **given}


@memory.command()
@click.argument("memory_id", metavar="ID")
@click.option("--content", metavar="TEXT")
@click.option("--type", "kind", type=TYPES)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Replaces all tags.")
@calls("memory:update", _one, changes=True)
def update(memory_id: str, kind: str | None, **given: Any) -> Given:
    """Change the named fields of a memory."""
    return {"id": memory_id, "type": kind, **given}


@memory.command()
@click.argument("memory_id", metavar="ID")
@calls("memory:forget", _gone, changes=True)
def forget(memory_id: str) -> Given:
    """Remove a memory for good."""
    return {"id": memory_id}
