"""A user's flow in this process, and what is told of a run of it.

Promise: the answer goes to standard output and all else to standard error; whatever ends the
command ends the run. Refusal: no option is read here.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click

from conductor_flows.capabilities.bindings.spec import Binding
from conductor_flows.cli.aside import answering, aside
from conductor_flows.cli.errors import StreamUnasked
from conductor_flows.cli.failing import explained
from conductor_flows.cli.halting import halted_json, say_halted
from conductor_flows.cli.printing import write_whole
from conductor_flows.cli.provided import Kept
from conductor_flows.cli.reporting import say_summary
from conductor_flows.cli.tally import Tally
from conductor_flows.execute.measures import Recorder
from conductor_flows.execute.outcomes import Halted, Outcome, Streamed, Value
from conductor_flows.execute.planning.compiling import Ends
from conductor_flows.execute.program import Program
from conductor_flows.execute.services import Services
from conductor_flows.host.hosting import Host
from conductor_flows.host.services import serving
from conductor_sdk.errors import ConductorError
from conductor_terminal.printing import print_json, print_line

if TYPE_CHECKING:
    from conductor_flows.cli.measured import Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What runs, with what, and how it is told."""

    program: Program
    spec: str
    bindings: tuple[Binding, ...] = ()
    kept: Kept | None = None
    stream: bool = False
    """Pieces of a stream were asked for."""
    as_json: bool = False
    metrics: Path | None = None
    """Where what was measured is written to."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a run."""

    result: Any = None
    events: list[Any] | None = None
    """Pieces of a stream, unless they were printed as they came."""
    halted: Halted | None = None
    captures: int = 0


Act = Callable[[Host], Awaitable[Done]]
TERMINATED: Final = 128 + signal.SIGTERM
T = TypeVar("T")


def run_to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Run until it ends; Ctrl-C and SIGTERM cancel it, and wait for what it cleans up.

    Raises:
        KeyboardInterrupt: After Ctrl-C.
        SystemExit: 143, after SIGTERM.
    """

    async def cancellable() -> T:
        task = asyncio.current_task()
        with contextlib.suppress(RuntimeError, ValueError):  # in another thread than the main one
            if task is not None:
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(cancellable())
    except asyncio.CancelledError:
        raise SystemExit(TERMINATED) from None


async def perform(session: Session, ends: Ends, act: Act) -> None:
    """Do something with the hosted flow, and print what came of it.

    Raises:
        ConductorError: The flow cannot be run, or the run failed; it names the next command.
        StoreRefused: The place for checkpoints cannot be written to; nothing has run.
    """
    flow, measured = session.program.flow, _measured(session)
    tally = Tally(None if measured is None else measured.recorder)
    with aside():
        done, took_ms = await _performed(session, ends, act, tally, measured)
    _say(session, done, tally.summary(flow, took_ms))


async def _performed(
    session: Session, ends: Ends, act: Act, tally: Tally, measured: Measured | None
) -> tuple[Done, float]:
    flow = session.program.flow
    async with provided(session, tally) as services:
        begun, done = time.perf_counter(), Done()
        try:
            host = Host(session.program, services, name="cli")
            _refuse_unasked_stream(host, session, ends)
            host.preflight()
            done = await act(host)
        except asyncio.CancelledError:
            click.echo("flows: interrupted; the run was cancelled", err=True)
            raise
        except ConductorError as error:
            where = "" if session.kept is None else session.kept.option
            explained(error, session.spec, flow, as_json=session.as_json, where=where)
            _say_failed(session, tally, error, _ms_since(begun))
            raise
        finally:
            took_ms = _ms_since(begun)
            if measured is not None and session.metrics is not None:
                tally.tell(flow, session.spec, took_ms, done.captures, ends.capture)
                write_whole(session.metrics, measured.text())
    return done, took_ms


def _measured(session: Session) -> Measured | None:
    if session.metrics is None:
        return None
    from conductor_flows.cli.measured import Measured  # the library costs a tenth of the start

    return Measured()


@contextlib.asynccontextmanager
async def provided(session: Session, recorder: Recorder | None = None) -> AsyncGenerator[Services]:
    """Give the services of a session; closes them.

    Raises:
        StoreRefused: The place for checkpoints cannot be written to; nothing has run.
    """
    async with contextlib.AsyncExitStack() as stack:
        durability = None
        if session.kept is not None:
            durability = await stack.enter_async_context(session.kept.opened())
        yield await stack.enter_async_context(
            serving(bindings=session.bindings, durability=durability, recorder=recorder)
        )


def _refuse_unasked_stream(host: Host, session: Session, ends: Ends) -> None:
    bound = host.runner.bound(ends)
    if bound.handlers[bound.plan.capture].streams and not session.stream:
        raise StreamUnasked(f"{ends.capture} gives piece after piece")


async def concluded(outcome: Outcome, *, as_json: bool) -> Done:
    """Take an outcome to its end; pieces are printed as they come, or collected for JSON."""
    match outcome:
        case Value(value):
            return Done(value, captures=1)
        case Halted():
            return Done(halted=outcome)
        case Streamed(items):
            events: list[Any] = []
            count = 0
            async with aclosing(cast("AsyncGenerator[Any]", items)) as pieces:
                async for piece in pieces:
                    count += 1
                    if as_json:
                        events.append(piece)
                    else:
                        with answering():
                            print_line(piece)
            return Done(events=events, captures=count)


def _say_failed(session: Session, tally: Tally, error: ConductorError, took_ms: float) -> None:
    flow = session.program.flow
    summary = tally.summary(flow, took_ms)
    if not summary["nodes"]:
        return
    if session.as_json:
        error.data["summary"] = summary
    else:
        say_summary(flow, summary)


def _say(session: Session, done: Done, summary: dict[str, Any]) -> None:
    flow, streamed = session.program.flow, done.events is not None
    if streamed:
        summary["stream_events"] = done.captures
    halt = None
    if done.halted is not None:
        halt = halted_json(flow, done.halted, session.spec, session.kept)
    if session.as_json:
        print_json({
            "example": session.spec, "flow": flow.name, "result": done.result,
            **({"halted": halt} if halt else {}),
            **({"stream_events": done.events} if streamed else {}),
            "summary": summary,
        })  # fmt: skip
        return
    if not streamed:
        print_json(done.result if halt is None else halt)
    say_summary(flow, summary)
    if halt is not None:
        say_halted(halt)


def _ms_since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000
