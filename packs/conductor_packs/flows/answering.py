"""Answers from outside to runs that wait.

Promise: an answer is looked at before it is taken (it fits, its wait is open, the flow is the one
that waits), kept with the id of its event, and the first one to a wait is the only one. Refusal:
nothing runs here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from conductor_flows.durable.errors import CheckpointNotFound, TokenUsed
from conductor_flows.durable.records import Checkpoint, Wait
from conductor_flows.execute.errors import DurabilityMissing
from conductor_flows.execute.planning.compiling import Ends
from conductor_packs.flows.carrying import changed
from conductor_packs.flows.errors import AnswerMisplaced, FlowChanged, NotWaiting, RunUnknown
from conductor_packs.flows.records import ENDED, Run, Waiting
from conductor_packs.flows.requests import ApproveRequest
from conductor_packs.flows.shelf import Shelf
from conductor_packs.flows.storage import Runs
from conductor_packs.flows.telling import Teller
from conductor_packs.flows.workshop import Workshop
from conductor_sdk.clock import Clock, wire_time
from conductor_sdk.errors import ConductorError

Say: TypeAlias = Callable[[Wait], Any]
"""Makes the answer to a wait."""


class Answers:
    """Takes answers."""

    def __init__(self, shelf: Shelf, workshop: Workshop, runs: Runs, teller: Teller) -> None:
        self._shelf = shelf
        self._workshop = workshop
        self._runs = runs
        self._teller = teller

    async def take(self, token: str, say: Say, *, said_by: str, once: str) -> Run | None:
        """Keep an answer, and let its run go on.

        Args:
            token: From whoever was told that the run halted.
            say: Makes the answer.
            said_by: For the journal.
            once: The id of the event, or of the call.

        Returns:
            The run as it was; None where this event was taken before.

        Raises:
            TokenUnknown: Never given, run out or revoked; TokenUsed: there was an answer before.
            NotWaiting: The run has gone on without it, or has ended.
            FlowChanged: The flow is not the one that waits; put it back and say it again.
            PortRefused: The answer does not fit the node; with a JSON Pointer.
        """
        async with self._workshop.open():
            signals = self._workshop.durability.signals
            if signals is None:
                raise DurabilityMissing("resume_signal_source")
            ticket = await signals.peek(token)
            run, checkpoint = await self._waiting(ticket.checkpoint_id)
            wait = next((each for each in checkpoint.waits if each.id == ticket.wait_id), None)
            if wait is None or wait.answer is not None:
                raise NotWaiting(run.run_id)
            answer = say(wait)
            await self._fits(run, checkpoint, wait, answer)
            first = await self._runs.answer(
                run.run_id, wait.id, msgspec.json.encode(answer), once=once
            )
            if first is False:
                raise TokenUsed
            shown = Waiting(wait.id, wait.alias, wait.kind)
            await self._teller.answered(run, shown, said_by)
            with contextlib.suppress(ConductorError):
                # The answer is kept: that its token is spent as well only saves a look.
                await signals.resolve(token)
            return None if first is None else run

    async def _waiting(self, checkpoint_id: str) -> tuple[Run, Checkpoint]:
        try:
            checkpoint = await self._workshop.held.get(checkpoint_id)
        except CheckpointNotFound:
            raise NotWaiting from None
        run = await self._runs.get(checkpoint.run_id)
        if run is None:
            raise RunUnknown(checkpoint.run_id)
        if run.state in ENDED:
            raise NotWaiting(f"{run.run_id} is {run.state}")
        return run, checkpoint

    async def _fits(self, run: Run, checkpoint: Checkpoint, wait: Wait, answer: Any) -> None:
        loaded = await self._shelf.get(run.flow)
        if loaded.code_hash != run.code_hash:
            raise FlowChanged(changed(run, loaded))
        bound = loaded.bound(Ends(checkpoint.trigger, checkpoint.capture))
        bound.handlers[bound.plan.by_alias[wait.alias]].gives.decode(answer)


def decision(request: ApproveRequest, approver: str, clock: Clock) -> Say:
    """Return what makes a decision out of an approval.

    Args:
        request: The approval.
        approver: Whoever decided, where it does not say.
        clock: When.
    """

    def say(wait: Wait) -> dict[str, Any]:
        if wait.kind != "approval":
            raise AnswerMisplaced(f"{wait.alias} is a {wait.kind}")
        return {
            "approved": request.approved, "approver": request.approver or approver,
            "comment": request.comment, "decided_at": wire_time(clock.now()),
            "context": wait.payload,
        }  # fmt: skip

    return say
