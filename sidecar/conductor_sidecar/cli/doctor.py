"""`conductor doctor`: checks of this workspace and machine.

Promise: every finding that is not ok names the next command. Refusal: nothing is changed without
`--fix`, and no data with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conductor_sidecar.cli.options import config_option, json_option, workspace_option

if TYPE_CHECKING:
    from conductor_sidecar.checkup.finding import Check, Result

MARKS = {"ok": "ok", "warn": "WARN", "fail": "FAIL", "skip": "-"}
SCHEMA = 1
"""Of the JSON; it grows, and what is there stays."""


@click.command()
@workspace_option
@config_option
@click.option("--only", multiple=True, metavar="ID", help="This check or group; may be repeated.")
@click.option("--list", "list_them", is_flag=True, help="List the checks; nothing is looked at.")
@click.option("--offline", is_flag=True, help="Ask nothing of the network.")
@click.option("--fix", is_flag=True, help="Mend modes, stale sockets and the like; never data.")
@click.option("--yes", is_flag=True, help="With --fix: remove old leftovers without asking.")
@click.option("--strict", is_flag=True, help="Warnings fail too.")
@json_option
def doctor(
    workspace: Path, config_file: Path | None, only: tuple[str, ...], *, list_them: bool,
    offline: bool, fix: bool, yes: bool, strict: bool, as_json: bool,
) -> int:  # fmt: skip
    """Check this workspace and the machine; needs neither enrollment nor a running daemon.

    \b
    Exit codes: 0 nothing failed; warnings may stand, unless --strict.
                1 something did.
    Each check: docs/reference/doctor.md.
    """
    import os

    from conductor_sdk.clock import SystemClock
    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar.checkup.scene import Scene
    from conductor_sidecar.doctor import Doctor

    _refuse_unknown(only)
    if list_them:
        _list(only, as_json=as_json)
        return 0
    scene = Scene(
        resolve_workspace(workspace), os.environ, SystemClock(), offline, config_file=config_file
    )
    examiner = Doctor(scene)
    results = examiner.examine(only)
    if fix:
        results = examiner.mend(results, lambda check: yes or _agreed(check, as_json=as_json))
    _show(results, as_json=as_json)
    bad = {"fail", "warn"} if strict else {"fail"}
    return int(any(result.state in bad for result in results))


def _refuse_unknown(only: Sequence[str]) -> None:
    from conductor_sidecar.checkup.registry import CHECKS

    known = {name for check in CHECKS for name in (check.id, check.group)}
    for name in only:
        if name not in known:
            raise click.BadParameter(f"{name!r}; see: conductor doctor --list", param_hint="--only")


def _list(only: Sequence[str], *, as_json: bool) -> None:
    from conductor_sidecar.checkup.registry import CHECKS
    from conductor_terminal.printing import print_json, print_table

    chosen = [check for check in CHECKS if not only or {check.id, check.group} & set(only)]
    if as_json:
        shown = [
            {"id": each.id, "name": each.name, "severity": each.severity, "looks_at": each.sentence,
             "fix": each.mend.does if each.mend else None, "network": each.network}
            for each in chosen
        ]  # fmt: skip
        print_json({"schema": SCHEMA, "checks": shown})
        return
    rows = [(each.id, each.severity, each.sentence.replace("`", "")) for each in chosen]
    print_table(["id", "worst", "looks at"], rows)


def _agreed(check: Check, *, as_json: bool) -> bool:
    import sys

    if as_json or not sys.stdin.isatty() or check.mend is None:
        return False
    return click.confirm(f"{check.id}: {check.mend.does} Do it?")


def _show(results: Sequence[Result], *, as_json: bool) -> None:
    from conductor_terminal.printing import print_json, print_table

    counts = {state: sum(1 for each in results if each.state == state) for state in MARKS}
    if as_json:
        print_json({"schema": SCHEMA, "checks": results, "counts": counts})
        return
    width = max((len(each.name) for each in results), default=0)
    for group in dict.fromkeys(each.group for each in results):
        rows = [row for each in results if each.group == group for row in _rows(each, width)]
        print_table(["    ", group.ljust(width), ""], rows)
        click.echo()
    click.echo(", ".join(f"{count} {_WORDS[state]}" for state, count in counts.items()))


_WORDS = {"ok": "ok", "warn": "to look at", "fail": "failed", "skip": "not looked at"}


def _rows(result: Result, width: int) -> Iterator[tuple[str, str, str]]:
    hint = f"; next: {result.hint.removeprefix('run: ')}" if result.hint else ""
    yield MARKS[result.state], result.name.ljust(width), result.detail + hint
    for line in result.fixed:
        yield "", "", f"fixed: {line}"
