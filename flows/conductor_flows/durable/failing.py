"""What a checkpoint says of a run that failed.

Promise: where, when and why, beside what the run goes on from, which stays as it is. Refusal: a run
that was cancelled, that halted, or whose lease somebody else has, did not fail.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final, Protocol, runtime_checkable

import msgspec

from conductor_flows.durable.errors import CheckpointNotFound, LeaseConflict
from conductor_flows.durable.ports import CheckpointStore, Lease
from conductor_flows.durable.records import Failed
from conductor_flows.execute.errors import Cancelled, DeadlineExceeded, FlowError, NodeFailed

SAID_MAX: Final = 500
_LATE: Final = "its deadline came first"
_NOTHING: Final = "it ended without an answer"


@runtime_checkable
class Ended(Protocol):
    """A run that is over."""

    error: FlowError | None
    """What has ended it before its end."""


def failure_of(run: Any, now_ms: int) -> Failed | None:
    """Return how a run failed; None: it did not.

    Args:
        run: An `Ended`; of any other run nothing is known.
        now_ms: When it failed.
    """
    error = run.error if isinstance(run, Ended) else None
    match error:
        case None | LeaseConflict():
            return None
        case Cancelled(reason="deadline"):
            return Failed(now_ms, DeadlineExceeded.code, _LATE)
        case Cancelled(reason="propagated"):
            return Failed(now_ms, FlowError.code, _NOTHING)
        case Cancelled():
            return None
        case NodeFailed():
            return Failed(now_ms, error.code, _cut(error.said), error.alias)
        case _:
            return Failed(now_ms, error.code, _cut(error.detail or error.message))


def _cut(said: str) -> str:
    said = said.encode("utf-8", "replace").decode()  # half a character can be raised, not written
    return said if len(said) <= SAID_MAX else said[: SAID_MAX - 1] + "…"


async def note(store: CheckpointStore, lease: Lease, failed: Failed) -> None:
    """Write into a checkpoint that its run failed; nothing where it is gone or another's."""
    with contextlib.suppress(CheckpointNotFound, LeaseConflict):
        record = await store.get(lease.checkpoint_id)
        await store.put(msgspec.structs.replace(record, failed=failed), lease)
