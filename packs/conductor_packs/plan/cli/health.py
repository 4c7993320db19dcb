"""`conductor plan healthcheck`: whether plans work here.

Promise: the workspace's own data is only read, with `--extended` too. Refusal: a journal that is
not there is UNKNOWN, which is no success.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any, Final

import click

from conductor_packs.plan.cli.frame import (
    Place,
    file_of,
    host,
    opened,
    place_options,
    root_of,
    show,
    take_place,
)
from conductor_packs.plan.questions import Answer
from conductor_sdk.clock import SystemClock, wire_time
from conductor_sdk.errors import Exit

_CODES: Final = {"GREEN": Exit.OK, "YELLOW": Exit.OK, "RED": Exit.INTEGRITY}
_CHAIN: Final = "the chain and the tables against it: conductor log verify"
_EXTENDED: Final = "the pack itself: conductor plan healthcheck --extended"


def health_command() -> click.Command:
    """Return the command."""
    extended = click.Option(
        ["--extended"], is_flag=True,
        help="Also run the shipped scenarios, a race and a replay, in a temporary directory.",
    )  # fmt: skip
    return click.Command(
        "healthcheck", params=[extended, *place_options()], callback=_run,
        help="Check the plans that are there. Exits 0 on GREEN and YELLOW, 3 on UNKNOWN, 4 on RED.",
    )  # fmt: skip


def _run(**given: Any) -> None:
    ctx = click.get_current_context()
    place = take_place(ctx, given)
    answer = asyncio.run(_report(ctx, place, extended=given["extended"]))
    show(answer)
    ctx.exit(int(_CODES.get(answer["status"], Exit.NOT_FOUND)))


async def _report(ctx: click.Context, place: Place, *, extended: bool) -> Answer:
    from conductor_packs.plan.health import Check, look, report, try_out

    file = file_of(root_of(ctx, place), place)
    if file.exists():
        async with opened(ctx, place, create=False) as desk:
            checks = await look(desk.plans)
    else:
        checks = [Check("tables", "UNKNOWN", f"there is no {file}")]
    if extended:
        with tempfile.TemporaryDirectory(prefix="conductor-plan-") as directory:
            root = host(ctx).workspace(Path(directory))
            async with host(ctx).journal(root, slug="plan", actor=place.actor) as journal:
                checks += await try_out(journal)
    not_checked = [_CHAIN] if extended else [_CHAIN, _EXTENDED]
    return report(checks, wire_time(SystemClock().now()), not_checked)
