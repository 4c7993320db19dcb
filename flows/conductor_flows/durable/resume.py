"""A run that goes on from its checkpoint.

Promise: the same run, with the same keys of effects, from what was on disk; one at a time, by the
lease; an answer from outside is kept before the run goes on, so that a crash asks nobody twice. A
run that failed goes on from where it failed. Refusal: entrypoints are not gone through again, a
checkpoint of another flow or version is not tried, and no answer is taken that nothing waits for.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from conductor_flows.durable.errors import (
    CheckpointNotFound,
    LeaseConflict,
    NothingWaits,
    ResumeExhausted,
    StateCorrupted,
    StillWaiting,
    TokenUnknown,
    TokenUsed,
    VersionIncompatible,
)
from conductor_flows.durable.ports import CheckpointStore, Lease
from conductor_flows.durable.records import Answer, Checkpoint, Status, Wait, ended
from conductor_flows.durable.services import Durability
from conductor_flows.durable.thawed import info, thaw
from conductor_flows.durable.writing import state_of
from conductor_flows.execute.binding import Bound
from conductor_flows.execute.errors import DurabilityMissing, UnknownAlias
from conductor_flows.execute.outcomes import Outcome
from conductor_flows.execute.planning.compiling import Ends
from conductor_flows.execute.runner import Runner
from conductor_flows.execute.scheduling.frontier import Frontier, shape
from conductor_sdk.clock import epoch_ms

LEASE_TRIES: Final = 6
LEASE_WAIT_S: Final = 0.05
_log: Final = logging.getLogger("conductor_flows.durable")


@dataclass(frozen=True, slots=True)
class Signal:
    """What came from outside."""

    payload: Any
    """JSON; what the halted node gives."""
    token: str | None = None
    """Names the wait; without one it is the first that has no answer."""


async def resume(
    runner: Runner, durability: Durability, checkpoint_id: str, *, signal: Signal | None = None,
    again: bool = True,
) -> Outcome:  # fmt: skip
    """Go on with a run.

    Args:
        runner: Of the flow and version that the checkpoint is of.
        durability: Where the checkpoint is.
        checkpoint_id: Which.
        signal: What a callback or an approval brought; a timer needs none.
        again: Whether a run that failed is tried again.

    Raises:
        CheckpointNotFound: DAG-CKPT-006; also for one that is completed or has expired.
        LeaseConflict: DAG-CKPT-007: the run is under way.
        StateCorrupted: DAG-CKPT-008.
        VersionIncompatible: DAG-CKPT-009.
        StillWaiting: No signal, and no time has come; or it failed, and is not to be tried again.
        ResumeExhausted: As often as `max_resume_attempts` allows, without coming further.
        TokenUnknown: The token is of another checkpoint; TokenUsed, as `ResumeSignalSource`.
        NothingWaits: The signal answers nothing.
        PortRefused: The signal does not fit the node.
        FlowError: As `Runner.run`.
    """
    store = _store(durability)
    seen = await store.get(checkpoint_id)
    _check(seen, runner, durability, again=again)
    lease = await _lease(runner, store, checkpoint_id)
    try:
        # Read again: whoever had the lease before may have gone further, or has just failed: that
        # is to be seen by somebody before it is tried again.
        checkpoint = await store.get(lease.checkpoint_id)
        _check(checkpoint, runner, durability, again=seen.failed is not None)
        checkpoint, frontier = await _prepare(runner, durability, store, checkpoint, lease, signal)
        return await _go_on(runner, durability, checkpoint, frontier, lease)
    except BaseException:
        await _give_up(store, lease)
        raise


def _store(durability: Durability) -> CheckpointStore:
    if durability.store is None:
        raise DurabilityMissing("checkpoint_store", data={"missing": ["checkpoint_store"]})
    return durability.store


async def _give_up(store: CheckpointStore, lease: Lease) -> None:
    """Release a lease, unless the run has done so; if that fails, it runs out."""
    try:
        await store.release_lease(lease)
    except Exception as error:  # noqa: BLE001  # what ended the run says more than the store does
        _log.warning("the lease of %s could not be given up: %s", lease.checkpoint_id, error)


async def _prepare(
    runner: Runner, durability: Durability, store: CheckpointStore, checkpoint: Checkpoint,
    lease: Lease, signal: Signal | None,
) -> tuple[Checkpoint, Frontier]:  # fmt: skip
    frontier = await state_of(checkpoint, durability)
    bound = _bound(runner, checkpoint, frontier)
    checkpoint = await _Answering(durability, bound, checkpoint).answered(signal)
    checkpoint = _attempted(checkpoint, runner)
    await store.put(checkpoint, lease)
    if signal is not None and signal.token is not None and durability.signals is not None:
        await durability.signals.resolve(signal.token)
    return checkpoint, frontier


def _check(checkpoint: Checkpoint, runner: Runner, durability: Durability, *, again: bool) -> None:
    flow = runner.program.flow
    status = checkpoint.status(epoch_ms(durability.clock.now()))
    if status not in {Status.ACTIVE, Status.FAILED}:
        raise CheckpointNotFound(f"{checkpoint.checkpoint_id} is {status}")
    if status is Status.FAILED and not again:
        raise StillWaiting(f"{checkpoint.checkpoint_id} has failed, to be tried again by name")
    if (checkpoint.flow_id, checkpoint.flow_version) != (flow.id, flow.version):
        detail = f"{checkpoint.checkpoint_id}: written by {checkpoint.flow_id}"
        raise VersionIncompatible(f"{detail} {checkpoint.flow_version}")


def _bound(runner: Runner, checkpoint: Checkpoint, frontier: Frontier) -> Bound:
    try:
        bound = runner.bound(Ends(checkpoint.trigger, checkpoint.capture))
    except UnknownAlias as error:
        raise VersionIncompatible(f"{checkpoint.checkpoint_id}: {error.detail}") from None
    if frontier.shape != shape(bound.plan):
        raise VersionIncompatible(f"{checkpoint.checkpoint_id}: the flow has changed its shape")
    return bound


async def _lease(runner: Runner, store: CheckpointStore, checkpoint_id: str) -> Lease:
    policy = runner.program.flow.policies.durability
    ttl_s = (policy.lease_ttl or 30_000) / 1000
    tries = LEASE_TRIES if policy.retry_on_lease_conflict else 1
    for attempt in range(tries):
        try:
            return await store.lease(checkpoint_id, ttl_s)
        except LeaseConflict:
            if attempt + 1 == tries:
                raise
            await asyncio.sleep(LEASE_WAIT_S * 2**attempt)
    raise AssertionError  # the loop returns or raises


def _attempted(checkpoint: Checkpoint, runner: Runner) -> Checkpoint:
    most = runner.program.flow.policies.durability.max_resume_attempts
    if most is not None and checkpoint.attempts >= most:
        raise ResumeExhausted(f"{checkpoint.checkpoint_id}: {checkpoint.attempts} attempts")
    return msgspec.structs.replace(checkpoint, attempts=checkpoint.attempts + 1, failed=None)


class _Answering:
    """Finds what ends the waits of a checkpoint."""

    def __init__(self, durability: Durability, bound: Bound, checkpoint: Checkpoint) -> None:
        self._durability = durability
        self._bound = bound
        self._checkpoint = checkpoint

    async def answered(self, signal: Signal | None) -> Checkpoint:
        """Return the checkpoint with the answer to at least one of its waits."""
        checkpoint = self._checkpoint
        now_ms = epoch_ms(self._durability.clock.now())
        chosen = None if signal is None else await self._chosen(signal)
        waits: list[Wait] = []
        for wait in checkpoint.waits:
            if wait.answer is None and signal is not None and wait.id == chosen:
                self._fits(wait, signal.payload)
                waits.append(msgspec.structs.replace(wait, answer=Answer(signal.payload)))
            elif wait.answer is None and ended(wait, now_ms):
                waits.append(msgspec.structs.replace(wait, answer=Answer(wait.otherwise)))
            else:
                waits.append(wait)
        if waits and all(wait.answer is None for wait in waits):
            names = ", ".join(wait.alias for wait in waits)
            raise StillWaiting(f"{checkpoint.checkpoint_id} waits at {names}")
        return msgspec.structs.replace(checkpoint, waits=waits)

    async def _chosen(self, signal: Signal) -> str:
        """Return the wait that a signal is for; the answer that it has may come once more."""
        checkpoint, came = self._checkpoint, Answer(signal.payload)
        if signal.token is None:
            for wait in checkpoint.waits:
                if wait.answer is None:
                    return wait.id
            for wait in checkpoint.waits:
                if wait.answer == came:
                    return wait.id
            raise NothingWaits(checkpoint.checkpoint_id)
        if self._durability.signals is None:
            raise TokenUnknown
        ticket = await self._durability.signals.peek(signal.token)
        if ticket.checkpoint_id != checkpoint.checkpoint_id:
            raise TokenUnknown
        found = next((wait for wait in checkpoint.waits if wait.id == ticket.wait_id), None)
        if found is None:
            raise TokenUnknown  # the record that was to hold this wait was never written
        if found.answer is not None and found.answer != came:
            raise TokenUsed  # a crash came between the answer and the end of the token
        return found.id

    def _fits(self, wait: Wait, payload: Any) -> None:
        node = self._bound.plan.by_alias.get(wait.alias)
        if node is None:
            raise StateCorrupted(f"{self._checkpoint.checkpoint_id}: no node {wait.alias!r}")
        self._bound.handlers[node].gives.decode(payload)


async def _go_on(
    runner: Runner, durability: Durability, checkpoint: Checkpoint, frontier: Frontier,
    lease: Lease,
) -> Outcome:  # fmt: skip
    ends = Ends(checkpoint.trigger, checkpoint.capture)
    bound, run = (
        runner.bound(ends),
        info(runner.program.flow, checkpoint, epoch_ms(durability.clock.now())),
    )
    keeper = durability.keeper(runner.program.flow, ends, bound, run)
    instance = runner.instance(bound, run, keeper)

    async def begin() -> None:
        waiting: dict[int, Wait] = {}
        try:
            keeper.adopt(instance, checkpoint, lease, waiting)
        except (ValueError, LookupError) as error:
            raise StateCorrupted(f"{checkpoint.checkpoint_id}: {error}") from None
        waiting.update(thaw(instance, bound, checkpoint, frontier))
        over = [wait for wait in checkpoint.waits if wait.answer is not None]
        await keeper.unschedule(over)
        instance.drive()

    return await runner.conclude(instance, bound, begin)
