"""Letting a run go on.

Promise: the same run, from what is on disk, told as a new one would be; one at a time. What is
tried again is said before it begins. Refusal: no option is read here.
"""

from __future__ import annotations

import getpass
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from conductor_flows.cli.aside import aside
from conductor_flows.cli.checkpoints import (
    certain_place_of,
    chosen,
    is_due,
    store_of,
    why,
    worked_on,
)
from conductor_flows.cli.failing import explained
from conductor_flows.cli.halting import halted_json
from conductor_flows.cli.provided import Kept, bindings_for
from conductor_flows.cli.session import Done, Session, concluded, perform, provided, run_to_the_end
from conductor_flows.cli.specs import program_of
from conductor_flows.durable.errors import (
    LeaseConflict,
    LeaseLost,
    NothingWaits,
    StillWaiting,
    TokenUnknown,
    TokenUsed,
)
from conductor_flows.durable.records import Checkpoint, Status, Wait
from conductor_flows.durable.resume import Signal
from conductor_flows.durable.services import Durability
from conductor_flows.execute.errors import NodeFailed, PortRefused
from conductor_flows.execute.planning.compiling import Ends
from conductor_flows.host.hosting import Host
from conductor_sdk.clock import SystemClock, epoch_ms, wire_time
from conductor_sdk.errors import ConductorError
from conductor_terminal.printing import print_json, print_line, wrapped


@dataclass(frozen=True, slots=True)
class Verdict:
    """What somebody decided."""

    approved: bool
    approver: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """What was asked for."""

    spec: str
    checkpoint_id: str = ""
    token: str | None = None
    answer: Any = None
    """What a callback or an approval brought, where `answered`."""
    answered: bool = False
    verdict: Verdict | None = None
    binds: tuple[str, ...] = ()
    lock: Path | None = None
    path: Path | None = None
    stream: bool = False
    as_json: bool = False


def resume_one(going: Going) -> None:
    """Let one run go on, and print what it gives; raises as `perform` and `resume`."""
    run_to_the_end(_one(going))


async def _one(going: Going) -> None:
    kept = certain_place_of(going.path)
    checkpoint, signal = await _looked_up(going, kept)
    session = _session(going, kept)

    async def act(host: Host) -> Done:
        if not going.as_json:
            await _say_again(host, checkpoint)
        try:
            outcome = await host.resume(checkpoint.checkpoint_id, signal=signal)
            return await concluded(outcome, as_json=going.as_json)
        except ConductorError as error:
            error.hint = _next(error, checkpoint, going, kept)
            raise

    ends = Ends(checkpoint.trigger, checkpoint.capture)
    _check_flow(session, checkpoint)
    await perform(session, ends, act)


def _session(going: Going, kept: Kept) -> Session:
    program = program_of(going.spec)
    bindings = bindings_for(program.flow, going.spec, going.binds, going.lock)
    return Session(
        program=program, spec=going.spec, bindings=bindings, kept=kept, stream=going.stream,
        as_json=going.as_json,
    )  # fmt: skip


def _check_flow(session: Session, checkpoint: Checkpoint) -> None:
    """Tell another flow apart before the ends of this one are asked for."""
    from conductor_flows.durable.errors import VersionIncompatible

    flow = session.program.flow
    if checkpoint.flow_id != flow.id or checkpoint.flow_version != flow.version:
        wrote = f"{checkpoint.checkpoint_id} is of {checkpoint.flow_id} {checkpoint.flow_version}"
        hint = "name the flow, in the version, that wrote it"
        raise VersionIncompatible(f"{wrote}, not of {flow.name} {flow.version}", hint=hint)


async def _looked_up(going: Going, kept: Kept) -> tuple[Checkpoint, Signal | None]:
    async with kept.opened() as durability:
        checkpoint_id = going.checkpoint_id
        if going.token is not None:
            checkpoint_id = await _ticket(durability, going.token)
        checkpoint = await chosen(durability, checkpoint_id)
        return checkpoint, _signal(checkpoint, going)


async def _ticket(durability: Durability, token: str) -> str:
    if durability.signals is None:
        raise TokenUnknown
    try:
        ticket = await durability.signals.peek(token)
    except (TokenUnknown, TokenUsed) as error:
        error.hint = "see what waits: flows resume list"
        raise
    return ticket.checkpoint_id


def _signal(checkpoint: Checkpoint, going: Going) -> Signal | None:
    if going.verdict is None:
        return Signal(going.answer, going.token) if going.answered else None
    wait = next((wait for wait in checkpoint.waits if wait.answer is None), None)
    if wait is None or wait.kind != "approval":
        if wait is None:
            told = "it waits for nobody" + (", and was answered before" if checkpoint.waits else "")
            raise click.UsageError(f"{told}: leave --approve and --deny out")
        where = f"it waits for {wait.alias} ({wait.kind})"
        raise click.UsageError(f"--approve and --deny answer an approval; {where}")
    return Signal(_decision(going.verdict, wait), going.token)


def _decision(verdict: Verdict, wait: Wait) -> dict[str, Any]:
    return {
        "approved": verdict.approved, "approver": verdict.approver or _user(),
        "comment": verdict.comment, "decided_at": wire_time(SystemClock().now()),
        "context": wait.payload,
    }  # fmt: skip


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def _when_it_is_free(error: LeaseConflict) -> str:
    """Say how long a process that has died keeps others from its run."""
    until_ms = error.data.get("until_ms")
    if not isinstance(until_ms, int):
        return error.hint
    left_s = max(1, -(-(until_ms - epoch_ms(SystemClock().now())) // 1000))
    return f"a process works on it, or has died: in that case try again in {left_s} s"


async def _say_again(host: Host, checkpoint: Checkpoint) -> None:
    """Say what is tried again, where no answer or time is what lets the run go on."""
    failed, now_ms = checkpoint.failed, epoch_ms(SystemClock().now())
    if failed is None and checkpoint.waits:
        return
    if host.durability is not None and checkpoint.checkpoint_id in await worked_on(
        host.durability, now_ms
    ):
        return  # it is told in a moment that somebody works on it
    reason = "was interrupted" if failed is None else why(failed, now_ms)
    done = ", ".join(each.node_alias for each in checkpoint.frontier.completed)
    again = ", ".join(checkpoint.frontier.pending)
    for line in (
        f"{checkpoint.run_id} {reason}",
        f"  not run again: {done or 'nothing had ended'}",
        f"  goes on at: {again or 'what comes after its waits'}",
    ):
        click.echo(wrapped(line, then="    "), err=True)


def _next(error: ConductorError, checkpoint: Checkpoint, going: Going, kept: Kept) -> str:
    """Return the next command, where more is known of it than the error knows."""
    where = f"{checkpoint.checkpoint_id}{kept.option}"
    command = f"flows resume run {checkpoint.checkpoint_id} {shlex.quote(going.spec)}{kept.option}"
    match error:
        case StillWaiting():
            return _what_it_waits_for(checkpoint, going, kept)
        case NothingWaits():
            return f"let it go on without an answer: {command}"
        case PortRefused():
            return f"see what it waits for: flows resume show {where}"
        case LeaseLost():
            return f"somebody else has taken it over; see: flows resume show {where}"
        case LeaseConflict():
            return _when_it_is_free(error)
        case NodeFailed():
            return f"put it right, then try it again from there: {command}"
        case _:
            return error.hint


def _what_it_waits_for(checkpoint: Checkpoint, going: Going, kept: Kept) -> str:
    wait = next((wait for wait in checkpoint.waits if wait.answer is None), None)
    command = f"flows resume run {checkpoint.checkpoint_id} {shlex.quote(going.spec)}"
    match None if wait is None else wait.kind:
        case "approval":
            return f"decide: {command} --approve{kept.option}"
        case "callback":
            return f"answer it: {command} --payload JSON{kept.option}"
        case _:
            return f"see when it goes on: flows resume list{kept.option}"


# Everything that is due


def resume_due(goings: list[Going]) -> bool:
    """Let every run go on whose time has come, flow by flow; returns whether all went well."""
    return run_to_the_end(_due(goings))


async def _due(goings: list[Going]) -> bool:
    told: list[dict[str, Any]] = []
    for going in goings:
        told += await _due_of(going)
    if goings[0].as_json:
        print_json({"runs": told})
    elif not told:
        click.echo("Nothing is due.", err=True)
    return not any("error" in each for each in told)


async def _due_of(going: Going) -> list[dict[str, Any]]:
    kept = certain_place_of(going.path)
    session = _session(going, kept)
    flow = session.program.flow
    told: list[dict[str, Any]] = []
    left = 0
    async with provided(session) as services:
        host = Host(session.program, services, name="cli")
        host.preflight()
        now_ms = epoch_ms(SystemClock().now())
        there = await store_of(host.durability).list(flow=flow.id)
        for checkpoint in there:
            left += checkpoint.status(now_ms) is Status.FAILED
            if checkpoint.flow_version == flow.version and is_due(checkpoint, now_ms):
                told.append(await _tried(host, session, checkpoint.checkpoint_id))
                if not going.as_json:
                    print_line(told[-1])
    if left and not going.as_json:
        where = f"flows resume list --status failed{kept.option}"
        click.echo(f"left alone, as they failed: {left}; see: {where}", err=True)
    return told


async def _tried(host: Host, session: Session, checkpoint_id: str) -> dict[str, Any]:
    found: dict[str, Any] = {"checkpoint_id": checkpoint_id, "flow": host.flow.name}
    try:
        # Pieces are collected: lines of several runs would not be told apart.
        with aside():
            done = await concluded(await host.resume(checkpoint_id), as_json=True)
    except LeaseConflict:
        return found | {"busy": True}
    except ConductorError as error:
        explained(error, session.spec, host.flow, as_json=True)
        return found | {"error": error.as_json()}
    if done.halted is not None:
        return found | {"halted": halted_json(host.flow, done.halted, session.spec, session.kept)}
    if done.events is not None:
        return found | {"stream_events": done.events}
    return found | {"result": done.result}
