"""Checkpoints at a place: finding them, and what is shown of them.

Promise: looking changes nothing but a lock file, and a place that is not there is not made.
Refusal: nothing is resumed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from conductor_flows.cli.errors import CheckpointAmbiguous, StoreMissing
from conductor_flows.cli.options import CHECKPOINT_DB, CHECKPOINTS
from conductor_flows.cli.provided import Kept
from conductor_flows.durable.errors import CheckpointNotFound
from conductor_flows.durable.ports import CheckpointStore
from conductor_flows.durable.records import Checkpoint, Failed, Status
from conductor_flows.durable.services import Durability
from conductor_flows.execute.errors import DurabilityMissing
from conductor_flows.ir.identity import flow_id
from conductor_sdk.clock import from_epoch_ms, wire_time
from conductor_sdk.terminal_text import clean
from conductor_terminal.printing import wrapped

_NAMED: Final = re.compile(r"([a-z][a-z0-9_]*)@(.+)")
_SQLITE: Final = b"SQLite format 3\0"
SECOND_MS: Final = 1000
_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", SECOND_MS))


def place_of(path: Path | None) -> Kept | None:
    """Return where checkpoints are; None: by default somewhere, and nothing is there yet.

    Raises:
        StoreMissing: A path was given, and there is nothing.
    """
    if path is not None:
        if path.is_dir():
            return Kept("filesystem", path)
        if not path.exists():
            raise StoreMissing(str(path))
        if not _is_sqlite(path):
            raise StoreMissing(f"{path} is neither a folder nor an SQLite file")
        return Kept("sqlite", path)
    if CHECKPOINTS.is_dir():
        return Kept("filesystem", CHECKPOINTS)
    return Kept("sqlite", CHECKPOINT_DB) if CHECKPOINT_DB.is_file() else None


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) in {_SQLITE, b""}


def certain_place_of(path: Path | None) -> Kept:
    """Return where checkpoints are; as `place_of`, and raises StoreMissing by default too."""
    found = place_of(path)
    if found is None:
        raise StoreMissing(str(CHECKPOINTS))
    return found


def store_of(durability: Durability | None) -> CheckpointStore:
    """Return the store."""
    if durability is None or durability.store is None:
        raise DurabilityMissing("checkpoint_store")
    return durability.store


async def chosen(
    durability: Durability, checkpoint_id: str, *, flow: str | None = None, run: str | None = None
) -> Checkpoint:
    """Return the one checkpoint of that id, or the only one that begins with it.

    Raises:
        CheckpointAmbiguous: There are several; names them.
        CheckpointNotFound: DAG-CKPT-006; StateCorrupted: DAG-CKPT-008: it cannot be read.
    """
    store = store_of(durability)
    there = await store.list(flow=flow_id_of(flow), run=run)
    found = [each for each in there if each.checkpoint_id == checkpoint_id] or [
        each for each in there if checkpoint_id and each.checkpoint_id.startswith(checkpoint_id)
    ]
    if not found:
        return await _unlisted(store, checkpoint_id)
    if len(found) > 1:
        names = "; ".join(f"{each.checkpoint_id} of {each.run_id}" for each in found[:3])
        raise CheckpointAmbiguous(f"{checkpoint_id}: {len(found)}: {names}")
    return found[0]


async def _unlisted(store: CheckpointStore, checkpoint_id: str) -> Checkpoint:
    """Say why a checkpoint is not in the list: it is not there, or cannot be read."""
    try:
        return await store.get(checkpoint_id)
    except CheckpointNotFound as error:
        error.hint = "see what is there: flows resume list"
        if checkpoint_id.partition(":")[0].endswith(".py"):
            error.hint = "the ID comes first, then the flow: flows resume run ID SPEC"
        raise


async def worked_on(durability: Durability, now_ms: int) -> dict[str, int]:
    """Return the checkpoints that somebody works on, with when their leases run out."""
    found: dict[str, int] = {}
    book, after = durability.leases, ""
    while book is not None:
        page = await book.leases(after=after)
        held = [lease for lease in page.leases if lease.holds(now_ms)]
        found.update({lease.checkpoint_id: lease.until_ms for lease in held})
        if not page.more_after:
            break
        after = page.more_after
    return found


def flow_id_of(text: str | None) -> str | None:
    """Return a flow's id: as it was typed, or from `name@version`."""
    named = None if text is None else _NAMED.fullmatch(text)
    return text if named is None else flow_id(named[1], named[2])


def summary_json(
    checkpoint: Checkpoint, now_ms: int, until_ms: int | None = None
) -> dict[str, Any]:
    """Return what `list` says of a checkpoint.

    Args:
        checkpoint: Which.
        now_ms: The time.
        until_ms: Where somebody works on it: when the lease runs out.
    """
    return {
        "checkpoint_id": checkpoint.checkpoint_id,
        "flow_id": checkpoint.flow_id,
        "flow_version": checkpoint.flow_version,
        "run_id": checkpoint.run_id,
        "status": str(checkpoint.status(now_ms)),
        "due": until_ms is None and is_due(checkpoint, now_ms),
        "leased_until_ms": until_ms,
        "created_at_ms": checkpoint.created_at_ms,
        "resume_after_ms": checkpoint.resume_after_ms,
        "waits": [
            {"node": wait.alias, "kind": wait.kind, "resume_after_ms": wait.resume_after_ms}
            for wait in checkpoint.waits
            if wait.answer is None
        ],
        "pending": checkpoint.frontier.pending,
        "attempts": checkpoint.attempts,
        "failed": checkpoint.failed,
    }


def is_due(checkpoint: Checkpoint, now_ms: int) -> bool:
    """Whether it can go on by itself."""
    return checkpoint.status(now_ms) is Status.ACTIVE and checkpoint.due(now_ms)


def rows_of(
    found: Sequence[Checkpoint], now_ms: int, held: Mapping[str, int]
) -> list[tuple[str, str, str, str]]:
    """Return the lines of a table: checkpoint, status, when it goes on, and where it is."""
    rows: list[tuple[str, str, str, str]] = []
    for each in found:
        running = each.checkpoint_id in held
        goes_on = "running" if running else _goes_on(each, now_ms)
        told = _where(each, running=running)
        rows.append((each.checkpoint_id, str(each.status(now_ms)), goes_on, told))
    return rows


def _where(checkpoint: Checkpoint, *, running: bool) -> str:
    if checkpoint.failed is not None:
        return "see below"
    open_waits = [wait for wait in checkpoint.waits if wait.answer is None]
    if open_waits:
        return ", ".join(f"{wait.alias} ({wait.kind})" for wait in open_waits)
    at = ", ".join(checkpoint.frontier.pending) or "its end"
    return f"at {at}" if running else f"interrupted at {at}"


def why(failed: Failed, now_ms: int) -> str:
    """Return where, when and why a run failed, for people."""
    where = "" if failed.node is None else f" at {failed.node}"
    return clean(f"failed{where} {ago(failed.at_ms, now_ms)}: {failed.said} [{failed.code}]")


def ago(at_ms: int, now_ms: int) -> str:
    """Return how long a time is past, in its largest unit."""
    past = now_ms - at_ms
    return f"{_time(past)} ago" if past >= SECOND_MS else "just now"


def _time(span_ms: int) -> str:
    return next((f"{span_ms // size} {unit}" for unit, size in _UNITS if span_ms >= size), "1 s")


def _goes_on(checkpoint: Checkpoint, now_ms: int) -> str:
    if checkpoint.status(now_ms) is not Status.ACTIVE:
        return "-"
    if checkpoint.due(now_ms):
        return "due"
    after = [wait.resume_after_ms for wait in checkpoint.waits if wait.resume_after_ms is not None]
    if not after:
        return "-"
    return _time(min(after) - now_ms)


def details(checkpoint: Checkpoint, now_ms: int, until_ms: int | None = None) -> list[str]:
    """Return the lines of `show`; see `summary_json`."""
    failed, status = checkpoint.failed, checkpoint.status(now_ms)
    goes_on = _goes_on(checkpoint, now_ms)
    if failed is not None:
        goes_on = "when it is tried again: flows resume run ID SPEC"
    if until_ms is not None:
        goes_on = f"somebody works on it, until {wire_time(from_epoch_ms(until_ms))} or longer"
    completed = ", ".join(each.node_alias for each in checkpoint.frontier.completed) or "-"
    told = [
        ("checkpoint", checkpoint.checkpoint_id),
        ("flow", f"{checkpoint.flow_id} {checkpoint.flow_version}"),
        ("run", checkpoint.run_id),
        ("status", f"{status}, goes on: {goes_on}"),
        *([] if failed is None else _failed(failed, now_ms)),
        ("done", completed),
        ("pending", ", ".join(checkpoint.frontier.pending) or "-"),
        *(
            ("waits", f"{wait.alias} ({wait.kind}){'' if wait.answer is None else ', answered'}")
            for wait in checkpoint.waits
        ),
    ]
    return [wrapped(f"{name + ':':<12}{value}", then=" " * 12) for name, value in told]


def _failed(failed: Failed, now_ms: int) -> list[tuple[str, str]]:
    at = f"{wire_time(from_epoch_ms(failed.at_ms))}, {ago(failed.at_ms, now_ms)}"
    return [
        ("failed", at if failed.node is None else f"{at}, at {failed.node}"),
        ("why", f"{failed.said} [{failed.code}]"),
    ]
