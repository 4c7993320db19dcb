"""The harness keeps the daemon's rules; the conformance suite finds what breaks them."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from conductor_sdk import (
    Handled,
    Ignored,
    KernelEvent,
    Outcome,
    Pack,
    PackContext,
    PackManifest,
    Reject,
    Replayed,
    Retry,
    Subscription,
    idempotent,
)
from conductor_sdk.chain.canonical import PayloadRefused
from conductor_sdk.errors import EventMalformed, SubjectMismatch, UnknownKind
from conductor_sdk.pack_errors import HandlerMissing, OutcomeInvalid, SlugMismatch
from conductor_sdk.testing import PackHarness, run_conformance
from conductor_sdk.testing.samples import samples_of

KIND = "conductor:recovery_requested"
EVENT = {"kind": KIND, "event_id": "evt-1", "payload": {"wu_id": "job-1"}}
Handling = Callable[[KernelEvent, Any], Awaitable[Outcome]]


def make(handler: Handling | Subscription, **fields: Any) -> Pack:
    manifest = PackManifest(
        id="acme",
        version="1.0.0",
        emitted_event_kinds=["acme:queued", "acme:told"],
        backpressure_policy={"acme:queued": "queue", "acme:told": "ephemeral"},
        subscribed_event_kinds=[KIND],
    )
    fields = {"samples": {KIND: [{"wu_id": "job-1"}]}, **fields}
    return Pack(manifest, {KIND: handler}, **fields)


async def count(ctx: PackContext) -> None:
    def work(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE IF NOT EXISTS runs (n INTEGER)")
        db.execute("INSERT INTO runs VALUES (1)")

    await ctx.storage.run(work)


async def upsert(event: KernelEvent, ctx: PackContext) -> None:
    def work(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY)")
        db.execute("INSERT INTO jobs VALUES (?) ON CONFLICT DO NOTHING", (event.event_id,))

    await ctx.storage.run(work)


@idempotent(key=lambda event: event.event_id)
async def good(event: KernelEvent, ctx: PackContext) -> Outcome:
    await upsert(event, ctx)
    await ctx.push("acme:queued", {"n": 1}, key=event.event_id)
    return Handled()


async def test_a_settled_event_never_reaches_the_handler_again() -> None:
    async with PackHarness(make(good)) as harness:
        assert Handled() == await harness.deliver(EVENT)
        assert Replayed("settled") == await harness.deliver(EVENT)
        assert harness.attempts == {"evt-1": 1}


async def test_a_lost_settlement_calls_the_handler_again() -> None:
    async with PackHarness(make(good)) as harness:
        await harness.deliver(EVENT)
        assert Replayed() == await harness.deliver_again()
        assert harness.attempts == {"evt-1": 2}


async def test_deliver_again_needs_a_delivery() -> None:
    async with PackHarness(make(good)) as harness:
        with pytest.raises(OutcomeInvalid, match="nothing was delivered"):
            await harness.deliver_again()


async def test_a_retry_leaves_the_event_unsettled() -> None:
    answers: list[Outcome] = [Retry("later", 1.5), Handled("now")]

    async def handler(event: KernelEvent, ctx: PackContext) -> Outcome:
        return answers.pop(0)

    async with PackHarness(make(handler)) as harness:
        assert Retry("later", 1.5) == await harness.deliver(EVENT)
        assert Handled("now") == await harness.deliver(EVENT)


async def test_a_crash_keeps_the_effect_and_loses_key_and_outcome() -> None:
    async with PackHarness(make(good)) as harness:
        await harness.crash_between_effect_and_key(EVENT)
        assert set() == harness.keys.durable
        assert await harness.storage.run(
            lambda db: db.execute("SELECT id FROM jobs").fetchall()
        ) == [("evt-1",)]
        assert Handled() == await harness.deliver(EVENT)
        assert {"evt-1"} == harness.keys.durable


async def test_an_effect_committed_with_its_key_is_not_repeated_after_a_crash() -> None:
    async def handler(event: KernelEvent, ctx: PackContext) -> Outcome:
        def work(db: sqlite3.Connection) -> int:
            db.execute("CREATE TABLE IF NOT EXISTS runs (n INTEGER)")
            db.execute("INSERT INTO runs VALUES (1)")
            return 1

        await ctx.storage.run_once(event.event_id, work)
        return Handled()

    async with PackHarness(make(handler)) as harness:
        await harness.crash_between_effect_and_key(EVENT)
        assert Replayed() == await harness.deliver(EVENT)
        assert harness.attempts == {"evt-1": 1}
    assert run_in_thread(make(handler)) == []


async def test_keys_are_durable_also_when_the_handler_raises_after_them() -> None:
    async def handler(event: KernelEvent, ctx: PackContext) -> Outcome:
        await ctx.replay_log.put("k")
        raise LookupError

    async with PackHarness(make(handler)) as harness:
        with pytest.raises(LookupError):
            await harness.deliver(EVENT)
        assert {"k"} == harness.keys.durable


@dataclass
class AsDataclass:
    wu_id: str


class AsStruct(msgspec.Struct):
    wu_id: str


class AsModel(BaseModel):
    wu_id: str


@pytest.mark.parametrize("payload", [AsDataclass, AsStruct, AsModel])
async def test_a_typed_payload_arrives_typed_and_a_misfit_is_rejected(payload: type[Any]) -> None:
    async def handler(event: KernelEvent, ctx: PackContext) -> Outcome:
        assert isinstance(event.payload, payload)
        return Handled(event.payload.wu_id)

    async with PackHarness(make(Subscription(handler, payload=payload))) as harness:
        assert Handled("job-1") == await harness.deliver(EVENT)
        outcome = await harness.deliver({"kind": KIND, "payload": {"wu_id": 7}})
    assert isinstance(outcome, Reject)
    assert "wu_id" in outcome.reason


async def test_a_kind_without_subscription_is_refused() -> None:
    async with PackHarness(make(good)) as harness:
        with pytest.raises(HandlerMissing, match="does not subscribe"):
            await harness.deliver({"kind": "conductor:other"})


async def test_nonsense_is_not_an_outcome() -> None:
    async def handler(event: KernelEvent, ctx: PackContext) -> Any:
        return "handled"

    async with PackHarness(make(handler)) as harness:
        with pytest.raises(OutcomeInvalid, match="str"):
            await harness.deliver(EVENT)


def test_a_pack_that_would_not_load_gets_no_harness() -> None:
    manifest = PackManifest(
        id="acme",
        version="1.0.0",
        emitted_event_kinds=["other:x"],
        backpressure_policy={"other:x": "queue"},
    )
    with pytest.raises(SlugMismatch):
        PackHarness(Pack(manifest))


async def test_a_push_is_refused_as_a_whole() -> None:
    async with PackHarness(make(good), subject="ws-1") as harness:
        fine: dict[str, Any] = {"kind": "acme:queued", "payload": {}}
        for bad, refusal in (
            ({"kind": "acme:other"}, UnknownKind),
            ({"kind": "acme:queued", "from": "ws-2"}, SubjectMismatch),
            ({"kind": "acme:queued", "big": "x" * 300_000}, EventMalformed),
        ):
            with pytest.raises(refusal):
                await harness.sync_port.push_kernel_events([fine, bad])
    assert harness.pushed == []
    assert harness.receipts == []


async def test_offline_queued_events_wait_in_order_and_ephemeral_ones_are_dropped() -> None:
    async with PackHarness(make(good)) as harness:
        harness.disconnect()
        await harness.context.push("acme:queued", {"n": 1}, key="1")
        dropped = await harness.context.push("acme:told", {})
        await harness.context.push("acme:queued", {"n": 2}, key="2")
        await harness.context.push("acme:queued", {"n": 1}, key="1")
        assert (dropped.status, dropped.reason) == ("dropped", "disconnected")
        assert harness.sync_port.arrived == []
        harness.connect()
        assert (await harness.context.push("acme:told", {})).status == "sent"
    arrived = [event.payload for event in harness.sync_port.arrived]
    assert arrived == [{"n": 1}, {"n": 2}, {}]


async def test_time_and_log_belong_to_the_test() -> None:
    async def handler(event: KernelEvent, ctx: PackContext) -> Outcome:
        deadline = ctx.deadline or 0.0
        ctx.log.info("seen", left=deadline - ctx.clock.monotonic(), at=event.timestamp)
        return Handled()

    pack = make(Subscription(handler, deadline_s=5))
    async with PackHarness(pack) as harness:
        harness.clock.advance(60)
        await harness.deliver(EVENT)
        assert harness.context.workspace.is_dir()
    [entry] = harness.log.entries
    assert entry.fields == {"left": 5.0, "at": "2026-01-01T00:01:00.000Z"}


async def test_the_journal_takes_json_without_floats() -> None:
    async with PackHarness(make(good)) as harness:
        assert await harness.journal.append("acme:thing", {"a": [1, "x", None, True]}) == 1
        with pytest.raises(PayloadRefused, match="/a/0 is a float"):
            await harness.journal.append("acme:thing", {"a": [1.5]})
    assert len(harness.journal.entries) == 1


def run_in_thread(pack: Pack) -> list[tuple[str, str]]:
    """Run the suite away from this test's loop; what failed, as (check, detail)."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        report = pool.submit(run_conformance, pack).result()
    assert all(result.hint for result in report.failures)
    return [(result.name, result.detail) for result in report.failures]


def test_a_good_pack_conforms() -> None:
    report = run_conformance(make(good))
    report.assert_passed()
    names = {result.name for result in report.results}
    assert {
        "manifest",
        "emit",
        "undeclared",
        "outcome",
        "replay",
        "crash",
        "cancel",
        "state",
    } == names


async def no_check(event: KernelEvent, ctx: PackContext) -> Outcome:
    await upsert(event, ctx)
    return Handled()


async def key_before_effect(event: KernelEvent, ctx: PackContext) -> Outcome:
    if await ctx.replay_log.has(event.event_id):
        return Replayed()
    await ctx.replay_log.put(event.event_id)
    await count(ctx)
    return Handled()


@idempotent(key=lambda event: event.event_id)
async def not_an_upsert(event: KernelEvent, ctx: PackContext) -> Outcome:
    await count(ctx)
    return Handled()


@idempotent(key=lambda event: event.event_id)
async def unkeyed_push(event: KernelEvent, ctx: PackContext) -> Outcome:
    await ctx.push("acme:queued", {})
    return Handled()


async def ignores_with_key(event: KernelEvent, ctx: PackContext) -> Outcome:
    await ctx.replay_log.put(event.event_id)
    return Ignored()


@idempotent(key=lambda event: event.event_id)
async def undeclared_push(event: KernelEvent, ctx: PackContext) -> Outcome:
    await ctx.push("acme:secret", {})
    return Handled()


async def raises(event: KernelEvent, ctx: PackContext) -> Outcome:
    raise LookupError("no such\njob")


async def returns_none(event: KernelEvent, ctx: PackContext) -> Any:
    return None


async def changes_payload(event: KernelEvent, ctx: PackContext) -> Outcome:
    event.payload["wu_id"] = "changed"
    return Ignored()


def remembers_in_the_module() -> Handling:
    seen: set[str] = set()

    async def handler(event: KernelEvent, ctx: PackContext) -> Outcome:
        if event.event_id in seen:
            return Replayed()
        seen.add(event.event_id)
        return Handled()

    return handler


@pytest.mark.parametrize(
    ("handler", "check", "detail"),
    [
        (no_check, "replay", "handler called twice: it handled the duplicate again"),
        (not_an_upsert, "crash", "the second run changed the rows of table runs from 1 to 2"),
        (
            unkeyed_push,
            "crash",
            "the second run changed the number of acme:queued events from 1 to 2",
        ),
        (ignores_with_key, "outcome", "ignored, but stored the replay key"),
        (undeclared_push, "outcome", "UNKNOWN_KIND"),
        (raises, "outcome", "LookupError: no such job"),
        (returns_none, "outcome", "OUTCOME_INVALID"),
        (changes_payload, "state", "the handler changed the event's payload"),
        (remembers_in_the_module(), "state", "first handled(handled), in a fresh context replayed"),
    ],
)
def test_what_breaks_the_contract_is_found(handler: Handling, check: str, detail: str) -> None:
    failures = dict(run_in_thread(make(handler)))
    assert detail in failures[check]


def test_a_key_that_is_put_before_its_effect_loses_the_effect() -> None:
    """Nothing is done before the crash, so the second run is the first: allowed, and seen."""
    assert run_in_thread(make(key_before_effect)) == []


def test_a_handler_that_hangs_fails_its_checks_alone() -> None:
    from conductor_sdk.testing.conformance import check_conformance

    async def hangs(event: KernelEvent, ctx: PackContext) -> Outcome:
        await asyncio.Event().wait()
        return Handled()

    report = asyncio.run(check_conformance(make(hangs), timeout_s=0.01))
    assert {"outcome", "replay", "crash", "cancel", "state"} == {
        result.name for result in report.failures
    }
    with pytest.raises(AssertionError, match="FAIL outcome"):
        report.assert_passed()


def test_a_kind_without_a_sample_is_a_failure_with_its_fix() -> None:
    report = run_conformance(make(good, samples={}))
    [failure] = report.failures
    assert failure.name == "samples"
    assert KIND in failure.hint


class Inner(msgspec.Struct):
    n: int


class Wide(msgspec.Struct):
    wu_id: str
    inner: Inner
    many: list[int]
    level: float
    on: bool
    maybe: str | None = None


def test_samples_are_made_from_a_payload_type() -> None:
    pack = make(Subscription(good, payload=Wide), samples={})
    [sample] = samples_of(pack)[KIND]
    assert sample == {"wu_id": "sample", "inner": {"n": 1}, "many": [], "level": 1, "on": True}
    msgspec.convert(sample, Wide)
    run_conformance(pack).assert_passed()


def test_an_invalid_manifest_stops_the_suite_at_once() -> None:
    pack = dataclasses.replace(make(good), handlers={})
    report = run_conformance(pack)
    assert [(result.name, result.passed) for result in report.results] == [("manifest", False)]


@pytest.mark.parametrize("ends", ["cancel", "raise"])
def test_a_background_task_must_end_when_it_is_cancelled(ends: str) -> None:
    async def background(ctx: PackContext) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            if ends == "raise":
                raise LookupError("bad end")

    failures = run_in_thread(make(good, background=background))
    expected: list[Mapping[str, str]] | list[tuple[str, str]] = (
        [] if ends == "cancel" else [("background", "LookupError: bad end")]
    )
    assert expected == failures
