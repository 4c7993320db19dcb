"""A run that failed says so in its checkpoint, and goes on from there when it is tried again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from conductor_flows import Flow, NodeContext, node, trigger
from conductor_flows.capabilities.rows import MemoryRows, Rows
from conductor_flows.durable.errors import LeaseConflict, StillWaiting
from conductor_flows.durable.failing import SAID_MAX
from conductor_flows.durable.ports import Lease
from conductor_flows.durable.records import Checkpoint, Failed, Status
from conductor_flows.durable.resume import resume
from conductor_flows.durable.services import Durability, in_memory, in_sqlite, on_rows
from conductor_flows.durable.stores import RowCheckpointStore
from conductor_flows.execute.errors import DeadlineExceeded, FlowError, MissingOutput, NodeFailed
from conductor_flows.execute.outcomes import Value
from conductor_flows.execute.runner import Invocation, Runner
from conductor_flows.execute.services import Services
from conductor_sdk.clock import ManualClock, epoch_ms
from virtual_time import LoopClock, virtual

T = TypeVar("T")


class Shop:
    """A strong flow that charges, then ships; shipping does what it is told."""

    def __init__(self) -> None:
        self.keys: list[tuple[str, str, str]] = []
        """Node, run and idempotency key of every call."""
        self.trouble: list[Callable[[], Any]] = []
        """What shipping does first, call by call."""

    def runner(
        self, durability: Durability, *, after_charge: Callable[[], Any] = lambda: None
    ) -> Runner:
        @trigger(summary="Take")
        async def take(number: int) -> int:
            return number

        @node(effects="effectful", idempotency="context", summary="Charge")
        async def charge(number: int, context: NodeContext) -> int:
            self._note("charge", context)
            after_charge()
            return number * 2

        @node(effects="effectful", idempotency="context", summary="Ship")
        async def ship(number: int, context: NodeContext) -> int | None:
            self._note("ship", context)
            if self.trouble:
                found = self.trouble.pop(0)()
                return await found if asyncio.iscoroutine(found) else found
            return number + 1

        flow = Flow("shop", "1.0.0", summary="Charges and ships", durability="strong")
        flow.connect(flow.add(take), charged := flow.add(charge))
        flow.connect(charged, flow.add(ship))
        return Runner(flow.program(), Services(durability=durability))

    def _note(self, name: str, context: NodeContext) -> None:
        assert context.idempotency_key is not None
        self.keys.append((name, context.run.run_id, context.idempotency_key))

    @property
    def called(self) -> list[str]:
        return [name for name, _, _ in self.keys]


def raising(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def kept(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Durability]:
    found = in_sqlite(tmp_path / "c.db", clock=clock)
    yield found
    await found.close()


async def only(kept: Durability) -> Checkpoint:
    assert kept.store is not None
    (record,) = await kept.store.list()
    return record


async def failed_run(shop: Shop, kept: Durability, error: BaseException) -> Checkpoint:
    shop.trouble = [raising(error)]
    with pytest.raises(NodeFailed):
        await shop.runner(kept).run(Invocation(4))
    return await only(kept)


async def test_a_run_that_failed_is_known_with_where_when_and_why(
    kept: Durability, clock: ManualClock
) -> None:
    record = await failed_run(Shop(), kept, LookupError("no carrier"))
    now_ms = epoch_ms(clock.now())
    said = Failed(now_ms, "FLOW_NODE_FAILED", "LookupError: no carrier", "ship")
    assert (said, Status.FAILED, False) == (record.failed, record.status(now_ms),
                                            record.due(now_ms))  # fmt: skip
    assert ["ship"] == record.frontier.pending
    assert kept.store is not None
    assert [record] == await kept.store.list(status=Status.FAILED)
    assert [] == await kept.store.list(status=Status.ACTIVE)


async def test_the_second_try_is_the_same_run_with_the_same_keys_and_repeats_nothing_else(
    kept: Durability,
) -> None:
    shop = Shop()
    record = await failed_run(shop, kept, LookupError("no carrier"))
    assert Value(9) == await resume(shop.runner(kept), kept, record.checkpoint_id)
    assert ["charge", "ship", "ship"] == shop.called
    assert 1 == len({run for _, run, _ in shop.keys})
    assert shop.keys[1] == shop.keys[2]
    assert kept.store is not None
    assert [] == await kept.store.list()


async def test_a_try_that_fails_too_leaves_what_it_failed_by(
    kept: Durability, clock: ManualClock
) -> None:
    shop = Shop()
    first = await failed_run(shop, kept, LookupError("no carrier"))
    clock.advance(60)
    shop.trouble = [raising(ValueError("no parcel"))]
    with pytest.raises(NodeFailed):
        await resume(shop.runner(kept), kept, first.checkpoint_id)
    record = await only(kept)
    assert record.failed is not None
    assert first.failed is not None
    assert (1, "ValueError: no parcel", 60_000) == (
        record.attempts, record.failed.said, record.failed.at_ms - first.failed.at_ms,
    )  # fmt: skip


async def test_while_it_is_tried_again_it_has_not_failed_and_nobody_else_may_try(
    kept: Durability, tmp_path: Path, clock: ManualClock
) -> None:
    shop = Shop()
    record = await failed_run(shop, kept, LookupError("no carrier"))
    seen: list[Any] = []
    other = in_sqlite(tmp_path / "c.db", clock=clock)  # as another process would

    async def look() -> int:
        seen.append((await only(kept)).failed)
        with pytest.raises(LeaseConflict) as caught:
            await resume(shop.runner(other), other, record.checkpoint_id)
        seen.append(caught.value.code)
        return 7

    shop.trouble = [look]
    assert Value(7) == await resume(shop.runner(kept), kept, record.checkpoint_id)
    assert [None, "DAG-CKPT-007"] == seen
    assert ["charge", "ship", "ship"] == shop.called
    await other.close()


async def test_of_two_who_try_at_once_one_does_it(
    kept: Durability, tmp_path: Path, clock: ManualClock
) -> None:
    shop = Shop()
    record = await failed_run(shop, kept, LookupError("no carrier"))
    other = in_sqlite(tmp_path / "c.db", clock=clock)
    begun = asyncio.Event()

    async def wait() -> int:
        await begun.wait()
        return 7

    shop.trouble = [wait]
    tries = [
        asyncio.create_task(resume(shop.runner(place), place, record.checkpoint_id))
        for place in (kept, other)
    ]
    done, (last,) = await asyncio.wait(tries, return_when=asyncio.FIRST_COMPLETED)
    begun.set()
    assert Value(7) == await last
    assert [LeaseConflict] == [type(each.exception()) for each in done]
    assert ["charge", "ship", "ship"] == shop.called
    await other.close()


async def test_a_run_that_failed_is_left_alone_by_whoever_does_not_mean_it(
    kept: Durability,
) -> None:
    shop = Shop()
    record = await failed_run(shop, kept, LookupError("no carrier"))
    with pytest.raises(StillWaiting, match="failed"):
        await resume(shop.runner(kept), kept, record.checkpoint_id, again=False)
    assert ["charge", "ship"] == shop.called
    assert record == await only(kept)


async def test_a_run_that_fails_while_somebody_waits_for_its_lease_is_not_tried_by_them_unseen(
    kept: Durability,
) -> None:
    shop = Shop()
    record = await failed_run(shop, kept, LookupError("no carrier"))
    assert kept.store is not None
    assert kept.rows is not None
    await kept.store.put(msgspec.structs.replace(record, failed=None))

    class Meanwhile(RowCheckpointStore):
        async def lease(self, checkpoint_id: str, ttl_s: float) -> Lease:
            await self.put(record)
            return await super().lease(checkpoint_id, ttl_s)

    place = replace(kept, store=Meanwhile(kept.rows, clock=kept.clock))
    with pytest.raises(StillWaiting, match="failed"):
        await resume(shop.runner(place), place, record.checkpoint_id)
    assert ["charge", "ship"] == shop.called
    assert Value(9) == await resume(shop.runner(place), place, record.checkpoint_id)


@virtual
async def test_a_run_whose_deadline_came_has_failed() -> None:
    shop, kept = Shop(), in_memory(clock=LoopClock())
    shop.trouble = [asyncio.Event().wait]
    with pytest.raises(DeadlineExceeded):
        await shop.runner(kept).run(Invocation(4, deadline_s=60))
    failed = (await only(kept)).failed
    assert failed is not None
    assert ("FLOW_DEADLINE_EXCEEDED", None) == (failed.code, failed.node)


async def test_a_run_that_ended_without_an_answer_has_failed(kept: Durability) -> None:
    shop = Shop()
    shop.trouble = [lambda: None]
    with pytest.raises(MissingOutput):
        await shop.runner(kept).run(Invocation(4))
    failed = (await only(kept)).failed
    assert failed is not None
    assert "it ended without an answer" == failed.said


async def test_a_run_that_was_cancelled_has_not_failed(kept: Durability) -> None:
    shop, begun = Shop(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    shop.trouble = [hang]
    task = asyncio.create_task(shop.runner(kept).run(Invocation(4)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    record = await only(kept)
    assert (None, True) == (record.failed, record.due(0))


@pytest.mark.parametrize("said", ["x" * 100_000, "half a character: \ud800"])
async def test_whatever_was_raised_can_be_written(kept: Durability, said: str) -> None:
    record = await failed_run(Shop(), kept, LookupError(said))
    assert record.failed is not None
    assert record.failed.said.startswith("LookupError: ")
    assert len(record.failed.said) <= SAID_MAX


class Refusing(MemoryRows):
    """Refuses as many pieces of work as it is told to, as a full disk does."""

    refuses = 0

    async def run(self, work: Callable[[Rows], T]) -> T:
        if self.refuses:
            self.refuses -= 1
            raise OSError(28, "No space left on device")
        return await super().run(work)


async def test_the_error_of_the_run_is_told_though_its_end_cannot_be_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows = Refusing()
    shop, kept = Shop(), on_rows(rows)

    def fill() -> None:
        rows.refuses = 2  # the note, and the end of the lease
        raise LookupError("no carrier")

    shop.trouble = [fill]
    with caplog.at_level(logging.WARNING), pytest.raises(NodeFailed, match="no carrier"):
        await shop.runner(kept).run(Invocation(4))
    assert "its end could not be written" in caplog.text
    record = await only(kept)
    assert (None, ["ship"]) == (record.failed, record.frontier.pending)


async def test_a_run_that_a_full_disk_ended_goes_on_when_there_is_room() -> None:
    rows = Refusing()
    shop, kept = Shop(), on_rows(rows)

    def fill() -> None:
        rows.refuses = 3  # what the node has led to, the note, and the end of the lease

    with pytest.raises(FlowError, match="No space left"):
        await shop.runner(kept, after_charge=fill).run(Invocation(4))
    record = await only(kept)
    assert (None, ["charge"]) == (record.failed, record.frontier.pending)
    assert kept.leases is not None
    assert kept.store is not None
    (left,) = (await kept.leases.leases()).leases  # it runs out, and the run is taken up
    await kept.store.release_lease(left)
    assert Value(9) == await resume(shop.runner(kept), kept, record.checkpoint_id)
    assert ["charge", "charge", "ship"] == shop.called
    assert shop.keys[0] == shop.keys[1]


async def test_a_lease_is_given_up_by_a_run_that_could_not_go_on() -> None:
    shop, kept = Shop(), in_memory()
    record = await failed_run(shop, kept, LookupError("no carrier"))
    runner = shop.runner(kept)

    def broken(*_: Any) -> Any:
        raise LookupError("no store for a tier")

    runner.instance = broken  # type: ignore[method-assign]  # as for an edge that may spill
    with pytest.raises(LookupError, match="tier"):
        await resume(runner, kept, record.checkpoint_id)
    assert kept.leases is not None
    assert () == (await kept.leases.leases()).leases
