"""Issue 2, "What a user gets", 8: the same `sync_port` from beside the sidecar."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from conductor_sdk import build_kernel_event_v2, connect
from conductor_sdk.client import SidecarAnswered
from conductor_sdk.errors import (
    EventMalformed,
    QueueFull,
    SidecarUnreachable,
    SubjectMismatch,
    UnknownKind,
)
from real_world import COMPLETED, QUEUED, Sidecar, World

PROGRAM = """
import asyncio, sys
from conductor_sdk import connect

async def main():
    async with connect(sys.argv[1]) as sidecar:
        receipts = await sidecar.sync_port.push_kernel_events([
            {"kind": "acme-demo:job_queued", "job_id": "j", "idempotency_key": "k"},
            {"kind": "acme-demo:job_completed", "job_id": "j"},
        ])
        print(sidecar.subject, *(receipt.status for receipt in receipts))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def sidecar(shared: World) -> Iterator[Sidecar]:
    return shared.loopback("one")


def test_another_program_pushes_through_the_running_sidecar(
    shared: World, sidecar: Sidecar
) -> None:
    words = [sys.executable, "-c", PROGRAM, str(sidecar.workspace)]
    for _ in range(2):
        done = subprocess.run(
            words, env=shared.env, capture_output=True, text=True, timeout=30, check=True
        )
        assert done.stdout == "one queued sent\n"
    sidecar.until(QUEUED, "outbound", buffered=0)
    inbox = (sidecar.workspace / ".lumenflow/memory/signals.jsonl").read_text()
    keyed = build_kernel_event_v2({"kind": QUEUED, "from": "one"}, idempotency_key="k").event_id

    assert [QUEUED in line for line in inbox.splitlines() if keyed in line] == [True]


def test_an_event_is_pushed_by_hand(shared: World, sidecar: Sidecar) -> None:
    name = str(sidecar.workspace)
    words = ("push", QUEUED, "--payload", '{"job_id": "j"}', "--key", "by-hand", "-w", name)
    first, second = shared.command(*words), shared.command(*words, "--json")

    assert (first.code, second.code) == (0, 0)
    assert first.out.startswith(f"queued  {QUEUED}  evt-")
    assert second.json["event_id"] in first.out
    assert second.json["status"] == "queued"


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"kind": "acme-demo:nonsense"}, UnknownKind),
        ({"kind": "conductor:gap_detected"}, UnknownKind),
        ({"kind": "checkpoint"}, UnknownKind),
        ({"kind": "no kind"}, EventMalformed),
        ({"kind": QUEUED, "from": "somebody"}, SubjectMismatch),
        ({"kind": QUEUED, "payload": []}, EventMalformed),
        ({"kind": QUEUED, "payload": {"x": "y" * 300_000}}, EventMalformed),
        ({"kind": QUEUED, "payload": {"x": object()}}, EventMalformed),
        ({"kind": QUEUED, "payload": {"x": "\ud800"}}, EventMalformed),
        ({"kind": QUEUED, "timestamp": "yesterday"}, EventMalformed),
        ({"kind": QUEUED, "event_id": "x" * 129}, EventMalformed),
        ({"kind": QUEUED, "event_id": "a\nb"}, EventMalformed),
        ({"kind": QUEUED, "schema_version": 3}, EventMalformed),
        ({"kind": QUEUED, "idempotency_key": 5}, EventMalformed),
        ({}, EventMalformed),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value)[:50],
)  # fmt: skip
def test_a_refused_event_refuses_the_whole_call(
    sidecar: Sidecar, event: dict[str, object], error: type[Exception]
) -> None:
    before = sidecar.counts(QUEUED, "outbound")["accepted"]
    good = {"kind": QUEUED, "payload": {"n": 1}}
    with pytest.raises(error):
        asyncio.run(connect(sidecar.workspace).sync_port.push_kernel_events([good, event]))

    assert sidecar.counts(QUEUED, "outbound")["accepted"] == before


def test_a_call_that_is_too_large_says_so(sidecar: Sidecar) -> None:
    events = [{"kind": QUEUED, "payload": {"x": "y" * 200_000}}] * 30
    with pytest.raises(SidecarAnswered, match="REQUEST_TOO_LARGE"):
        asyncio.run(connect(sidecar.workspace).sync_port.push_kernel_events(events))


def test_without_a_sidecar_the_call_says_how_to_start_one(world: World) -> None:
    with pytest.raises(SidecarUnreachable) as refused:
        asyncio.run(connect(world.directory).sync_port.push_kernel_events([{"kind": QUEUED}]))

    assert "conductor sidecar" in refused.value.hint
    done = world.command("push", QUEUED, "--json")
    assert (done.code, done.error["code"]) == (69, "SIDECAR_UNREACHABLE")


def test_a_full_outbox_that_rejects_raises_and_drops_nothing(world: World) -> None:
    workspace = world.directory / "two"
    conductor = world.conductor()
    conductor.enroll(workspace)
    conductor.running.end()
    sidecar = world.sidecar(
        workspace, "--set", "outbox.max_events=2", "--set", "outbox.overflow=reject"
    )
    push = connect(workspace).sync_port.push_kernel_events
    for _ in range(2):
        asyncio.run(push([{"kind": QUEUED}]))
    with pytest.raises(QueueFull):
        asyncio.run(push([{"kind": QUEUED}]))
    done = world.command("push", QUEUED, "--json", "-w", str(workspace))

    assert (done.code, done.error["code"]) == (6, "QUEUE_FULL")
    receipts = asyncio.run(push([{"kind": COMPLETED}]))
    assert [(of.status, of.reason) for of in receipts] == [("dropped", "disconnected")]
    assert sidecar.counts(QUEUED, "outbound")["buffered"] == 2
    assert json.loads(world.command("status", "--json", "-w", str(workspace)).out)["balanced"]
