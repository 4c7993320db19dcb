"""`flows new`: a small flow to begin with.

Promise: what is made is valid, runs, and passes its own test, as it stands. Refusal: no existing
file is touched.
"""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path
from string import Template
from typing import Final

import click

from conductor_flows.cli.options import json_option

TEMPLATES: Final = Path(__file__).with_name("templates") / "flow"
SUFFIX: Final = ".tmpl"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,59}")


@click.command()
@click.argument("name")
@click.option("--directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
              help="Where; default: NAME in the current directory.")  # fmt: skip
@json_option
def new(name: str, directory: Path | None, *, as_json: bool) -> None:
    """Make a folder with a flow of two steps and a test that passes.

    NAME is the flow's and the module's: lower-case words joined by underscores.

    \b
      flows new hello
      flows run local hello/hello.py --payload '{"name": "Ada"}'
      python -m pytest hello
    """
    from conductor_sdk.terminal_text import clean
    from conductor_terminal.printing import print_json

    folder = Path(name) if directory is None else directory
    files = scaffold(name, folder)
    if as_json:
        print_json({"directory": str(folder), "files": files})
        return
    for file in files:
        click.echo(clean(f"made  {folder / file}"))
    payload = '\'{"name": "Ada"}\''
    click.echo("")
    click.echo(clean(f"next: flows run local {folder / name}.py --payload {payload}"))


def scaffold(name: str, folder: Path) -> list[str]:
    """Write the files; returns their names, sorted.

    Args:
        name: Of the flow and its module.
        folder: Made if missing; refused unless empty.

    Raises:
        FlowNameRefused: The name cannot be both a flow's and a module's.
        FolderOccupied: There is something already.
    """
    from conductor_flows.cli.errors import FolderOccupied

    _check_name(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
    except (FileExistsError, NotADirectoryError):
        occupied = True
    if occupied:
        raise FolderOccupied(str(folder))
    names = {"name": name, "route": name.replace("_", "-")}
    made: list[str] = []
    for template in sorted(TEMPLATES.glob("*" + SUFFIX)):
        made.append(template.name.removesuffix(SUFFIX).replace("module", name))
        text = Template(template.read_text(encoding="utf-8")).substitute(names)
        (folder / made[-1]).write_text(text, encoding="utf-8")
    return sorted(made)


def _check_name(name: str) -> None:
    from conductor_flows.cli.errors import FlowNameRefused

    if not _NAME.fullmatch(name):
        near = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        hint = f"choose another name, for example: {near}" if _NAME.fullmatch(near) else None
        raise FlowNameRefused(repr(name[:60]), hint=hint)
    taken = sys.stdlib_module_names | {"conductor_flows", "pydantic", "pytest", "tests"}
    if keyword.iskeyword(name) or keyword.issoftkeyword(name) or name in taken:
        hint = f"choose another name, for example: {name}_flow"
        raise FlowNameRefused(f"{name!r} is taken by Python or a library", hint=hint)
