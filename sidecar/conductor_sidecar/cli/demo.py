"""`conductor demo`: the guided tour, and `make run`'s endless variant.

Promise: a temporary workspace, this machine only, nothing left behind. Refusal: no faked output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from conductor_sidecar.cli.options import json_option

if TYPE_CHECKING:
    from conductor_sidecar.playground import Playground

RECOVER_EVERY_S = 3.0
JOB_EVERY_S = 1.0


@click.command()
@click.option("--forever", is_flag=True, help="Let events flow until Ctrl-C instead.")
@json_option
def demo(forever: bool, as_json: bool) -> None:
    """Start a conductor and a sidecar on this machine and show the delivery contract.

    Takes a few seconds, uses a temporary directory and a real WebSocket on 127.0.0.1. Exit code 0:
    everything that is promised was observed; 5: something was not.
    """
    import asyncio
    import tempfile
    from pathlib import Path

    from conductor_sidecar.logs import configure
    from conductor_sidecar.settings import LogSettings

    configure(LogSettings(level="error"))
    with tempfile.TemporaryDirectory(prefix="conductor-") as directory:
        try:
            asyncio.run(_run(Path(directory), forever=forever, as_json=as_json))
        except KeyboardInterrupt:
            if not forever:
                raise  # the tour did not come to its end
            click.echo("stopped; nothing is left behind")


async def _run(directory: Any, *, forever: bool, as_json: bool) -> None:
    from conductor_sdk.terminal_text import clean
    from conductor_sidecar.cli.status import show
    from conductor_sidecar.playground import playground
    from conductor_sidecar.tour import Tour
    from conductor_terminal.printing import print_json

    steps: list[dict[str, str]] = []

    def say(name: str, text: str) -> None:
        steps.append({"step": name, "observed": text})
        if not as_json:
            click.echo(clean(f"{len(steps):>2}  {name:<15} {text}"))

    packs = {"acme_demo": {"every_s": JOB_EVERY_S}} if forever else {}
    async with playground(directory, packs) as ground:
        if forever:
            await _flow(ground)
            return
        report = await Tour(ground, say).walk()
    if as_json:
        print_json({"steps": steps, "status": report})
    else:
        click.echo()
        show(report)


async def _flow(ground: Playground) -> None:
    """Show events in both directions until cancelled."""
    import asyncio

    from conductor_sidecar.playground import SUBJECT
    from conductor_sidecar.tour import RECOVERY

    address = await ground.open_conductor()
    await ground.enroll(address)
    click.echo(f"conductor {address.url}, sidecar in {ground.workspace.root}; Ctrl-C stops both")
    click.echo(f"try:  conductor status -w {ground.workspace.root}")

    async def ask_for_recovery() -> None:
        number = 0
        while True:
            await asyncio.sleep(RECOVER_EVERY_S)
            number += 1
            payload = {"wu_id": f"acme-job-{number}"}
            await ground.conductor.send(SUBJECT, RECOVERY, payload, f"recover-{number}")

    watching = asyncio.create_task(_watch_conductor(ground), name="demo.conductor")
    await ground.start_sidecar()
    async with asyncio.TaskGroup() as group:
        group.create_task(ask_for_recovery(), name="demo.recovery")
        group.create_task(_watch_sidecar(ground), name="demo.activity")
        await watching


async def _watch_conductor(ground: Playground) -> None:
    from conductor_sdk.terminal_text import clean

    async for activity in ground.conductor.watch():
        for event in activity.events:
            click.echo(clean(f"conductor  {activity.what:<10} {event.kind}  {event.event_id}"))


async def _watch_sidecar(ground: Playground) -> None:
    from conductor_sdk.terminal_text import clean
    from conductor_sidecar.activity_stream import follow_async

    async for item in follow_async(ground.workspace):
        text = "  ".join(part for part in (item.kind, item.event_id, item.detail) if part)
        click.echo(clean(f"sidecar    {item.what:<10} {text}"))
