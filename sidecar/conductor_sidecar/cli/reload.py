"""`conductor reload`: the running sidecar takes over its configuration as it is now.

Promise: it prints what changed, or what would have, and whether a restart is needed for some of it.
Refusal: it changes no file, and without a running sidecar there is nothing to reload.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conductor_sidecar.cli.options import json_option, workspace_option
from conductor_sidecar.errors import ConfigInvalid

if TYPE_CHECKING:
    from conductor_sdk.errors import ConductorError

ANSWER_S = 300.0
"""Seconds for an answer: handlers, requests, tools of packs that go, and a link are waited for."""


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@workspace_option
@json_option
def reload(dry_run: bool, workspace: Path, as_json: bool) -> None:
    """Take over conductor.toml, enabled packs and manifests as they are now.

    All of it or nothing: where something is wrong the sidecar goes on as it was. Handlers that run
    are waited for, at most reload.timeout_s. SIGHUP asks for the same.

    \b
    Exit codes: 0 done, or nothing to do (changes that need a restart are named),
                1 refused: a pack, a tool or an address, 6 busy: try again,
                69 no sidecar runs, 78 bad configuration.
    """
    from conductor_terminal.printing import print_json

    report = _asked(workspace, dry_run=dry_run)
    if as_json:
        print_json(report)
        return
    _print(report["changes"])
    click.echo(_summary(report))


def _asked(workspace: Path, *, dry_run: bool) -> dict[str, Any]:
    from conductor_sdk.client import SidecarAnswered
    from conductor_sidecar.cli.reach import Reach

    try:
        return Reach(workspace).request(
            "POST", "/v1/reload", {"dry_run": dry_run}, timeout_s=ANSWER_S
        )  # fmt: skip
    except SidecarAnswered as error:
        raise _restored(error) from None


def _restored(error: ConductorError) -> ConductorError:
    """Turn an answered error into the class that has its exit code."""
    from conductor_sidecar.http.errors import ListenFailed, ListenRefused
    from conductor_sidecar.reload.errors import (
        ReloadBusy,
        ReloadFailed,
        ReloadPackRefused,
        ReloadTimeout,
        ReloadToolRefused,
    )

    code = str(error.data.get("code"))
    kinds = {
        kind.code: kind
        for kind in (ConfigInvalid, ReloadBusy, ReloadFailed, ReloadPackRefused, ReloadTimeout,
                     ReloadToolRefused, ListenFailed, ListenRefused)
    }  # fmt: skip
    kind = kinds.get(code)
    if kind is None:
        return error
    text = error.detail.removesuffix(f"[{code}]").strip()
    detail = text.removeprefix(kind().message).removeprefix(":").strip()
    return kind(detail, hint=error.hint, data=error.data)


def _print(changes: list[dict[str, Any]]) -> None:
    from conductor_terminal.printing import print_table

    if changes:
        rows = [
            (
                change["what"], change["name"], _how(change),
                "restart" if change.get("effect") == "restart" else "live",
            )
            for change in changes
        ]  # fmt: skip
        print_table(("WHAT", "NAME", "CHANGE", "EFFECT"), rows)
    for change in changes:
        if why := change.get("why"):
            click.echo(f"{change['name']} needs a restart: {why}")


def _how(change: dict[str, Any]) -> str:
    old, new = change.get("old"), change.get("new")
    if old is None and new is None:
        return str(change["action"])
    return f"{'-' if old is None else old} -> {'-' if new is None else new}"


def _summary(report: dict[str, Any]) -> str:
    restart = "; what needs a restart waits for it" if report["restart_needed"] else ""
    match report["outcome"]:
        case "unchanged":
            return "nothing has changed"
        case "planned":
            return f"nothing is taken over yet: this is a dry run{restart}"
        case _:
            told = report.get("conductor_told")
            late = "; the conductor learns of the packs with the next link" if told is False else ""
            return f"reloaded{restart}{late}"
