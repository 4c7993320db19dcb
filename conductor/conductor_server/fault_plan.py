"""The switches of a bad day, and how they are written.

Promise: a plan is a value; what is typed on a command line, sent over HTTP and shown again is the
same text. Refusal: nothing misbehaves here; `faults` does.

Frame faults apply to both directions, or with the prefix `down.` or `up.` to one:
`drop=P`, `duplicate=P`, `reorder=P` (the frame goes after the next one), `delay=SECONDS[@P]`
(the frame and all behind it wait). Link faults: `black_hole` (accept, then silence),
`close_after=N` (frames of a link, both directions), `refuse=STATUS[@RETRY_AFTER_S]` (no new link).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from conductor_server.errors import FaultSyntax

DIRECTIONS = ("down", "up")


class FrameFaults(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What may happen to each frame of one direction; probabilities from 0 to 1."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay_s: float = 0.0
    delay_p: float = 0.0


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All switches; the default is a good day."""

    down: FrameFaults = FrameFaults()
    up: FrameFaults = FrameFaults()
    black_hole: bool = False
    close_after: int | None = None
    """Frames, both directions together, after which a link is cut."""
    refuse: int | None = None
    """HTTP status for every new link."""
    retry_after_s: float = 1.0


def parse_faults(texts: Iterable[str], plan: FaultPlan | None = None) -> FaultPlan:
    """Read switches as they are typed, on top of `plan`.

    Raises:
        FaultSyntax: With the text that is wrong.
    """
    plan = plan or FaultPlan()
    for text in texts:
        try:
            plan = _with(plan, text)
        except ValueError as error:
            raise FaultSyntax(f"{text!r}: {error}") from None
    return plan


def plan_texts(plan: FaultPlan) -> list[str]:
    """Write a plan as the switches that make it, one direction at a time; [] is a good day."""
    texts: list[str] = []
    for direction in DIRECTIONS:
        faults = _faults(plan, direction)
        texts += [
            f"{direction}.{name}={getattr(faults, name):g}"
            for name in ("drop", "duplicate", "reorder")
            if getattr(faults, name)
        ]
        if faults.delay_p:
            texts.append(f"{direction}.delay={faults.delay_s:g}@{faults.delay_p:g}")
    if plan.black_hole:
        texts.append("black_hole")
    if plan.close_after is not None:
        texts.append(f"close_after={plan.close_after}")
    if plan.refuse is not None:
        texts.append(f"refuse={plan.refuse}@{plan.retry_after_s:g}")
    return texts


def _with(plan: FaultPlan, text: str) -> FaultPlan:
    name, _, value = text.strip().partition("=")
    match name:
        case "black_hole":
            return msgspec.structs.replace(plan, black_hole=_switch(value))
        case "close_after":
            return msgspec.structs.replace(plan, close_after=int(_at_least(int(value), 0)) or None)
        case "refuse":
            status, _, retry_after = (value or "503").partition("@")
            return msgspec.structs.replace(
                plan,
                refuse=_refusal(int(status)),
                retry_after_s=_at_least(float(retry_after or 1), 0),
            )
        case _:
            return _with_frame_fault(plan, name, value)


def _with_frame_fault(plan: FaultPlan, name: str, value: str) -> FaultPlan:
    scope, dot, fault = name.rpartition(".")
    change: dict[str, float]
    match fault:
        case "drop" | "duplicate" | "reorder":
            change = {fault: _probability(float(value))}
        case "delay":
            seconds, _, probability = value.partition("@")
            change = {
                "delay_s": _at_least(float(seconds), 0),
                "delay_p": _probability(float(probability or 1)),
            }
        case _:
            raise ValueError("no such fault")
    if dot and scope not in DIRECTIONS:
        raise ValueError("a direction is down or up")
    for direction in (scope,) if dot else DIRECTIONS:
        faults = msgspec.structs.replace(_faults(plan, direction), **change)
        plan = msgspec.structs.replace(plan, **{direction: faults})
    return plan


def _faults(plan: FaultPlan, direction: str) -> FrameFaults:
    return plan.down if direction == "down" else plan.up


def _switch(value: str) -> bool:
    if value in {"", "1", "true", "on"}:
        return True
    if value in {"0", "false", "off"}:
        return False
    raise ValueError("it is on or off")


def _probability(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError("a probability is from 0 to 1")
    return value


def _refusal(status: int) -> int:
    if not 400 <= status <= 599:  # noqa: PLR2004  the statuses of HTTP refusals
        raise ValueError("a refusal has a status from 400 to 599")
    return status


def _at_least(value: float, least: float) -> float:
    if not least <= value < float("inf"):
        raise ValueError(f"it is a number of at least {least:g}")
    return value
