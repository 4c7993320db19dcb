"""`conductor push`: one event up, by hand.

Promise: the same checks and receipts as a pack's own push. Refusal: it needs the running sidecar,
which owns the outbox.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from conductor_sidecar.cli.options import json_option, traceparent_option, workspace_option


@click.command()
@click.argument("kind")
@click.option("--payload", default="{}", metavar="JSON", help="The payload: a JSON object.")
@click.option("--key", metavar="KEY", help="Idempotency key: the same key is the same event.")
@traceparent_option
@workspace_option
@json_option
def push(
    kind: str, payload: str, key: str | None, traceparent: str | None, workspace: Path,
    as_json: bool,
) -> None:  # fmt: skip
    """Push one event through the running sidecar.

    KIND must be declared by a loaded pack (`conductor packs`). Prints what became of it: queued
    (durable, will reach the conductor), sent (ephemeral, on its way) or dropped, with the reason.
    """
    import asyncio

    from conductor_sdk.client import connect
    from conductor_sdk.terminal_text import clean
    from conductor_terminal.printing import print_json

    event: dict[str, Any] = {"kind": kind, "payload": parse_payload(payload)}
    if key is not None:
        event["idempotency_key"] = key
    if traceparent is not None:
        event["traceparent"] = traceparent
    receipt = asyncio.run(connect(workspace).sync_port.push_kernel_events([event]))[0]
    if as_json:
        print_json(receipt)
    else:
        reason = f" ({receipt.reason})" if receipt.reason else ""
        click.echo(clean(f"{receipt.status}{reason}  {receipt.kind}  {receipt.event_id}"))


def parse_payload(text: str) -> dict[str, Any]:
    """Read a JSON object from the command line.

    Raises:
        click.BadParameter: It is not one.
    """
    import msgspec

    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise click.BadParameter(f"not a JSON object: {error}", param_hint="--payload") from None
