"""`conductor dead-letters`: events that were given up.

Promise: nothing is redriven or dropped that was not named, and `--dry-run` touches nothing.
Refusal: a dead letter never goes away by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conductor_sidecar.cli.options import json_option, workspace_option

if TYPE_CHECKING:
    from conductor_sidecar.desk import StoreDesk


@click.group(name="dead-letters")
def dead_letters() -> None:
    """List, show, redrive or drop events that were given up.

    An event becomes a dead letter after dispatch.max_attempts failures, or when its handler
    rejects it. It stays, with payload and error, until someone redrives or drops it.
    """


@dead_letters.command(name="list")
@workspace_option
@json_option
@click.option("--kind", metavar="KIND", help="Only this kind.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True,
              metavar="N", help="At most so many.")  # fmt: skip
@click.option("--after", type=click.IntRange(0, 10**15 - 1), default=0, metavar="POSITION",
              help="Go on after a position.")  # fmt: skip
def list_(workspace: Path, as_json: bool, kind: str | None, limit: int, after: int) -> None:
    """List dead letters, oldest first."""
    from urllib.parse import urlencode

    from conductor_sidecar.cli.reach import Reach
    from conductor_sidecar.dead_letter_json import letter_json
    from conductor_terminal.printing import print_json, print_table

    reach = Reach(workspace)
    query = {"limit": limit, "after": after, **({"kind": kind} if kind else {})}

    def online() -> list[dict[str, Any]]:
        path = f"/v1/dead-letters?{urlencode(query)}"
        letters: list[dict[str, Any]] = reach.request("GET", path)["dead_letters"]
        return letters

    async def offline(desk: StoreDesk) -> list[dict[str, Any]]:
        return [letter_json(letter) for letter in await desk.letters(kind, limit, after)]

    letters = reach.either(online, offline)
    if as_json:
        print_json({"dead_letters": letters})
        return
    if not letters:
        click.echo("No dead letters.")
        return
    rows = [
        (letter["position"], letter["event_id"], letter["kind"], letter["error_code"])
        for letter in letters
    ]
    print_table(["position", "event", "kind", "error"], rows)


@dead_letters.command()
@click.argument("event_id")
@workspace_option
@json_option
def show(event_id: str, workspace: Path, as_json: bool) -> None:
    """Show one dead letter with its payload and its error."""
    from urllib.parse import quote

    from conductor_sdk.terminal_text import clean
    from conductor_sidecar.cli.reach import Reach
    from conductor_sidecar.dead_letter_json import letter_json
    from conductor_terminal.printing import print_json

    reach = Reach(workspace)

    def online() -> dict[str, Any]:
        return reach.request("GET", f"/v1/dead-letters/{quote(event_id, safe='')}")

    async def offline(desk: StoreDesk) -> dict[str, Any]:
        return letter_json(await desk.letter(event_id))

    letter = reach.either(online, offline)
    if as_json:
        print_json(letter)
        return
    for name in ("event_id", "trace_id", "kind", "error_code", "error", "attempts", "redrives"):
        click.echo(clean(f"{name + ':':<12}{letter[name]}"))
    print_json(letter["event"])


def _selection(function: Any) -> Any:
    for decorate in (
        click.option("--dry-run", is_flag=True, help="Say what would happen; touch nothing."),
        click.option("--all", "everything", is_flag=True, help="All of them, or all of --kind."),
        click.option("--kind", metavar="KIND", help="With --all: only this kind."),
        json_option,
        workspace_option,
        click.argument("event_ids", nargs=-1),
    ):
        function = decorate(function)
    return function


@dead_letters.command()
@_selection
def redrive(**choice: Any) -> None:
    """Run dead letters again, with no attempts counted. The journal keeps a record."""
    _change("redrive", "redriven", **choice)


@dead_letters.command()
@_selection
def drop(**choice: Any) -> None:
    """Forget dead letters for good: dropped{operator}. The journal keeps a record."""
    _change("drop", "dropped", **choice)


def _change(
    verb: str, past: str, *, event_ids: tuple[str, ...], kind: str | None, everything: bool,
    dry_run: bool, workspace: Path, as_json: bool,
) -> None:  # fmt: skip
    from conductor_sdk.terminal_text import clean
    from conductor_sidecar.cli.reach import Reach
    from conductor_terminal.printing import print_json

    if bool(event_ids) == everything:
        raise click.UsageError(f"name the events to {verb}, or give --all")
    reach = Reach(workspace)
    body = {"event_ids": list(event_ids), "kind": kind, "all": everything, "dry_run": dry_run}

    def online() -> list[str]:
        done: list[str] = reach.request("POST", f"/v1/dead-letters/{verb}", body)["event_ids"]
        return done

    async def offline(desk: StoreDesk) -> list[str]:
        chosen = await desk.select(event_ids, kind=kind, everything=everything)
        if not dry_run:
            await (desk.redrive(chosen) if verb == "redrive" else desk.drop(chosen))
        return chosen

    done = reach.either(online, offline)
    if as_json:
        print_json({"event_ids": done, "dry_run": dry_run})
        return
    word = f"would be {past}" if dry_run else past
    for event_id in done:
        click.echo(clean(f"{word}  {event_id}"))
    click.echo(f"{len(done)} {word}.")
