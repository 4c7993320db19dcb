"""`conductor plan board` and `graph`: a plan for eyes.

Promise: the terminal form fits 80 columns and has no colour in a pipe; a file is complete or not
there. Refusal: nothing of the plan is changed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from conductor_packs.plan.cli.frame import place_options, show, take_place, with_desk
from conductor_packs.plan.errors import PlanInputInvalid
from conductor_packs.plan.graph import Graph
from conductor_packs.plan.operations import Desk
from conductor_packs.plan.questions import Answer


def picture_commands() -> list[click.Command]:
    """Return the commands."""
    return [
        click.Command(
            name, params=_parameters(kinds), callback=callback,
            help=f"{summary} With --out, one self-contained file ({' or '.join(kinds)}).",
        )
        for name, callback, kinds, summary in (
            ("board", _board, (".html",), "Show a plan's items by state."),
            ("graph", _graph, (".svg", ".html"), "Show a plan's graph in rounds of work."),
        )
    ]  # fmt: skip


def _parameters(kinds: tuple[str, ...]) -> list[click.Parameter]:
    return [
        click.Option(["--plan-id"], required=True, metavar="TEXT", help="The plan."),
        click.Option(
            ["--out"], type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE", help=f"Write a file that ends in {' or '.join(kinds)} instead.",
        ),
        *place_options(),
    ]  # fmt: skip


def _board(**given: Any) -> None:
    from conductor_packs.plan.views.board_html import board_html
    from conductor_packs.plan.views.board_text import board_lines

    _draw(given, board_lines, {".html": board_html})


def _graph(**given: Any) -> None:
    from conductor_packs.plan.views.board_html import board_html
    from conductor_packs.plan.views.graph_svg import graph_svg
    from conductor_packs.plan.views.graph_text import graph_lines

    _draw(given, graph_lines, {".svg": graph_svg, ".html": board_html})


def _draw(
    given: dict[str, Any],
    lines: Callable[[Graph], Iterator[str]],
    files: dict[str, Callable[[Graph], str]],
) -> None:
    ctx = click.get_current_context()
    place = take_place(ctx, given)
    plan_id: str = given["plan_id"]
    out: Path | None = given["out"]
    if out is not None and out.suffix.lower() not in files:
        raise PlanInputInvalid(f"{out} ends in neither of {', '.join(files)}")
    graphs: list[Graph] = []

    async def work(desk: Desk) -> Answer:
        board = await desk.plans.read(lambda reader, now: reader.board(plan_id, now))
        graphs.append(Graph(board, desk.plans.settings.strike_limit))
        return {}

    with_desk(ctx, place, work, create=False)
    if out is None:
        for line in lines(graphs[0]):
            click.echo(line)
        return
    content = files[out.suffix.lower()](graphs[0]).encode()
    _replace(out, content)
    show({"plan_id": plan_id, "path": str(out), "bytes": len(content)})


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that it is never seen half."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
