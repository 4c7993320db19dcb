"""`conductor config`: effective settings and where each comes from.

Promise: what is printed is what the daemon would run with. Refusal: it changes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from conductor_sidecar.cli.options import (
    config_option,
    json_option,
    parse_assignments,
    set_option,
    workspace_option,
)

LIST_MAX = 24


@click.group()
def config() -> None:
    """Show settings: defaults < conductor.toml < environment < command line."""


@config.command()
@workspace_option
@config_option
@set_option
@json_option
@click.option("--defaults", is_flag=True, help="Show every setting's default and meaning.")
def show(
    workspace: Path, config_file: Path | None, assignments: tuple[str, ...], as_json: bool,
    defaults: bool,
) -> None:  # fmt: skip
    """Print every setting, its value and its source.

    An environment variable is named after its setting: CONDUCTOR_DISPATCH__DEADLINE_S=5.
    """
    import os

    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar.config import describe_settings, load_configuration
    from conductor_terminal.printing import print_json, print_table

    if defaults:
        described = describe_settings()
        if as_json:
            print_json({"settings": described})
        else:
            rows = [(item.name, _text(item.default), item.meaning) for item in described]
            print_table(["setting", "default", "meaning"], rows)
        return
    root = resolve_workspace(workspace).root
    loaded = load_configuration(
        root,
        file=config_file,
        environ=os.environ,
        flags=parse_assignments(assignments),
    )
    if as_json:
        print_json({"settings": loaded.listing()})
    else:
        # A file of the workspace is named within it; --json has the whole path.
        inside = f"{root}/"
        rows = [
            (item.name, _text(item.value), item.source.removeprefix(inside))
            for item in loaded.listing()
        ]
        print_table(["setting", "value", "from"], rows)


def _text(value: object) -> str:
    """Return a value as one cell; a long list by its length, --json has it whole."""
    import msgspec

    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if isinstance(value, list) and len(text) > LIST_MAX:
        return f"{len(cast('list[object]', value))} entries"
    return text
