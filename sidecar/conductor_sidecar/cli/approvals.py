"""`conductor approvals`: leave for single calls of tools.

Promise: works with and without a daemon; every decision is journaled, and `--dry-run` touches
nothing. Refusal: leave is for exactly the action that was asked for, and used once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conductor_sidecar.cli.options import json_option, workspace_option

if TYPE_CHECKING:
    from conductor_sidecar.desk import StoreDesk

STATES = ("pending", "granted", "denied", "used", "expired")


@click.group()
def approvals() -> None:
    """List, show, grant or deny leave for single calls of tools.

    A tool that needs leave asks for it at its first call. Leave is for exactly that tool, caller
    and input, is used once, and expires after approvals.ttl_s.
    """


@approvals.command(name="list")
@workspace_option
@json_option
@click.option("--state", "states", multiple=True, type=click.Choice(STATES),
              help="Only these; default: pending ones. May stand several times.")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Whatever their state.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True,
              metavar="N", help="At most so many.")  # fmt: skip
def list_(
    workspace: Path, as_json: bool, states: tuple[str, ...], everything: bool, limit: int
) -> None:
    """List requests, newest first."""
    from urllib.parse import urlencode

    from conductor_sidecar.approvals import approval_json
    from conductor_sidecar.cli.reach import Reach
    from conductor_terminal.printing import print_json, print_table

    wanted = () if everything else states or ("pending",)
    reach = Reach(workspace)

    def online() -> list[dict[str, Any]]:
        query = urlencode([*(("state", state) for state in wanted), ("limit", str(limit))])
        found: list[dict[str, Any]] = reach.request("GET", f"/v1/approvals?{query}")["approvals"]
        return found

    async def offline(desk: StoreDesk) -> list[dict[str, Any]]:
        return [approval_json(one) for one in await desk.approvals.list(wanted, limit)]

    found = reach.either(online, offline)
    if as_json:
        print_json({"approvals": found})
    elif not found:
        click.echo("No approvals." if everything else f"No approvals are {' or '.join(wanted)}.")
    else:
        rows = [(one["request_id"], one["state"], one["summary"]) for one in found]
        print_table(["request", "state", "action"], rows)


@approvals.command()
@click.argument("request_id")
@workspace_option
@json_option
def show(request_id: str, workspace: Path, as_json: bool) -> None:
    """Show one request and what became of it."""
    from urllib.parse import quote

    from conductor_sidecar.approvals import approval_json
    from conductor_sidecar.cli.reach import Reach
    from conductor_terminal.printing import print_json

    reach = Reach(workspace)

    def online() -> dict[str, Any]:
        return reach.request("GET", f"/v1/approvals/{quote(request_id, safe='')}")

    async def offline(desk: StoreDesk) -> dict[str, Any]:
        return approval_json(await desk.approvals.show(request_id))

    found = reach.either(online, offline)
    if as_json:
        print_json(found)
    else:
        _show(found)


def _decision(function: Any) -> Any:
    for decorate in (
        click.option("--dry-run", is_flag=True, help="Say what would happen; touch nothing."),
        click.option("--reason", metavar="TEXT", help="Shown to whoever asked; in the journal."),
        json_option,
        workspace_option,
        click.argument("request_id"),
    ):
        function = decorate(function)
    return function


@approvals.command()
@_decision
def grant(**choice: Any) -> None:
    """Give leave for the action of REQUEST_ID, once. The journal keeps a record."""
    _decide("grant", "granted", **choice)


@approvals.command()
@_decision
def deny(**choice: Any) -> None:
    """Refuse leave for the action of REQUEST_ID. The journal keeps a record."""
    _decide("deny", "denied", **choice)


def _decide(
    verb: str, past: str, *, request_id: str, reason: str | None, dry_run: bool, workspace: Path,
    as_json: bool,
) -> None:  # fmt: skip
    from urllib.parse import quote

    from conductor_sdk.terminal_text import clean
    from conductor_sidecar.approvals import approval_json
    from conductor_sidecar.cli.reach import Reach
    from conductor_terminal.printing import print_json

    reach = Reach(workspace)
    body = {"reason": reason, "dry_run": dry_run}

    def online() -> dict[str, Any]:
        return reach.request("POST", f"/v1/approvals/{quote(request_id, safe='')}/{verb}", body)

    async def offline(desk: StoreDesk) -> dict[str, Any]:
        decided = await desk.approvals.decide(
            request_id, granted=verb == "grant", reason=reason, dry_run=dry_run
        )
        return approval_json(decided)

    found = reach.either(online, offline)
    if as_json:
        print_json({**found, "dry_run": dry_run})
        return
    word = f"would be {past}" if dry_run else past
    click.echo(clean(f"{word}  {found['request_id']}  {found['summary']}"))


def _show(found: dict[str, Any]) -> None:
    from conductor_sdk.terminal_text import clean

    names = {
        "request_id": "request", "state": "state", "tool": "tool", "actor": "asked by",
        "summary": "action", "input_hash": "input hash", "requested_at": "requested",
        "expires_at": "expires", "decided_by": "decided by", "decided_at": "decided",
        "reason": "reason", "used_at": "used",
    }  # fmt: skip
    for field, label in names.items():
        if found[field] is not None:
            click.echo(clean(f"{label + ':':<12}{found[field]}"))
    click.echo(clean(f"{'approvals:':<12}{', '.join(found['approvals'])}"))
