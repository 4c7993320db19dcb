"""How a command calls its tool: the shared options, the call, the answer, the exit code.

Promise: every call goes through the tool host, as `conductor tools call` does, and a refusal names
the next command. Refusal: no storage is opened here.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import click

from conductor_sdk.errors import Exit

if TYPE_CHECKING:
    from conductor_sdk.command import CommandHost
    from conductor_sdk.tool_output import ToolFault, ToolOutput

Given: TypeAlias = dict[str, Any]
Show: TypeAlias = Callable[[Mapping[str, Any]], None]

EXITS: Mapping[str, Exit] = {
    "INVALID_INPUT": Exit.USAGE,
    "TOOL_NOT_FOUND": Exit.NOT_FOUND,
    "NOT_FOUND": Exit.NOT_FOUND,
    "CALL_IN_PROGRESS": Exit.BUSY,
}
"""Exit codes of refusals; any other is 1."""
_FULL = 'set toolset = "full" under [pack.sidekick] in conductor.toml'
_HINTS: Mapping[str, str] = {
    "TOOL_NOT_FOUND": f"{_FULL}, or run: conductor packs",
    "APPROVAL_DENIED": "run: conductor approvals list",
    "SCOPE_DENIED": "see tools.scopes in conductor.toml; run: conductor config show",
    "POLICY_DENIED": "see tools.policies in conductor.toml; run: conductor config show",
    "CALL_IN_PROGRESS": "wait, then repeat the command with the same --key",
    "INTEGRATION_PROVIDER_NOT_REGISTERED": "add it under [pack.sidekick.webhooks_out]",
    "WORKSPACE_CONTEXT_REQUIRED": "run: conductor enroll",
}


def workspace_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--workspace` and `--json`."""
    place = click.option(
        "--workspace", "-w", type=click.Path(file_okay=False, path_type=Path),
        default=None, metavar="DIR", help="The workspace; default: the current directory.",
    )  # fmt: skip
    form = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
    return place(form(function))


def change_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--dry-run` and `--key`."""
    preview = click.option("--dry-run", is_flag=True, help="Show what would be done.")
    key = click.option(
        "--key", metavar="TEXT", help="Again with the same key: the first answer, no second effect."
    )
    return preview(key(function))


def calls(
    tool: str, show: Show, *, changes: bool = False
) -> Callable[[Callable[..., Given]], Callable[..., Any]]:
    """Make a command of a function that turns its words into the tool's input.

    Args:
        tool: The tool's name.
        show: Prints what it answered.
        changes: Whether it has a preview and takes a key.
    """

    def made(words: Callable[..., Given]) -> Callable[..., Any]:
        @functools.wraps(words)
        def run(
            workspace: Path | None, as_json: bool, dry_run: bool = False, key: str | None = None,
            **rest: Any,
        ) -> None:  # fmt: skip
            given = given_only(**words(**rest))
            if dry_run:
                given["dry_run"] = True
            output = call(tool, given, workspace, key)
            report(tool, output, show, as_json=as_json)

        return workspace_options(change_options(run) if changes else run)

    return made


def given_only(**fields: Any) -> Given:
    """Return the fields that were given: no None, no empty list."""
    return {
        name: list(cast("Sequence[Any]", value)) if isinstance(value, tuple) else value
        for name, value in fields.items()
        if value is not None and value not in ((), [])
    }


def host() -> CommandHost:
    """Return what `conductor` gives its packs' commands."""
    return cast("CommandHost", click.get_current_context().obj)


def call(tool: str, given: Given, workspace: Path | None, key: str | None = None) -> ToolOutput:
    """Call a tool of the workspace."""
    found = host()
    return asyncio.run(found.call_tool(found.workspace(workspace), tool, given, key=key))


def report(tool: str, output: ToolOutput, show: Show, *, as_json: bool) -> None:
    """Print an answer and leave with its exit code."""
    from conductor_terminal.printing import print_json

    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(output))
    elif output.success:
        data = output.data or {}
        if data.get("dry_run"):
            click.echo("nothing was done; it would be:")
        show(data)
    elif output.error is not None:
        show_fault(tool, output.error)
    code = EXITS.get(output.error.code, Exit.FAILURE) if output.error else Exit.OK
    click.get_current_context().exit(int(code))


def show_fault(tool: str, fault: ToolFault) -> None:
    """Print why a call did not succeed, and what to type next."""
    from conductor_packs.sidekick.cli.show import shown

    details = fault.details or {}
    click.echo(shown(f"error: {fault.message} [{fault.code}]"), err=True)
    for problem in details.get("problems", ()):
        click.echo(shown(f"  {problem['pointer'] or '/'}: {problem['message']}"), err=True)
    click.echo(shown(f"next: {hint_of(tool, fault.code, details)}"), err=True)


def hint_of(tool: str, code: str, details: Mapping[str, Any]) -> str:
    """Return the next command after a refusal."""
    words = tool.replace("sidekick:", "").replace(":", " ")
    if code == "APPROVAL_REQUIRED" and "request_id" in details:
        asked = details["request_id"]
        return f"conductor approvals grant {asked}; then repeat this command"
    if code == "NOT_FOUND":
        return f"conductor sidekick {words.split(' ', maxsplit=1)[0]} list"
    if code == "INVALID_INPUT":
        return f"conductor sidekick {words} --help; fields of the full tool set: {_FULL}"
    hint = details.get("hint")
    return str(hint) if hint else _HINTS.get(code, f"run: conductor tools describe {tool}")
