"""`conductor dev`: an embedded conductor for development, and the calls to a running one.

Promise: what only needs the history works whether a conductor runs or not. Refusal: no token is
printed unless it was asked for; `token issue` writes a private file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conductor_sdk.terminal_text import clean
from conductor_sidecar.cli.dev_mqtt import beside
from conductor_sidecar.cli.dev_options import (
    DIRECTORY,
    directory_option,
    open_history,
    with_client,
)
from conductor_sidecar.cli.dev_tokens import token
from conductor_sidecar.cli.options import json_option, traceparent_option
from conductor_sidecar.cli.push import parse_payload
from conductor_terminal.printing import print_json, print_line, print_table

if TYPE_CHECKING:
    from conductor_server.dev_client import DevClient

_FOLLOW_S = 20
_PAGE = 500


@click.group(invoke_without_command=True)
@directory_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N",
              help="0: any free one; default: that of the last run.")  # fmt: skip
@click.option("--allow-remote", is_flag=True, help="Allow a host that other machines reach.")
@click.option("--workspace", "workspaces", multiple=True, metavar="NAME",
              help="Make an enrollment token file for it; may be repeated.")  # fmt: skip
@click.option("--fault", "faults", multiple=True, metavar="NAME[=VALUE]",
              help="Misbehave from the start; see `conductor dev fault --help`.")  # fmt: skip
@click.option("--mqtt", metavar="URL", help="Serve over a broker too: mqtts://HOST:PORT/ROOT.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides which frames.")
@click.pass_context
def dev(
    ctx: click.Context, directory: Path | None, port: int | None, host: str, seed: int,
    workspaces: tuple[str, ...], faults: tuple[str, ...], mqtt: str | None, *, allow_remote: bool,
) -> None:  # fmt: skip
    """Run an embedded conductor in the foreground, until Ctrl-C.

    It prints one line per event. Try: conductor dev --workspace NAME
    """
    ctx.obj = directory or DIRECTORY
    if ctx.invoked_subcommand is not None:
        return
    from conductor_server.dev_directory import DevDirectory
    from conductor_server.dev_run import DevOptions

    _run(
        DevOptions(
            directory=DevDirectory(ctx.obj), host=host, port=port, allow_remote=allow_remote,
            workspaces=workspaces, faults=faults, seed=seed,
        ),
        beside(mqtt, ctx.obj),
    )  # fmt: skip


def _run(options: Any, also: Any) -> None:
    import asyncio
    import signal

    from conductor_server.dev_run import run_dev

    async def until_signal() -> None:
        serving = run_dev(options, open_history, _say, beside=also)
        running = asyncio.create_task(serving, name="conductor-dev")
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        try:
            await running
        except asyncio.CancelledError:
            _say("stopped")

    asyncio.run(until_signal())


def _say(line: str) -> None:
    click.echo(line)  # It flushes, so that a pipe sees each line at once.


@dev.command()
@with_client
@click.argument("kind")
@click.option("--to", "workspace", required=True, metavar="WORKSPACE", help="Who gets it.")
@click.option("--payload", default="{}", show_default=True, metavar="JSON", help="An object.")
@click.option("--key", metavar="K", help="The same kind and key give the same event id.")
@click.option("--count", type=click.IntRange(1, 100_000), default=1, show_default=True)
@click.option("--again", is_flag=True, help="A resend: a new sequence even for a known id.")
@traceparent_option
@json_option
def send(
    client: DevClient, kind: str, workspace: str, payload: str,
    key: str | None, count: int, traceparent: str | None, *, again: bool, as_json: bool,
) -> None:  # fmt: skip
    """Send an event down; without a running conductor it waits in the history."""
    body = {
        "workspace": workspace, "kind": kind, "payload": parse_payload(payload),
        "idempotency_key": key, "count": count, "again": again, "traceparent": traceparent,
    }  # fmt: skip
    answer = client.ask("POST", "/dev/send", body)
    for event in answer["events"]:
        _print(event, f"{event['sequence']}  {event['event_id']}", as_json=as_json)


@dev.command()
@with_client
@click.option("--from", "workspace", metavar="WORKSPACE", help="Only what this one pushed.")
@click.option("--after", type=click.IntRange(0), default=0, show_default=True, metavar="SEQUENCE")
@click.option("--follow", "-f", is_flag=True, help="Go on with new ones, until Ctrl-C.")
@json_option
def events(
    client: DevClient, workspace: str | None, after: int, *, follow: bool, as_json: bool,
) -> None:  # fmt: skip
    """List what sidecars pushed, in the order of arrival."""
    import contextlib

    with contextlib.suppress(KeyboardInterrupt):
        while True:
            query = {
                "workspace": workspace, "after": after, "limit": _PAGE,
                "wait_s": _FOLLOW_S if follow else None,
            }  # fmt: skip
            page = client.ask("GET", "/dev/events", query=query, live=follow)["events"]
            for event in page:
                after = event["sequence"]
                text = f"{event['sequence']}  {event['kind']}  {event['event_id']}"
                _print(event, text, as_json=as_json)
            if not follow and len(page) < _PAGE:
                return


@dev.command()
@with_client
@json_option
def workspaces(client: DevClient, *, as_json: bool) -> None:
    """List the workspaces: whether connected, how far sent and stored."""
    found = client.ask("GET", "/dev/workspaces")["workspaces"]
    if as_json:
        print_json({"workspaces": found})
        return
    rows = [
        (w["workspace"], "yes" if w["connected"] else "no", w["last"], w["sent"], w["acked"],
         w["journal_problem"] or w["software"])
        for w in found
    ]  # fmt: skip
    print_table(("WORKSPACE", "CONNECTED", "LAST", "SENT", "ACKED", "SOFTWARE"), rows)


@dev.command()
@with_client
@click.option("--forget", is_flag=True, help="Begin a new history: every sidecar sees a gap.")
def restart(client: DevClient, *, forget: bool) -> None:
    """Drop every link, as a restarted conductor would."""
    answer = client.ask("POST", "/dev/restart", {"forget": forget}, live=True)
    click.echo(f"restarted with history {answer['epoch']}")


dev.add_command(token)


@dev.group()
def fault() -> None:
    """Make the running conductor misbehave.

    \b
    drop=P duplicate=P reorder=P   per frame, probability 0 to 1
    delay=SECONDS[@P]              the frame and all behind it wait
    black_hole                     accept, then silence
    close_after=N                  cut a link after N frames
    refuse=STATUS[@RETRY_AFTER]    refuse new links and enrollments

    With the prefix down. or up. a frame fault holds for one direction.
    """


@fault.command("set")
@with_client
@click.argument("faults", nargs=-1, required=True)
def set_faults(client: DevClient, faults: tuple[str, ...]) -> None:
    """Turn faults on, beside those that are on; =0 turns one off."""
    _print_faults(client.ask("POST", "/dev/faults", {"faults": faults}, live=True))


@fault.command()
@with_client
def clear(client: DevClient) -> None:
    """Turn every fault off."""
    _print_faults(client.ask("DELETE", "/dev/faults", live=True))


@fault.command()
@with_client
@json_option
def show(client: DevClient, *, as_json: bool) -> None:
    """Show which faults are on, and how often each has struck."""
    answer = client.ask("GET", "/dev/faults", live=True)
    if as_json:
        print_json(answer)
    else:
        _print_faults(answer)


def _print(value: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        print_line(value)
    else:
        _say(clean(text))


def _print_faults(answer: Mapping[str, Any]) -> None:
    click.echo(" ".join(answer["faults"]) or "no faults")
    struck = ", ".join(f"{name} {count}" for name, count in sorted(answer["counts"].items()))
    click.echo(f"seed {answer['seed']}" + (f"; so far: {struck}" if struck else ""))
