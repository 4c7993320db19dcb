"""48 hours of 401 cost nothing: not the credential, not the candidate, not a minute afterwards."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from conductor_adapters.transport import CredentialRefused, Transport
from conductor_protocol.backoff import Backoff, BackoffPolicy
from conductor_sdk.secret import Secret
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.credentials import Credentials, Identity, identity_of
from conductor_sidecar.delivery import keeper
from conductor_sidecar.delivery.keeper import Keeper
from conductor_sidecar.rotation.fetch import HttpEndpoint
from conductor_sidecar.rotation.files import EnrollmentFiles
from conductor_sidecar.rotation.means import Means
from conductor_sidecar.rotation.turn import Rotation
from conductor_sidecar.settings import LinkSettings
from conductor_state.enrollment import Enrollment
from conductor_state.identity import (
    CredentialFiles,
    candidate_path,
    read_enrollment,
    write_enrollment,
)
from link_bench import Conductor, LinkBench, until
from virtual_time import virtual

HOURS_48 = 172_800
SUBJECT = "storm"
ENROLLED = Enrollment(
    "ws://127.0.0.1:9/link", Secret("csc_" + "a" * 43), SUBJECT, None, "http://127.0.0.1:9"
)
NEXT = Enrollment(
    "ws://127.0.0.1:9/link", Secret("csc_" + "b" * 43), SUBJECT, None, "http://127.0.0.1:9", 2
)


class Storm:
    """A keeper and a rotation on real files, and a conductor whose answer is set by hand."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.bench = LinkBench()
        self.conductor = Conductor()
        clock, feed = self.bench.clock, self.bench.feed
        credentials = Credentials(
            identity_of(read_enrollment(workspace)), workspace.enrollment,
            lambda: identity_of(read_enrollment(workspace)), feed,
        )  # fmt: skip
        self.rotation = Rotation(
            Means(
                credentials=credentials, files=EnrollmentFiles(CredentialFiles(workspace, clock)),
                endpoint=HttpEndpoint(clock, LinkSettings),
                journal=self.bench.journal, feed=feed, clock=clock, random=lambda: 0.5,
                crash_point=lambda _: None,
            ),
            lambda _: asyncio.sleep(0),
        )  # fmt: skip
        self.rotation.prepare()
        self.tried: list[str] = []

        async def dial(who: Identity) -> Transport:
            self.tried.append(who.credential.reveal()[4])
            return await self.conductor.connect(None)

        async def connect(_: str | None) -> Transport:
            return await self.rotation.connect(dial)

        async def no_head() -> None:
            return None

        self.keeper = Keeper(
            connect, downlink=self.bench.downlink, uplink=self.bench.uplink, feed=feed,
            clock=clock, backoff=Backoff(BackoffPolicy(), lambda: 0.5),
            cursor=self.bench.log.cursor, head=no_head, packs=list, software="test/1",
            adapter="memory", address="memory://home", changed=credentials.changed,
            welcomed=self.rotation.opened,
        )  # fmt: skip

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Run the keeper; no dispatcher, which would look at deadlines each second of two days."""
        tasks = [asyncio.create_task(self.bench.downlink.run(), name="downlink"),
                 asyncio.create_task(self.keeper.run(), name="keeper")]  # fmt: skip
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def files(self) -> tuple[bytes, int]:
        """What the enrollment file holds, and which file it is."""
        path = self.workspace.enrollment
        return path.read_bytes(), path.stat().st_ino


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    found = resolve_workspace(tmp_path)
    write_enrollment(found, ENROLLED)
    return found


@pytest.mark.parametrize("candidate", [False, True], ids=["alone", "with a candidate"])
def test_two_days_of_401_leave_the_credential_as_it_was(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, *, candidate: bool
) -> None:
    # How often the file is looked at is another test's; here it would be 172,800 looks.
    monkeypatch.setattr(keeper, "LOOK_S", 60.0)

    @virtual
    async def storm() -> None:
        if candidate:
            CredentialFiles(workspace, LinkBench().clock).offer(NEXT)
        one = Storm(workspace)
        before = one.files()
        async with one.kept():
            end, _ = await one.conductor.welcomed()
            one.conductor.answer = CredentialRefused("401")
            await end.link.close(1008)
            await asyncio.sleep(HOURS_48)
            report = one.keeper.report()
            assert ("waiting", "CREDENTIAL_REFUSED") == (report.state, report.reason.split(":")[0])
            seconds = one.conductor.seconds[4:]
            gaps = {round(b - a) for a, b in itertools.pairwise(seconds)}
            assert gaps <= ({0, 60} if candidate else {60})
            assert before == one.files()
            assert candidate == candidate_path(workspace).exists()
            one.conductor.answer = None
            mended = asyncio.get_running_loop().time()
            await one.conductor.welcomed()
            await until(lambda: one.keeper.open)
            assert asyncio.get_running_loop().time() - mended <= 60

    storm()


def test_a_file_that_changes_ends_the_storm_at_once(workspace: Workspace) -> None:
    @virtual
    async def storm() -> None:
        one = Storm(workspace)
        async with one.kept():
            end, _ = await one.conductor.welcomed()
            one.conductor.answer = CredentialRefused("401")
            await end.link.close(1008)
            await asyncio.sleep(3600.5)
            write_enrollment(workspace, NEXT)
            one.conductor.answer = None
            changed = asyncio.get_running_loop().time()
            await one.conductor.welcomed()
            assert asyncio.get_running_loop().time() - changed <= 1
            assert "b" == one.tried[-1]

    storm()
