"""What the pack does with events: it takes them, and is done; runs go on by themselves.

Promise: when an event is settled its request is durable, and coming again it changes nothing; what
cannot be taken is a dead letter that says why, for whoever repairs and redrives. Refusal: no flow
runs in a handler, so no lane waits for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from conductor_packs.flows.answering import Say, decision
from conductor_packs.flows.context import FlowsContext
from conductor_sdk.errors import ConductorError
from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Handled, Outcome, Reject, Replayed, Retry

if TYPE_CHECKING:
    from conductor_packs.flows.requests import (
        ApproveRequest,
        RetryRequest,
        RunRequest,
        SignalRequest,
    )


async def on_run(event: KernelEvent, ctx: FlowsContext) -> Outcome:
    """Handle `flows:run`."""
    request: RunRequest = event.payload
    try:
        engine = ctx.engine
        try:
            run = await engine.take(request, event.event_id)
        except ConductorError as error:
            if not error.retryable:
                await engine.teller.refused(request, event.event_id, error)
            raise
    except ConductorError as error:
        return _refused(error)
    if run is None:
        return Replayed()
    if run.event_id == event.event_id:
        return Handled(run.run_id)
    return Replayed(f"{run.run_id} {run.state}")


async def on_signal(event: KernelEvent, ctx: FlowsContext) -> Outcome:
    """Handle `flows:signal`."""
    request: SignalRequest = event.payload
    return await _answer(event, ctx, request.token, lambda _: request.payload)


async def on_approve(event: KernelEvent, ctx: FlowsContext) -> Outcome:
    """Handle `flows:approve`."""
    request: ApproveRequest = event.payload
    return await _answer(event, ctx, request.token, decision(request, event.from_, ctx.base.clock))


async def on_retry(event: KernelEvent, ctx: FlowsContext) -> Outcome:
    """Handle `flows:retry`."""
    request: RetryRequest = event.payload
    try:
        run = await ctx.engine.retry(request.run_id, said_by=event.from_, once=event.event_id)
    except ConductorError as error:
        return _refused(error)
    return Replayed() if run is None else Handled(run.run_id)


async def _answer(event: KernelEvent, ctx: FlowsContext, token: str, say: Say) -> Outcome:
    try:
        engine = ctx.engine
        run = await engine.answers.take(token, say, said_by=event.from_, once=event.event_id)
    except ConductorError as error:
        return _refused(error)
    engine.wake()
    return Replayed() if run is None else Handled(run.run_id)


def _refused(error: ConductorError) -> Outcome:
    said = f"{error.code}: {error.message}"
    return Retry(said) if error.retryable else Reject(said)
