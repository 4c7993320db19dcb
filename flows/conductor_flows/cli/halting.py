"""What is said of a run that waits.

Promise: whoever reads it can let the run go on by typing the command that it ends with. Refusal:
nothing is resumed here.
"""

from __future__ import annotations

import shlex
from typing import Any

import click

from conductor_flows.cli.provided import Kept
from conductor_flows.execute.outcomes import Halted
from conductor_flows.ir.model import FlowIR
from conductor_sdk.terminal_text import clean


def halted_json(flow: FlowIR, halted: Halted, spec: str, kept: Kept | None) -> dict[str, Any]:
    """Return what a program may want to know of a halt."""
    kind = wait_kind(flow, halted.alias)
    return {
        "halted": True,
        "node": halted.alias,
        "kind": kind,
        "payload": halted.payload,
        "checkpoint_id": halted.checkpoint_id,
        "token": halted.token,
        "next": _next(kind, halted.checkpoint_id, spec, kept),
    }


def wait_kind(flow: FlowIR, alias: str) -> str:
    """Return what a halt node waits for: timer, callback or approval."""
    node = next((node for node in flow.nodes if node.alias == alias), None)
    identifier = "" if node is None else node.identifier.replace(".", "::")
    if identifier.startswith("std::timer"):
        return "timer"
    return "approval" if identifier.startswith("std::hitl") else "callback"


def _next(kind: str, checkpoint_id: str | None, spec: str, kept: Kept | None) -> str | None:
    if kept is None or kept.store == "memory" or checkpoint_id is None:
        return None
    where, flow = kept.option, shlex.quote(spec)
    match kind:
        case "timer":
            return f"flows resume run --due {flow}{where}"
        case "approval":
            return f"flows resume run {checkpoint_id} {flow} --approve{where}"
        case _:
            return f"flows resume run {checkpoint_id} {flow} --payload JSON{where}"


def say_halted(halt: dict[str, Any]) -> None:
    """Print it on standard error."""
    click.echo(clean(f"the run waits at {halt['node']} ({halt['kind']})"), err=True)
    click.echo(f"  checkpoint  {halt['checkpoint_id']}", err=True)
    if halt["token"]:
        click.echo(f"  token       {halt['token']}", err=True)
    then = halt["next"] or "nothing: kept in memory; use --checkpoint-store filesystem"
    click.echo(f"  next: {clean(then)}", err=True)
