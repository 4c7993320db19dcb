"""`conductor status`: link, cursor, lanes, queue, counters, last errors.

Promise: the numbers are one snapshot, and the sum line says whether anything is unaccounted for.
Refusal: looking changes nothing.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conductor_sidecar.cli.options import json_option, workspace_option

if TYPE_CHECKING:
    from conductor_sidecar.desk import StoreDesk

WATCH_S = 1.0


@click.command()
@workspace_option
@json_option
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
def status(workspace: Path, as_json: bool, watch: bool) -> None:
    """Show how the sidecar of this workspace is doing.

    Works without a running daemon too: then it reads the stores. Exit code 0: a daemon runs;
    3: none has ever run here.
    """
    import time

    from conductor_sidecar.cli.reach import Reach
    from conductor_terminal.printing import print_json, print_line

    reach = Reach(workspace)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            report = _read(reach)
            if not watch:
                print_json(report) if as_json else show(report)
                return
            if as_json:
                print_line(report)
            else:
                click.clear()
                show(report)
            time.sleep(WATCH_S)


def _read(reach: Any) -> dict[str, Any]:
    import msgspec

    from conductor_sidecar import __version__
    from conductor_sidecar.report import StatusReport

    def online() -> dict[str, Any]:
        report: dict[str, Any] = reach.request("GET", "/v1/status")
        return report

    async def offline(desk: StoreDesk) -> dict[str, Any]:
        facts = await desk.facts()
        report = StatusReport(
            workspace=reach.workspace.shown, running=False, version=__version__,
            cursor=facts.cursor, backlog=facts.backlog, outbox=facts.outbox,
            dead_letters=facts.dead_letters, approvals_pending=facts.approvals_pending,
            inbound=facts.inbound, outbound=facts.outbound, balanced=facts.balanced,
        )  # fmt: skip
        built: dict[str, Any] = msgspec.to_builtins(report)
        return built

    answer: dict[str, Any] = reach.either(online, offline)
    return answer


def show(report: dict[str, Any]) -> None:
    """Print a status report for people."""
    _show_link(report)
    outbox = report["outbox"]
    _fact("cursor", f"#{report['cursor']['sequence']} of epoch {report['cursor']['epoch'] or '-'}")
    _fact("backlog", f"{report['backlog']} stored and not settled")
    if report.get("lanes"):
        lanes = report["lanes"]
        text = ", ".join(f"{lanes[name]} {name}" for name in ("lanes", "running", "waiting"))
        _fact("lanes", text)
    from conductor_terminal.printing import age, size

    oldest = age(outbox["oldest_age_s"])
    _fact("outbox", f"{outbox['events']} events, {size(outbox['bytes'])}, oldest {oldest}")
    _fact("dead letters", str(report["dead_letters"]))
    _fact("approvals", f"{report['approvals_pending']} wait for a decision")
    _show_counts("inbound", report["inbound"])
    _show_counts("outbound", report["outbound"])
    word = "holds" if report["balanced"] else "IS BROKEN: run conductor doctor"
    click.echo(f"\naccepted = delivered + buffered + dropped + dead: {word}")
    _show_troubles(report)


def _show_link(report: dict[str, Any]) -> None:
    state = f"running, pid {report['pid']}" if report["running"] else "not running"
    _fact("sidecar", state)
    _fact("workspace", report["workspace"])
    link = report.get("link")
    if link is not None:
        _fact("subject", report.get("subject") or "-")
        retry = f", next try in {link['retry_in_s']} s" if link["retry_in_s"] is not None else ""
        _fact("link", f"{link['state']} ({link['adapter']}){retry}")
        if link["reason"]:
            _fact("", link["reason"])
    if report.get("http"):
        _fact("tools", report["http"])
    _show_health(report.get("health"))


def _show_health(health: dict[str, Any] | None) -> None:
    if health is None:
        return
    word = "live" if health["live"]["ok"] else "stuck"
    _fact("health", f"{word}, {health['ready']['state'].replace('_', ' ')}")
    for reason in health["ready"]["reasons"]:
        _fact("", f"{reason['code']}: {reason['detail']}")


def _show_counts(direction: str, counts: dict[str, Any]) -> None:
    from conductor_terminal.printing import print_table

    if not counts:
        return
    click.echo()
    rows = [
        (
            kind or "(refused)",
            of["accepted"],
            of["delivered"],
            of["buffered"],
            sum(of["dropped"].values()),
            of["dead_lettered"],
            of["duplicates"] + of["replayed"],
            ", ".join(f"{why} {n}" for why, n in sorted(of["dropped"].items())),
        )
        for kind, of in sorted(counts.items())
    ]
    headings = [direction, "accepted", "done", "waiting", "dropped", "dead", "again", ""]
    print_table(headings, rows)


def _show_troubles(report: dict[str, Any]) -> None:
    refused = [pack for pack in report.get("packs", []) if pack["state"] == "refused"]
    for pack in refused:
        for problem in pack["problems"]:
            _fact("pack refused", f"{pack['slug']}: {problem['message']}")
    for code, count in sorted(report.get("refusals", {}).items()):
        _fact("refused", f"{count} x {code}")
    for error in report.get("errors", [])[-5:]:
        _fact("error", f"{error['at']} {error['code']}: {error['message']}")


def _fact(name: str, text: str) -> None:
    import textwrap

    from conductor_sdk.terminal_text import WIDTH, clean

    indent = " " * 14
    first = f"{clean(name):<13} "
    for line in textwrap.wrap(
        clean(text), WIDTH, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    ) or [first.rstrip()]:
        click.echo(line)
