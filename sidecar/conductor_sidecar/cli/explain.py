"""`conductor explain`: the story of one event.

Promise: every step that a store still knows, with its time. Refusal: nothing is changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conductor_sidecar.cli.options import json_option, workspace_option

if TYPE_CHECKING:
    from conductor_sidecar.desk import StoreDesk


@click.command()
@click.argument("event_id")
@workspace_option
@json_option
def explain(event_id: str, workspace: Path, as_json: bool) -> None:
    """Tell the story of one event: received, stored, each attempt, settled; or pushed, confirmed.

    Works while the daemon runs and without it. Exit code 3: the event is not known here, or was
    forgotten after retention.days.
    """
    from urllib.parse import quote

    import msgspec

    from conductor_sidecar.cli.reach import Reach
    from conductor_terminal.printing import print_json

    reach = Reach(workspace)

    def online() -> list[dict[str, Any]]:
        path = f"/v1/explain/{quote(event_id, safe='')}"
        stories: list[dict[str, Any]] = reach.request("GET", path)["stories"]
        return stories

    async def offline(desk: StoreDesk) -> list[dict[str, Any]]:
        stories: list[dict[str, Any]] = msgspec.to_builtins(await desk.explain(event_id))
        return stories

    stories = reach.either(online, offline)
    if as_json:
        print_json({"stories": stories})
    else:
        for story in stories:
            _print(story)


def _print(story: dict[str, Any]) -> None:
    from conductor_sdk.clock import from_epoch_ms, wire_time
    from conductor_sdk.terminal_text import clean
    from conductor_terminal.printing import print_table

    click.echo(clean(f"{story['event_id']}  {story['kind']}"))
    click.echo(clean(f"{story['direction']}, {story['state']}"))
    click.echo(clean(f"trace {story['trace_id']}"))
    steps = story["steps"]
    first = steps[0]["at_ms"] if steps else 0
    rows = [
        (
            wire_time(from_epoch_ms(step["at_ms"])),
            f"{step['at_ms'] - first:+d} ms",
            step["what"],
            step.get("detail", ""),
        )
        for step in steps
    ]
    print_table(["time", "since", "what", "detail"], rows)
