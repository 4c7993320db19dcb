"""The quickstart's own tests, its third branch, and what the demonstration adds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from conductor_packs.acme_demo.emit import JobContext, queue_job, run_job, run_periodically
from conductor_packs.acme_demo.handlers import on_recovery_requested
from conductor_packs.acme_demo.pack import pack
from conductor_sdk import Handled, Ignored, KernelEvent, PushReceipt, Reject, Replayed
from conductor_sdk.event import keyed_event_id
from conductor_sdk.testing import PackHarness, run_conformance


class OneCallSyncPort:
    def __init__(self) -> None:
        self.calls: list[Sequence[KernelEvent | Mapping[str, Any]]] = []

    async def push_kernel_events(
        self, events: Sequence[KernelEvent | Mapping[str, Any]]
    ) -> list[PushReceipt]:
        self.calls.append(events)
        return []


class RecoveryTwin:
    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.recovered: list[str] = []
        self.replay_log = self

    async def has(self, key: str) -> bool:
        return key in self.seen

    async def put(self, key: str) -> None:
        self.seen.add(key)

    async def mark_job_recovered(self, job_id: str) -> None:
        self.recovered.append(job_id)


def recovery(wu_id: object, event_id: str = "evt-abc") -> KernelEvent:
    return KernelEvent(
        schema_version=2,
        kind="conductor:recovery_requested",
        event_id=event_id,
        timestamp="2026-04-20T00:00:00Z",
        from_="ws-test",
        payload={"wu_id": wu_id},
    )


async def test_it_emits_a_namespaced_kind_through_the_builder() -> None:
    sync_port = OneCallSyncPort()
    await run_job(JobContext(sync_port, workspace_identity="ws-test", job_id="job-1"))
    [[event]] = sync_port.calls
    assert isinstance(event, KernelEvent)
    assert event.kind == "acme-demo:job_completed"
    assert event.schema_version == 2
    assert keyed_event_id("ws-test", event.kind, "job-1:completed") == event.event_id
    assert event.from_ == "ws-test"
    assert event.payload == {"job_id": "job-1", "result": "ok"}


async def test_the_handler_is_idempotent_under_replay() -> None:
    ctx = RecoveryTwin()
    event = recovery("acme-job-1")
    assert Handled("recovered") == await on_recovery_requested(event, ctx)
    assert Replayed("noop") == await on_recovery_requested(event, ctx)
    assert ctx.recovered == ["acme-job-1"]
    assert {"acme-demo:recover:evt-abc"} == ctx.seen


async def test_a_job_of_another_pack_is_ignored_and_leaves_no_key() -> None:
    ctx = RecoveryTwin()
    assert Ignored("wrong-pack") == await on_recovery_requested(recovery("other-1"), ctx)
    assert ctx.recovered == []
    assert set() == ctx.seen


@pytest.mark.parametrize("wu_id", [None, 7, ["acme-job-1"]])
async def test_a_recovery_without_a_job_is_rejected(wu_id: object) -> None:
    outcome = await on_recovery_requested(recovery(wu_id), RecoveryTwin())
    assert Reject("payload has no wu_id") == outcome


async def test_the_effect_is_an_upsert_in_the_packs_storage() -> None:
    async with PackHarness(pack) as harness:
        await harness.crash_between_effect_and_key(recovery("acme-job-1"))
        assert Handled("recovered") == await harness.deliver(recovery("acme-job-1"))
        assert Handled("recovered") == await harness.deliver(recovery("acme-job-1", "evt-2"))
        jobs = await harness.storage.run(
            lambda db: [row[0] for row in db.execute("SELECT job_id FROM jobs")]
        )
    assert jobs == ["acme-job-1"]
    assert {"acme-demo:recover:evt-abc", "acme-demo:recover:evt-2"} == harness.keys.durable


async def test_offline_the_queued_kind_waits_and_the_ephemeral_one_is_dropped() -> None:
    async with PackHarness(pack) as harness:
        job = JobContext(harness.sync_port, "ws-test", "job-1")
        harness.disconnect()
        await queue_job(job)
        await run_job(job)
        assert [receipt.status for receipt in harness.receipts] == ["queued", "dropped"]
        assert harness.receipts[1].reason == "disconnected"
        harness.connect()
    assert [event.kind for event in harness.sync_port.arrived] == ["acme-demo:job_queued"]


async def test_the_background_job_runs_only_when_it_is_configured() -> None:
    async with PackHarness(pack) as harness:
        await run_periodically(harness.context)
    assert harness.pushed == []


async def test_the_background_job_pushes_both_kinds_until_it_is_cancelled() -> None:
    async with PackHarness(pack, config={"every_s": 0.001}) as harness:
        task = asyncio.ensure_future(run_periodically(harness.context))
        async with asyncio.timeout(10):
            while len(harness.receipts) < 6:
                harness.clock.advance(1)
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    assert [event.kind for event in harness.pushed[:2]] == [
        "acme-demo:job_queued",
        "acme-demo:job_completed",
    ]


def test_it_conforms() -> None:
    run_conformance(pack).assert_passed()
