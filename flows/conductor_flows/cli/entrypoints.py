"""`flows entrypoints`: the ways into a flow.

Promise: what is said to be OK is what `run local` and `run serve` go in by. Refusal: nothing runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from conductor_flows.cli.groups import FlowGroup
from conductor_flows.cli.options import checked_ends, end_options, json_option, spec_argument

if TYPE_CHECKING:
    from conductor_flows.execute.program import Program
    from conductor_flows.ir.model import FlowIR


@click.group(cls=FlowGroup, usual="check")
def entrypoints() -> None:
    """Check the ways into a flow."""


@entrypoints.command()
@spec_argument()
@end_options
@json_option
def check(spec: str, trigger: str | None, capture: str | None, *, as_json: bool) -> None:
    """Check that a flow is valid and that its ways in lead to its answers.

    Without --trigger and --capture: every declared entrypoint, or the only trigger and the only
    sink. --json tells the JSON Schemas of what goes in and comes out.

    \b
      flows entrypoints check my_flows:flow
      flows entrypoints check my_flows:flow --trigger take --capture normalize

    Exit codes: 0 OK, 2 an invalid flow, an unknown alias, or an alias that is no trigger.
    """
    from conductor_flows.cli.specs import is_document, program_of, valid_document
    from conductor_sdk.terminal_text import clean
    from conductor_terminal.printing import print_json

    chosen = checked_ends(trigger, capture)
    program = None if is_document(spec) else program_of(spec)
    flow = valid_document(spec) if program is None else program.flow
    found = _declared(flow, spec) if chosen is None else [_entry(*chosen)]
    for each in found:
        _check(flow, spec, each["trigger"], each["capture"])
    if as_json:
        told = [each | _schemas(program, each) for each in found]
        print_json({"status": "ok", "flow": flow.name, "entrypoints": told})
        return
    for each in found:
        route = f"  {each['method'] or 'POST'} {each['path']}" if each["path"] else ""
        deadline = f"  within {each['deadline_ms']} ms" if each["deadline_ms"] else ""
        click.echo(clean(f"OK  {each['trigger']} -> {each['capture']}{route}{deadline}"))


def _declared(flow: FlowIR, spec: str) -> list[dict[str, Any]]:
    from conductor_flows.cli.local import no_way_in
    from conductor_flows.execute.errors import UnknownAlias
    from conductor_flows.execute.runner import default_ends

    if flow.metadata.entrypoints:
        return [
            _entry(e.trigger_alias, e.capture_alias, e.route_path, e.method, e.deadline_ms)
            for e in flow.metadata.entrypoints
        ]
    try:
        ends = default_ends(flow)
    except UnknownAlias as error:
        choose = f"choose: flows entrypoints check {spec} --trigger ALIAS --capture ALIAS"
        error.hint = no_way_in(flow) or choose
        raise
    return [_entry(ends.trigger, ends.capture)]


def _entry(
    trigger: str, capture: str, path: str | None = None, method: str | None = None,
    deadline_ms: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "trigger": trigger, "capture": capture, "path": path, "method": method,
        "deadline_ms": deadline_ms,
    }  # fmt: skip


def _check(flow: FlowIR, spec: str, trigger: str, capture: str) -> None:
    from conductor_flows.execute.errors import UnknownAlias
    from conductor_flows.execute.planning.compiling import Ends, compile_plan
    from conductor_flows.ir.terms import SurfaceKind

    try:
        # Which surfaces a host serves is no question of the way in.
        compile_plan(flow, Ends(trigger, capture), served=frozenset(SurfaceKind))
    except UnknownAlias as error:
        error.hint = f"see the nodes: flows graph show {spec}"
        raise


def _schemas(program: Program | None, entry: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schemas of what goes in and comes out, where there are functions."""
    if program is None:
        return {}
    nodes = {node.alias: node.identifier for node in program.flow.nodes}
    into = program.handlers.get(nodes[entry["trigger"]])
    out = program.handlers.get(nodes[entry["capture"]])
    return {
        "takes": None if into is None else into.takes.schema(),
        "gives": None if out is None else out.gives.schema(),
    }
