"""The embedded conductor in the foreground: open, serve, tell what happens, close.

Promise: enrolled sidecars find the next run at the same port, and whoever watches sees one line
per event. Refusal: no store is named here and no signal handled; the caller cancels.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from conductor_sdk.clock import Clock, SystemClock, epoch_ms, wire_time
from conductor_server.dev_client import OpenHistory
from conductor_server.dev_directory import DevDirectory, Running
from conductor_server.display import lines
from conductor_server.errors import PortTaken
from conductor_server.fault_plan import parse_faults, plan_texts
from conductor_server.faults import FaultBoard
from conductor_server.hub import EmbeddedConductor
from conductor_server.ports import History
from conductor_server.server import Address, serve
from conductor_server.settings import HubSettings
from conductor_server.tokens import state_of

Beside = Callable[[EmbeddedConductor], contextlib.AbstractAsyncContextManager[str]]
"""A further way in for sidecars, open while the context is; yields a line that tells of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevOptions:
    """What `conductor dev` was told."""

    directory: DevDirectory
    host: str = "127.0.0.1"
    port: int | None = None
    """None: that of the last run, if it is free, else any."""
    allow_remote: bool = False
    workspaces: Sequence[str] = ()
    """Each gets an enrollment token file, unless it has a credential or an unused token."""
    faults: Sequence[str] = ()
    seed: int = 0


async def run_dev(
    options: DevOptions,
    open_history: OpenHistory,
    out: Callable[[str], None],
    *,
    settings: HubSettings | None = None,
    clock: Clock | None = None,
    beside: Beside | None = None,
) -> None:
    """Serve until cancelled.

    Args:
        options: As typed.
        open_history: Opens the history file of a directory.
        out: Prints one line.
        settings: Limits, beats and pages.
        clock: The time.
        beside: A further way in for sidecars.

    Raises:
        DevBusy: A conductor already runs on the directory.
        FaultSyntax: A fault is not written as one.
        PortTaken: The asked port is in use.
        NotLoopback: The host is reachable from elsewhere and that was not allowed.
    """
    directory = options.directory
    faults = FaultBoard(parse_faults(options.faults), seed=options.seed)
    with directory.hold():
        history = await open_history(directory.history)

        async def renew() -> History:
            directory.forget_history()
            return await open_history(directory.history)

        time = clock or SystemClock()
        conductor = EmbeddedConductor(history, time, settings, faults=faults, renew=renew)
        try:
            await _serve(conductor, options, out, beside)
        finally:
            await conductor.history.close()


async def _serve(
    conductor: EmbeddedConductor,
    options: DevOptions,
    out: Callable[[str], None],
    beside: Beside | None,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        address = await _listen(stack, conductor, options)
        also = await stack.enter_async_context(beside(conductor)) if beside else None
        records = conductor.watch()
        now = wire_time(conductor.clock.now())
        options.directory.announce(Running(address.url, address.port, os.getpid(), now))
        out(f"listening on {address.url}  (history {conductor.history.epoch})")
        if also is not None:
            out(also)
        if texts := plan_texts(conductor.faults.plan):
            out(f"faults: {' '.join(texts)}  (seed {conductor.faults.seed})")
        for line in await _invitations(conductor, address, options):
            out(line)
        async for record in records:
            for line in lines(record):
                out(line)


async def _listen(
    stack: contextlib.AsyncExitStack, conductor: EmbeddedConductor, options: DevOptions
) -> Address:
    """Listen at the asked port, else at that of the last run, else at a free one."""
    operator = options.directory.new_operator_token()
    last = options.directory.last_port()
    ports = [options.port] if options.port is not None else [*filter(None, [last]), 0]
    for port in ports:
        serving = serve(
            conductor,
            options.host,
            port,
            operator_token=operator,
            allow_remote=options.allow_remote,
        )
        try:
            return await stack.enter_async_context(serving)
        except OSError as error:
            taken = PortTaken(f"{options.host}:{port} ({error.strerror})")
            if port == ports[-1]:
                raise taken from None
    raise PortTaken(options.host)


async def _invitations(
    conductor: EmbeddedConductor, address: Address, options: DevOptions
) -> list[str]:
    """Say how each workspace enrolls, after making the token files that are missing."""
    if not options.workspaces:
        enroll = f"conductor enroll {address.url} --token-file FILE"
        return [f"enroll: conductor dev token issue WORKSPACE, then {enroll}"]
    now_ms = epoch_ms(conductor.clock.now())
    said: list[str] = []
    for workspace in options.workspaces:
        records = await conductor.tokens.records()
        valid = {
            record.purpose
            for record in records
            if record.workspace == workspace and state_of(record, now_ms) == "valid"
        }
        path = options.directory.token_file(workspace)
        if "credential" in valid:
            said.append(f"{workspace}: enrolled")
            continue
        if "enrollment" not in valid or not path.exists():
            issued = await conductor.tokens.issue(workspace)
            options.directory.write_token(workspace, issued.text)
        command = f"conductor enroll {address.url} --token-file {shlex.quote(str(path))}"
        said.append(f"{workspace}: {command}")
    return said
