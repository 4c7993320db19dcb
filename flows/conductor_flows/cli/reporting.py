"""The table that stands under an answer.

Promise: on standard error, so that a pipe gets the answer alone. Refusal: nothing is counted here.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import click

from conductor_flows.ir.model import FlowIR
from conductor_sdk.terminal_text import clean
from conductor_terminal.printing import print_table


def say_summary(flow: FlowIR, summary: dict[str, Any]) -> None:
    """Print what ran: for each node how often, how long, and what went wrong."""
    errors: dict[str, list[str]] = defaultdict(list)
    for each in summary["errors"]:
        errors[each["alias"]].append(f"{each['count']} {each['error_kind']}")
    rows = [
        (each["alias"], each["invocations"], f"{each['avg_ms']:.2f}".rjust(6),
         ", ".join(errors[each["alias"]]) or "-")
        for each in summary["nodes"]
    ]  # fmt: skip
    events = summary.get("stream_events")
    told = "" if events is None else f", {events} pieces"
    took = f"{summary['duration_ms']:.1f} ms{told}"
    click.echo(clean(f"{flow.name} {flow.version}: {took}"), err=True)
    print_table(["node", "calls", "avg ms", "errors"], rows, err=True)
