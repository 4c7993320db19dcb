"""A real sidecar and a real conductor in one process, over any adapter.

The conductor comes and goes, the sidecar starts and stops; their files stay.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

import delivery_pack
from conductor_adapters.memory import listen
from conductor_adapters.transport import ConductorBusy, CredentialRefused
from conductor_sdk.client import ask, connect
from conductor_sdk.clock import SystemClock
from conductor_sdk.event import KernelEvent, parse_event
from conductor_sdk.secret import Secret
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_server.errors import RefusingConnections
from conductor_server.faults import FaultBoard
from conductor_server.hub import EmbeddedConductor, ToSend
from conductor_server.ports import History
from conductor_server.server import serve as serve_conductor
from conductor_server.settings import HubSettings
from conductor_sidecar.app import CrashPoint, no_crash, open_history
from conductor_sidecar.serve import Machine
from conductor_sidecar.serve import serve as serve_sidecar
from conductor_sidecar.settings import (
    DispatchSection,
    DrainSettings,
    LinkSettings,
    OutboxSettings,
    PacksSettings,
    ReconnectSettings,
    Settings,
)
from conductor_state.enrollment import Enrollment
from conductor_state.identity import write_enrollment
from delivery_pack import ASKED
from installed import install

SUBJECT = "delivery-ws"
PATIENCE_S = 20.0
PROGRESS_S = 300.0
"""Seconds that may be waited for what goes on all the time."""
BEAT_S = 0.2
AdapterName = Literal["websocket", "inprocess"]
HUB = HubSettings(beat_s=BEAT_S, hello_s=0.5, close_s=0.5, drain_s=0.3)


async def begun(serving: Coroutine[Any, Any, None], ready: asyncio.Event) -> asyncio.Task[None]:
    """Run a sidecar as a task, and wait until it handles events or has failed."""
    daemon = asyncio.create_task(serving, name="sidecar")
    waiting = asyncio.create_task(ready.wait(), name="ready")
    await asyncio.wait({daemon, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if daemon.done():
        daemon.result()
    return daemon


def install_delivery_pack(
    directory: Path, monkeypatch: pytest.MonkeyPatch, **also: str
) -> Path:  # fmt: skip
    """Make the delivery pack and the in-process adapter importable, with a fresh desk.

    `also` are further packs, by entry point. Returns where a workspace may be made.
    """
    packs = {"delivery_pack": "delivery_pack:pack", **also}
    adapters = {"inprocess": "conductor_adapters.memory:adapter"}
    installed = install(directory / "installed", packs=packs, adapters=adapters)
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.setattr(delivery_pack, "desk", delivery_pack.Desk())
    (directory / SUBJECT).mkdir()
    return directory / SUBJECT


class World:
    """One conductor, one workspace. Made by `world`."""

    hub = HUB
    """How its conductor behaves."""

    def __init__(self, directory: Path, adapter: AdapterName) -> None:
        self.directory = directory
        self.adapter = adapter
        self.desk = delivery_pack.desk
        self.workspace: Workspace = resolve_workspace(directory / SUBJECT)
        self.settings = Settings(
            link=LinkSettings(adapter=adapter),
            reconnect=ReconnectSettings(first_spread_s=0.05, cap_s=0.2),
            dispatch=DispatchSection(retry_first_s=0.02, window=256),
            packs=PacksSettings(disabled=["acme-demo"]),
            drain=DrainSettings(deadline_s=0.5),
            outbox=OutboxSettings(),
        )
        self.client = connect(self.workspace.root)
        self.conductor: EmbeddedConductor
        self.seed = 0
        self.credential_id = ""
        self.crash_point: CrashPoint = no_crash
        """For the sidecar's next start."""
        self._history: History | None = None
        self._listening: AsyncExitStack | None = None
        self._port = 0
        self._stop = asyncio.Event()
        self.daemon: asyncio.Task[None] | None = None
        self._name = directory.name

    # The conductor

    async def open(self) -> None:
        """Let the conductor listen; a new process of it as far as anybody can tell."""
        if self._history is None:
            self._history = await open_history(self.directory / "conductor.db")
        faults = FaultBoard(seed=self.seed)
        self.conductor = EmbeddedConductor(self._history, SystemClock(), self.hub, faults=faults)
        stack = self._listening = AsyncExitStack()
        if self.adapter == "websocket":
            address = await stack.enter_async_context(
                serve_conductor(self.conductor, port=self._port)
            )
            self._port, link = address.port, address.link
        else:
            link = await stack.enter_async_context(self._memory())
        if not self.workspace.enrollment.exists():
            await self._enroll(link)

    async def close(self) -> None:
        """Let the conductor go away: no listener, no link. Its history stays."""
        stack, self._listening = self._listening, None
        if stack is not None:
            await self.conductor.close()
            await stack.aclose()

    async def lose_history(self) -> None:
        """Put an empty history in the place of the present one; credentials stay."""
        assert self._history is not None
        tokens = await self._history.tokens()
        await self._history.close()
        for path in self.directory.glob("conductor.db*"):
            path.unlink()
        self._history = await open_history(self.directory / "conductor.db")
        for token in tokens:
            await self._history.put_token(token)

    async def revoke(self) -> None:
        """Revoke the sidecar's credential; its link is closed."""
        await self.conductor.revoke(self.credential_id)

    async def _enroll(self, link: str) -> None:
        issued = await self.conductor.tokens.issue(SUBJECT)
        granted = await self.conductor.enroll(issued.text.reveal())
        self.credential_id = granted.record.token_id
        token = Secret(granted.text.reveal())
        write_enrollment(self.workspace, Enrollment(link, token, SUBJECT, None))

    @asynccontextmanager
    async def _memory(self) -> AsyncIterator[str]:
        """Listen as the server does, without a network: the same admission, the same sessions."""
        conductor, valid = self.conductor, True

        async def check() -> bool:
            records = await conductor.tokens.records()
            return all(r.revoked_ms is None for r in records if r.token_id == self.credential_id)

        def admit(credential: Secret) -> None:
            del credential
            try:
                conductor.admit()
            except RefusingConnections as error:
                raise ConductorBusy(retry_after_s=error.retry_after_s) from None
            if not valid:
                raise CredentialRefused("revoked")

        async def accept() -> None:
            nonlocal valid
            async with asyncio.TaskGroup() as group:
                while True:
                    link = await listener.accept()
                    valid = await check()
                    group.create_task(self._attach(link))

        async def watch() -> None:
            nonlocal valid
            async for record in conductor.watch():
                if record.what == "token_revoked":
                    valid = False

        listener = listen(self._name, admit=admit)
        valid = await check()
        tasks = [asyncio.create_task(accept()), asyncio.create_task(watch())]
        try:
            yield listener.address
        finally:
            await listener.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _attach(self, link: Any) -> None:
        await self.conductor.attach(link, SUBJECT)

    async def send(self, *numbers: int, again: bool = False, kind: str = ASKED, **payload: Any
                   ) -> list[str]:  # fmt: skip
        """Send one event for each number; returns their ids."""
        events = [ToSend(kind, {"n": n, **payload}, str(n)) for n in numbers]
        sent = await self.conductor.send_many(SUBJECT, events, again=again)
        return [event.event_id for event in sent]

    async def pushed(self, kind: str = delivery_pack.QUEUED) -> list[KernelEvent]:
        """What the conductor has of a kind, in order of arrival."""
        stored = await self.conductor.pushed(SUBJECT, 0, 1_000_000)
        return [parse_event(event.body) for event in stored if event.kind == kind]

    async def pushed_numbers(self, kind: str = delivery_pack.QUEUED) -> list[int]:
        return [event.payload["n"] for event in await self.pushed(kind)]

    # The sidecar

    async def start(self, **changes: Any) -> None:
        """Start the daemon; returns when it handles events."""
        self.settings = self.settings.model_copy(update=changes)
        stop, ready = asyncio.Event(), asyncio.Event()
        serving = serve_sidecar(
            self.workspace,
            self.settings,
            stop,
            ready=ready,
            machine=Machine(crash_point=self.crash_point),
        )
        self.daemon, self._stop = await begun(serving, ready), stop

    async def stop(self) -> None:
        """Stop the daemon as SIGTERM does."""
        daemon, self.daemon = self.daemon, None
        if daemon is not None:
            self._stop.set()
            async with asyncio.timeout(PATIENCE_S):
                await daemon

    async def start_and_wait(self) -> None:
        """Start a daemon that ends by itself; raises what ended it."""
        await self.start()
        daemon, self.daemon = self.daemon, None
        assert daemon is not None
        async with asyncio.timeout(PATIENCE_S):
            await daemon

    async def run(self) -> World:
        """Open the conductor, start the sidecar, wait for the link."""
        await self.open()
        await self.start()
        await self.linked()
        return self

    async def status(self) -> dict[str, Any]:
        return dict(await self.client.status())

    async def post(self, path: str, body: object) -> Any:
        """Ask the daemon over its control socket."""
        encoded = msgspec.json.encode(body)
        answer = await asyncio.to_thread(
            ask, self.workspace, "POST", path, encoded, timeout_s=PATIENCE_S
        )
        return msgspec.json.decode(answer)

    async def get(self, path: str) -> Any:
        answer = await asyncio.to_thread(ask, self.workspace, "GET", path, timeout_s=PATIENCE_S)
        return msgspec.json.decode(answer)

    async def push(self, *numbers: int, kind: str = delivery_pack.QUEUED) -> list[Any]:
        """Push one event for each number from outside of the daemon."""
        events = [{"kind": kind, "n": n, "idempotency_key": str(n)} for n in numbers]
        return await self.client.sync_port.push_kernel_events(events)

    async def counts(self, kind: str = ASKED, way: str = "inbound") -> dict[str, Any]:
        zero = {"accepted": 0, "delivered": 0, "buffered": 0, "dropped": {}, "dead_lettered": 0,
                "duplicates": 0, "replayed": 0}  # fmt: skip
        return zero | (await self.status())[way].get(kind, {})

    # Waiting

    async def until(
        self, what: str, reached: Callable[[], Awaitable[bool] | bool], *,
        progress: Callable[[], object] | None = None,
    ) -> None:  # fmt: skip
        """Wait for a condition, with a bound.

        Args:
            what: For the failure.
            reached: The condition.
            progress: Something that changes while it goes on: the bound counts from its last
                change then, and there is another one for the whole.
        """
        loop = asyncio.get_running_loop()
        seen, end = None if progress is None else progress(), loop.time() + PROGRESS_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S) as bound:
                while True:
                    found = reached()
                    if found if isinstance(found, bool) else await found:
                        return
                    if self.daemon is not None and self.daemon.done():
                        self.daemon.result()
                    await asyncio.sleep(0.01)
                    if progress is not None and (now := progress()) != seen:
                        seen = now
                        bound.reschedule(min(end, loop.time() + PATIENCE_S))
        raise AssertionError(f"{what}: not in {PATIENCE_S:g} s; {await self._describe()}")

    async def _describe(self) -> str:
        with contextlib.suppress(Exception):
            status = await self.status()
            return f"{status['link']} {status['cursor']} {status['inbound']} {self.desk}"
        return f"{self.desk}"

    async def linked(self) -> None:
        await self.until("the link opens", self._is_open)

    async def unlinked(self) -> None:
        async def away() -> bool:
            return not await self._is_open()

        await self.until("the link closes", away)

    async def _is_open(self) -> bool:
        return bool((await self.status())["link"]["state"] == "open")

    async def handled(self, numbers: Sequence[int]) -> None:
        """Wait until exactly these were handled, in this order."""
        await self.until("the events are handled", lambda: len(self.desk.handled) >= len(numbers))
        assert list(numbers) == self.desk.handled

    async def settled(self) -> dict[str, Any]:
        """Wait until nothing is on its way in either direction; returns the status."""
        seen: list[object] = [None]

        async def quiet() -> bool:
            status = await self.status()
            waiting = status["backlog"] + status["outbox"]["events"]
            seen[0] = waiting, status["outbox"]["unconfirmed"], status["cursor"]["sequence"]
            _, last = await self.conductor.history.bounds(SUBJECT)
            return bool(
                waiting + status["outbox"]["unconfirmed"] == 0
                and status["cursor"]["sequence"] == last
            )

        await self.until("everything is settled", quiet, progress=lambda: seen[0])
        status = await self.status()
        assert status["balanced"]
        return status

    async def end(self) -> None:
        """Stop everything."""
        try:
            await self.stop()
        finally:
            await self.close()
            if self._history is not None:
                await self._history.close()
