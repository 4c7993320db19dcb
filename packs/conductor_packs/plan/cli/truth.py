"""`conductor truth snapshot`: what is true now, as JSON and Markdown.

Promise: without `--apply` only the two files of the snapshot are written; with it, the marked block
of one file, and an entry in the journal says so first. Refusal: unchanged facts change no file.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from conductor_packs.plan.cli.frame import (
    Place,
    PlanGroup,
    host,
    opened,
    place_options,
    root_of,
    show,
    take_place,
)
from conductor_packs.plan.errors import TruthTargetRefused
from conductor_packs.plan.questions import Answer
from conductor_packs.plan.truth.markdown import as_markdown, locate, read, replaced, write
from conductor_packs.plan.truth.snapshot import Snapshot, take
from conductor_sdk.clock import SystemClock
from conductor_sdk.errors import Exit

EVENT_TYPE: Final = "TRUTH_SYNC_APPLIED"


def _snapshot(**given: Any) -> None:
    ctx = click.get_current_context()
    place = take_place(ctx, given)
    answer = asyncio.run(_run(ctx, place, given["out"], given["target"], check=given["check"]))
    show(answer)
    if given["check"] and answer["apply"]["status"] == "differs":
        ctx.exit(int(Exit.FAILURE))


async def _run(
    ctx: click.Context, place: Place, out: Path | None, target: Path | None, *, check: bool
) -> Answer:
    root = root_of(ctx, place)
    if check and target is None:
        raise TruthTargetRefused("--check needs --apply FILE")
    config = host(ctx).config(root, "plan")
    async with opened(ctx, place, create=False) as desk:
        taken = await take(desk.plans, SystemClock(), root, config)
    block = as_markdown(taken)
    answer: Answer = {"snapshot": msgspec.to_builtins(taken), "digest": taken.digest}
    if target is not None:
        answer["apply"] = await _apply(ctx, place, locate(root, target), block, check=check)
    if out is not None or target is None:
        answer["files"] = _write_files(root, out or Path("truth"), taken, block)
    return answer


async def _apply(
    ctx: click.Context, place: Place, path: Path, block: str, *, check: bool
) -> Answer:
    root = root_of(ctx, place)
    name = str(path.relative_to(root))
    before = read(path)
    after = replaced(before, block)
    if after is None:
        return {"path": name, "status": "unchanged"}
    if check:
        return {"path": name, "status": "differs"}
    said = {
        "path": name, "block_sha256": _sha256(block),
        "before_sha256": _sha256(before), "after_sha256": _sha256(after),
    }  # fmt: skip
    async with host(ctx).journal(root, slug="plan", actor=place.actor, db=place.db) as journal:
        sequence = await journal.append(EVENT_TYPE, said)
    write(path, after)
    return {"path": name, "status": "applied", "sequence": sequence}


def _write_files(root: Path, out: Path, taken: Snapshot, block: str) -> list[str]:
    folder = (root / out).resolve()
    ours = folder.is_relative_to(root) and ".lumenflow" not in folder.relative_to(root).parts
    if not ours:
        raise TruthTargetRefused(f"{out} is not a directory of the workspace")
    folder.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(taken), indent=2).decode()
    write(folder / "snapshot.json", text + "\n")
    write(folder / "snapshot.md", block)
    return [str((folder / name).relative_to(root)) for name in ("snapshot.json", "snapshot.md")]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


truth = PlanGroup(
    "truth",
    help="Say what is true now, and how old each reading is.",
    commands=[
        click.Command(
            "snapshot", callback=_snapshot,
            help="Write snapshot.json and snapshot.md, or replace the marked block of a file.",
            params=[
                click.Option(
                    ["--out"], type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
                    help="Where to write; default: truth in the workspace.",
                ),
                click.Option(
                    ["--apply", "target"], type=click.Path(dir_okay=False, path_type=Path),
                    metavar="FILE", help="Replace the marked block of this file.",
                ),
                click.Option(
                    ["--check"], is_flag=True,
                    help="With --apply: change nothing, exit 1 if the facts differ.",
                ),
                *place_options(),
            ],
        )
    ],
)  # fmt: skip
