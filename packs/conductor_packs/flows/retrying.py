"""Runs that failed, tried again from where they were.

Promise: the same run goes on, under its id and with the keys of its effects, from its checkpoint
and with the code that it began with; whoever asks is in the journal. Refusal: nothing runs here,
and a run without a checkpoint is not begun again: that is a new request.
"""

from __future__ import annotations

from typing import Final

from conductor_flows.durable.errors import CheckpointNotFound
from conductor_flows.durable.records import Checkpoint, Status
from conductor_packs.flows.carrying import changed
from conductor_packs.flows.errors import FlowChanged, NoCheckpoint, NotFailed, RunUnknown
from conductor_packs.flows.records import Run
from conductor_packs.flows.shelf import Shelf
from conductor_packs.flows.storage import Runs
from conductor_packs.flows.telling import Teller
from conductor_packs.flows.workshop import Workshop

_OVER: Final = frozenset({Status.COMPLETED, Status.EXPIRED})


class Retries:
    """Takes requests to try a run again."""

    def __init__(self, shelf: Shelf, workshop: Workshop, runs: Runs, teller: Teller) -> None:
        self._shelf = shelf
        self._workshop = workshop
        self._runs = runs
        self._teller = teller

    async def take(self, run_id: str, *, said_by: str, once: str) -> Run | None:
        """Let a run that failed wait for its turn.

        Args:
            run_id: Which.
            said_by: For the journal.
            once: The id of the event, or of the call.

        Returns:
            The run as it was; None where this event was taken before.

        Raises:
            RunUnknown: There is none, or none any more.
            NotFailed: It waits, runs, or has completed; or it was tried again meanwhile.
            NoCheckpoint: It left none to go on from.
            FlowUnknown, FlowBroken: The flow is not there.
            FlowChanged: The flow is not the one that it began with.
        """
        run = await self._runs.get(run_id)
        if run is None:
            raise RunUnknown(run_id)
        if run.state != "failed":
            raise NotFailed(f"{run_id} is {run.state}")
        async with self._workshop.open():
            checkpoint = await self._checkpoint(run)
            loaded = await self._shelf.get(run.flow)
            if loaded.code_hash != run.code_hash:
                raise FlowChanged(changed(run, loaded))
            taken = await self._runs.again(run_id, checkpoint.checkpoint_id, once=once)
            if taken is not None:
                await self._teller.retried(taken, checkpoint.checkpoint_id, said_by)
            return taken

    async def _checkpoint(self, run: Run) -> Checkpoint:
        held = self._workshop.held
        if run.checkpoint_id is None:
            # The process may have died before it was known that there is one.
            found = await held.list(run=run.run_id)
        else:
            try:
                found = [await held.get(run.checkpoint_id)]
            except CheckpointNotFound:
                found = []
        if not found or found[-1].status(self._runs.now_ms) in _OVER:
            raise NoCheckpoint(run.run_id)
        return found[-1]
