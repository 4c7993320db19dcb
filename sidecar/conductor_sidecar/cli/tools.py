"""`conductor tools`: list, describe and call the tools of the loaded packs.

Promise: `list` and `describe` need no daemon and import no tool; `call` goes through the tool host,
in the daemon where one runs. Refusal: no rule is bent for the command line.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from conductor_sidecar.cli.options import config_option, json_option, workspace_option
from conductor_sidecar.cli.tool_tokens import token

if TYPE_CHECKING:
    from conductor_handlers.toolhost.catalogue import ToolProblem
    from conductor_handlers.toolhost.records import Listing
    from conductor_sdk.tool_output import ToolFault


def _toolset_option(function: Any) -> Any:
    return click.option(
        "--toolset", metavar="NAME",
        help="As if packs were configured with this tool set, for example full.",
    )(function)  # fmt: skip


@click.group()
def tools() -> None:
    """List, describe and call the tools that packs bring."""


tools.add_command(token)


@tools.command(name="list")
@workspace_option
@config_option
@_toolset_option
@json_option
def list_(workspace: Path, config_file: Path | None, toolset: str | None, as_json: bool) -> None:
    """List the tools of the loaded packs.

    Needs neither enrollment nor a running daemon.
    """
    from conductor_sdk.terminal_text import clean
    from conductor_terminal.printing import print_json, print_table

    found, problems = _listed(workspace, config_file, toolset)
    if as_json:
        print_json({"tools": found, "problems": problems})
        return
    if found:
        rows = [(tool.name, tool.permission, tool.pack, _about(tool)) for tool in found]
        print_table(["tool", "permission", "pack", "what it does"], rows)
    else:
        click.echo("No loaded pack declares a tool.")
    for problem in problems:
        name = problem.tool or "its tools"
        click.echo(clean(f"not offered: {problem.pack}: {name}: {problem.message}"), err=True)


@tools.command()
@click.argument("name")
@workspace_option
@config_option
@_toolset_option
@json_option
def describe(
    name: str, workspace: Path, config_file: Path | None, toolset: str | None, as_json: bool
) -> None:
    """Show what the tool NAME takes, gives, may touch and needs.

    Needs neither enrollment nor a running daemon.
    """
    from conductor_sidecar.cli.tool_page import show_tool
    from conductor_sidecar.errors import ToolNotFound
    from conductor_terminal.printing import print_json

    found, _ = _listed(workspace, config_file, toolset)
    tool = next((listing for listing in found if listing.name == name), None)
    if tool is None:
        raise ToolNotFound(repr(name))
    if as_json:
        print_json(tool)
    else:
        show_tool(tool)


@tools.command()
@click.argument("name")
@click.option("--input", "given", default="{}", metavar="JSON",
              help="A JSON object, @FILE, or - for standard input.")  # fmt: skip
@click.option("--key", metavar="KEY",
              help="Again with the same key: the first answer, no second effect.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Ask for a preview; refused where there is none.")
@workspace_option
@config_option
@json_option
@click.pass_context
def call(
    ctx: click.Context, name: str, given: str, key: str | None, dry_run: bool, workspace: Path,
    config_file: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Call the tool NAME, through the running daemon or without one.

    Prints what it gives, with --json the whole answer. Exit code 0: it succeeded; 2: the input
    is not valid; 3: the tool, or what it looked for, does not exist; 6: a call with this key is
    in progress; 1: anything else.
    """
    from conductor_sidecar.cli.tool_calls import call_tool, exit_of
    from conductor_terminal.printing import print_json

    output = call_tool(
        workspace, name, read_input(given), key=key, dry_run=dry_run, config_file=config_file
    )
    if as_json:
        print_json(output)
    else:
        if output.data is not None:
            print_json(output.data)
        if output.error is not None:
            _show_fault(name, output.error)
    ctx.exit(int(exit_of(output)))


def read_input(given: str) -> dict[str, Any]:
    """Read the value of `--input`.

    Raises:
        UsageWrong: It is not a JSON object.
        SystemRefused: The file cannot be read.
    """
    import sys

    from conductor_sdk.errors import UsageWrong
    from conductor_sidecar.http.bodies import decode_json
    from conductor_sidecar.http.errors import Refusal

    if given == "-":
        text = sys.stdin.buffer.read()
    elif given.startswith("@"):
        text = Path(given[1:]).read_bytes()
    else:
        text = given.encode()
    try:
        value = decode_json(text)  # as strict as over HTTP: no key twice, no NaN
    except Refusal as error:
        raise UsageWrong(f"--input is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageWrong("--input is not a JSON object")
    return cast("dict[str, Any]", value)


def _listed(
    workspace: Path, config_file: Path | None, toolset: str | None
) -> tuple[list[Listing], list[ToolProblem]]:
    import os

    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar.config import load_configuration
    from conductor_sidecar.pack_selection import selected_packs
    from conductor_sidecar.tools import listings_without_host

    root = resolve_workspace(workspace).root
    loaded = load_configuration(root, file=config_file, environ=os.environ)
    registry = selected_packs(loaded.settings)
    found, problems = listings_without_host(registry, loaded.settings, root, toolset)
    return found, list(problems)


def _about(tool: Listing) -> str:
    words = tool.description or tool.title or ""
    return words + (" (needs approval)" if tool.required_approvals else "")


def _show_fault(name: str, fault: ToolFault) -> None:
    """Say why a call did not succeed, and what to type next."""
    from conductor_sdk.terminal_text import clean
    from conductor_terminal.printing import json_text

    details = fault.details or {}
    click.echo(clean(f"conductor: {fault.message} [{fault.code}]"), err=True)
    for problem in details.get("problems", []):
        pointer = str(problem.get("pointer") or "/")
        click.echo(f"  {clean(pointer)}: {clean(str(problem.get('message', '')))}", err=True)
    others = {key: value for key, value in details.items() if key != "problems"}
    if others:
        click.echo(f"  {json_text(others)}", err=True)
    click.echo(f"  next: {_next(name, fault.code, details)}", err=True)


def _next(name: str, code: str, details: dict[str, Any]) -> str:
    match code:
        case "TOOL_NOT_FOUND":
            return "conductor tools list"
        case "APPROVAL_REQUIRED":
            return f"conductor approvals grant {details.get('request_id', 'ID')}"
        case "APPROVAL_DENIED":
            return f"conductor approvals show {details.get('request_id', 'ID')}"
        case "CALL_IN_PROGRESS" | "CALL_INTERRUPTED" | "TOOL_TIMEOUT" | "TOOL_EXECUTION_FAILED":
            return "conductor log tail"
        case "POLICY_DENIED" | "SCOPE_DENIED" | "TOOL_NOT_ALLOWLISTED":
            return "conductor config show"
        case _:
            return f"conductor tools describe {name}"
