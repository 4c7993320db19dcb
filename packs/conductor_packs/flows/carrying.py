"""One run, from its request or its checkpoint to where it comes to rest.

Promise: whatever a flow does, the run ends as completed, failed with a code, or halted; it is
resumed only with the code that it began with. Refusal: nothing is stored of how it ended, and
nobody is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final, cast

import msgspec

from conductor_flows.durable.errors import LeaseConflict, StillWaiting
from conductor_flows.durable.ports import Ticket
from conductor_flows.durable.records import Checkpoint
from conductor_flows.durable.resume import Signal
from conductor_flows.execute import outcomes
from conductor_flows.execute.errors import DeadlineExceeded
from conductor_flows.execute.runner import Invocation
from conductor_flows.host.hosting import Host
from conductor_packs.flows.errors import FlowChanged, HaltUnkept, ResultTooLarge, RunAbandoned
from conductor_packs.flows.library import Loaded
from conductor_packs.flows.limits import encoded
from conductor_packs.flows.records import (
    Completed,
    Failed,
    Halted,
    Outcome,
    Run,
    Waiting,
    fault_of,
)
from conductor_packs.flows.settings import Settings
from conductor_packs.flows.shelf import Shelf
from conductor_packs.flows.storage import Runs
from conductor_packs.flows.telling import Teller
from conductor_packs.flows.times import NodeTimes
from conductor_packs.flows.workshop import Workshop
from conductor_sdk.pack_errors import StorageFailed

HOST: Final = "sidecar"
ANSWER_S: Final = 3600.0
"""How long the token holds with which an answer is handed on."""


class Carrier:
    """Carries runs out; knows nothing of how many there are."""

    def __init__(
        self, shelf: Shelf, workshop: Workshop, runs: Runs, teller: Teller, settings: Settings
    ) -> None:
        self._shelf = shelf
        self._workshop = workshop
        self._runs = runs
        self._teller = teller
        self._settings = settings

    async def carry(self, run: Run, times: NodeTimes) -> Outcome:
        """Bring a run to where it comes to rest.

        Args:
            run: Claimed.
            times: Where the times of its nodes are taken.

        Raises:
            LeaseConflict: Somebody else is at it.
            StorageFailed: A database of the pack refused; the run is as it was.
            asyncio.CancelledError: The sidecar stops; the run can be taken up.
        """
        if run.attempts > self._settings.max_attempts:
            return Failed(fault_of(RunAbandoned(f"{run.run_id}: {run.attempts - 1} times")))
        try:
            return await self._carry(run, times)
        except (LeaseConflict, StorageFailed):
            raise
        except Exception as error:  # noqa: BLE001  # whatever foreign code raises is its run's end
            return Failed(fault_of(error))

    async def _carry(self, run: Run, times: NodeTimes) -> Outcome:
        loaded = await self._shelf.get(run.flow)
        services = replace(await self._workshop.services(loaded.flow), recorder=times)
        host = Host(loaded.program, services, name=HOST)
        checkpoint = await self._checkpoint(run)
        if checkpoint is not None and run.code_hash != loaded.code_hash:
            raise FlowChanged(changed(run, loaded))
        await self._runs.bind(run.run_id, loaded.flow.version, loaded.code_hash)
        await self._teller.started(run, loaded, resumed=checkpoint is not None)
        deadline_s = min(run.asked.deadline_s or self._settings.deadline_s,
                         self._settings.deadline_s)  # fmt: skip
        timeout = asyncio.timeout(deadline_s)
        try:
            async with timeout:
                if checkpoint is None:
                    return await self._rest(await host.invoke(_invocation(run, loaded)))
                return await self._resumed(host, run, checkpoint)
        except TimeoutError:
            if timeout.expired():
                raise DeadlineExceeded(f"after {deadline_s:g} s") from None
            raise

    async def _checkpoint(self, run: Run) -> Checkpoint | None:
        held = self._workshop.held
        if run.checkpoint_id is not None:
            return await held.get(run.checkpoint_id)
        if run.starts <= 1:
            return None
        found = await held.list(run=run.run_id)
        return found[-1] if found else None

    async def _resumed(self, host: Host, run: Run, checkpoint: Checkpoint) -> Outcome:
        signal = await self._signal(run, checkpoint)
        try:
            return await self._rest(await host.resume(checkpoint.checkpoint_id, signal=signal))
        except StillWaiting:
            # It halted, and the sidecar died before that was known.
            return await self._halted(checkpoint.checkpoint_id)

    async def _signal(self, run: Run, checkpoint: Checkpoint) -> Signal | None:
        signals = self._workshop.durability.signals
        answers = await self._runs.answers(run.run_id)
        for wait in checkpoint.waits:
            if wait.answer is None and wait.id in answers and signals is not None:
                ticket = Ticket(checkpoint.checkpoint_id, wait.id, {"alias": wait.alias})
                token = await signals.create_token(ticket, ttl_s=ANSWER_S)
                return Signal(answers[wait.id], token)
        return None

    async def _rest(self, outcome: outcomes.Outcome) -> Outcome:
        match outcome:
            case outcomes.Value(value):
                return Completed(encoded(value, self._settings.result_max_bytes))
            case outcomes.Streamed():
                return Completed(await self._collected(outcome))
            case outcomes.Halted(alias, _, checkpoint_id, token):
                if checkpoint_id is None:
                    raise HaltUnkept(alias)
                signals = self._workshop.durability.signals
                if token is not None and signals is not None:
                    # Whoever is told gets a new one: this one would be lost in a crash.
                    await signals.revoke(token)
                return await self._halted(checkpoint_id)

    async def _collected(self, stream: outcomes.Streamed) -> bytes:
        most, size = self._settings.result_max_bytes, 2
        pieces: list[Any] = []
        async with aclosing(cast("AsyncGenerator[Any]", stream.items)) as items:
            async for piece in items:
                size += len(msgspec.json.encode(piece)) + 1
                if size > most:
                    raise ResultTooLarge(f"a stream of more than {most} bytes")
                pieces.append(piece)
        return encoded(pieces, most)

    async def _halted(self, checkpoint_id: str) -> Halted:
        checkpoint = await self._workshop.held.get(checkpoint_id)
        waits = tuple(
            Waiting(wait.id, wait.alias, wait.kind, wait.payload, wait.resume_after_ms)
            for wait in checkpoint.waits
            if wait.answer is None
        )
        return Halted(checkpoint_id, waits)


def _invocation(run: Run, loaded: Loaded) -> Invocation:
    asked = run.asked
    labels = {key: value for key, value in asked.labels.items() if not key.startswith("lf.")}
    labels |= {"lf.run_id": run.run_id, "lf.event_id": run.event_id}
    if asked.idempotency_key is not None:
        labels["lf.idem_key"] = asked.idempotency_key
    return Invocation(asked.payload, loaded.ends(asked.entrypoint), labels=labels)


def changed(run: Run, loaded: Loaded) -> str:
    """Say how the code of a run differs from that of its flow."""
    was, now = run.code_hash[:12] or "unknown", loaded.code_hash[:12]
    return f"{run.run_id} began with {run.flow} {run.version} ({was}), now it is {now}"
