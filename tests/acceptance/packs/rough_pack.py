"""A pack whose handler does what its payload says, most of it wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pydantic

from conductor_sdk import (
    Handled,
    Ignored,
    KernelEvent,
    Pack,
    PackContext,
    PackManifest,
    Reject,
    Replayed,
    Retry,
    Subscription,
)

Deed = Callable[[KernelEvent, PackContext], Awaitable[Any]]


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("even my text fails")


class Stop(BaseException):
    """What some libraries raise at a timeout."""


async def hang(event: KernelEvent, ctx: PackContext) -> None:
    await asyncio.sleep(3600)


async def stubborn(event: KernelEvent, ctx: PackContext) -> None:
    """Swallow every cancellation, for ever."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


async def stubborn_once(event: KernelEvent, ctx: PackContext) -> Handled:
    """Swallow the cancellation of the deadline, then raise."""
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(3600)
    return Handled()


async def block(event: KernelEvent, ctx: PackContext) -> Handled:
    ctx.log.info("blocking")
    time.sleep(float(event.payload["seconds"]))  # noqa: ASYNC251  that is the point
    return Handled("blocked")


def answer(value: Any) -> Deed:
    async def deed(event: KernelEvent, ctx: PackContext) -> Any:
        return value

    return deed


def raising(make: Callable[[], BaseException]) -> Deed:
    async def deed(event: KernelEvent, ctx: PackContext) -> Any:
        raise make()

    return deed


DEEDS: Mapping[str, Deed] = {
    "handle": answer(Handled("done")),
    "ignore": answer(Ignored("not mine")),
    "replay": answer(Replayed("again")),
    "reject": answer(Reject("never")),
    "retry": answer(Retry("later")),
    "raise": raising(lambda: ValueError("wrong\x1b[31m number")),
    "raise_unprintable": raising(Unprintable),
    "raise_torn": raising(lambda: ValueError("torn \ud800 text")),
    "raise_group": raising(lambda: ExceptionGroup("many", [ValueError("a")])),
    "raise_cancelled": raising(asyncio.CancelledError),
    "exit": raising(lambda: SystemExit(3)),
    "stop": raising(lambda: Stop("enough")),
    "hang": hang,
    "stubborn": stubborn,
    "stubborn_once": stubborn_once,
    "block": block,
    "none": answer(None),
    "text": answer("handled"),
    "handled_number": answer(Handled(7)),  # type: ignore[arg-type]
    "handled_nothing": answer(Handled(None)),  # type: ignore[arg-type]
    "handled_torn": answer(Handled("torn \ud800")),
    "reject_nothing": answer(Reject(None)),  # type: ignore[arg-type]
    "retry_nan": answer(Retry("soon", after_s=float("nan"))),
    "retry_never": answer(Retry("soon", after_s=float("inf"))),
    "retry_far": answer(Retry("soon", after_s=1e300)),
    "retry_text": answer(Retry("soon", after_s="a while")),  # type: ignore[arg-type]
    "retry_nothing": answer(Retry(None)),  # type: ignore[arg-type]
}


async def on_act(event: KernelEvent, ctx: PackContext) -> Any:
    return await DEEDS[event.payload["do"]](event, ctx)


def on_plain(event: KernelEvent, ctx: PackContext) -> Handled:
    return Handled("not a coroutine")


class Typed(pydantic.BaseModel):
    do: str

    @pydantic.field_validator("do")
    @classmethod
    def _burst(cls, value: str) -> str:
        if value == "burst":
            raise RuntimeError("the validator itself is broken")
        return value


async def on_typed(event: KernelEvent, ctx: PackContext) -> Handled:
    return Handled(f"typed {event.payload.do}")


def lane_of(event: KernelEvent) -> str:
    return str(event.payload["lane"])


pack = Pack(
    manifest=PackManifest(
        id="rough", version="1.0.0",
        subscribed_event_kinds=("rough:act", "rough:plain", "rough:typed"),
    ),
    handlers={
        "rough:act": Subscription(on_act, partition_key=lane_of),
        "rough:plain": on_plain,  # type: ignore[dict-item]
        "rough:typed": Subscription(on_typed, payload=Typed),
    },
)  # fmt: skip
