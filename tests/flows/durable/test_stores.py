"""One suite over the checkpoint services in memory, in files and in SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from conductor_flows.capabilities.bindings.spec import parse_all
from conductor_flows.capabilities.file_rows import FileRows
from conductor_flows.durable.errors import (
    CheckpointNotFound,
    DelayInvalid,
    LeaseConflict,
    LeaseLost,
    ScheduleNotFound,
    StateCorrupted,
    TokenUnknown,
    TokenUsed,
    VersionIncompatible,
)
from conductor_flows.durable.ports import (
    CheckpointStore,
    Lease,
    LeaseBook,
    ScheduleStatus,
    Ticket,
)
from conductor_flows.durable.records import (
    BlobRef,
    Checkpoint,
    Completed,
    Progress,
    State,
    Status,
    Tokens,
    Wait,
)
from conductor_flows.durable.services import (
    Durability,
    from_bindings,
    in_folder,
    in_memory,
    in_sqlite,
    on_rows,
)
from conductor_flows.durable.stores import LEASES, RowCheckpointStore
from conductor_sdk.clock import ManualClock, epoch_ms

Make = Callable[[Path, ManualClock], Durability]
MAKE: dict[str, Make] = {
    "memory": lambda _, clock: in_memory(clock=clock),
    "filesystem": lambda path, clock: in_folder(path / "checkpoints", clock=clock),
    "sqlite": lambda path, clock: in_sqlite(path / "c.db", clock=clock),
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=MAKE)
async def services(
    request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock
) -> AsyncIterator[Durability]:
    found = MAKE[request.param](tmp_path, clock)
    yield found
    await found.close()


@pytest.fixture
def store(services: Durability) -> CheckpointStore:
    assert services.store is not None
    return services.store


@pytest.fixture
def book(services: Durability) -> LeaseBook:
    assert services.leases is not None
    return services.leases


def record(name: str = "cp-1", *, flow: str = "flow-1", run: str = "run-1",
           ttl_ms: int | None = None) -> Checkpoint:  # fmt: skip
    return Checkpoint(
        checkpoint_id=name, flow_id=flow, flow_version="1.0.0", run_id=run, trigger="t",
        capture="c", created_at_ms=epoch_ms(ManualClock().now()), ttl_ms=ttl_ms,
        frontier=Progress([Completed("t", cursor=1)], ["c"]),
        state=State(msgspec.Raw(b'{"a":1}'), [BlobRef("blob://checkpoint/cp-1/x", 1, "00")]),
        idempotency=Tokens({"e": ["k"]}, {"f": ["l"]}), waits=[Wait("w", "a", "timer")],
    )  # fmt: skip


async def test_checkpoint_round_trip_restores_frontier_and_state(store: CheckpointStore) -> None:
    await store.put(record())
    assert record() == await store.get("cp-1")
    with pytest.raises(CheckpointNotFound):
        await store.get("cp-2")


async def test_lease_conflict_yields_checkpoint_code(store: CheckpointStore) -> None:
    await store.put(record())
    await store.lease("cp-1", 10)
    with pytest.raises(LeaseConflict) as caught:
        await store.lease("cp-1", 10)
    assert "DAG-CKPT-007" == caught.value.code
    with pytest.raises(CheckpointNotFound):
        await store.lease("cp-2", 10)


async def test_of_many_who_ask_at_once_one_gets_the_lease(store: CheckpointStore) -> None:
    await store.put(record())
    found = await asyncio.gather(
        *(store.lease("cp-1", 10) for _ in range(8)), return_exceptions=True
    )
    assert 7 == sum(isinstance(each, LeaseConflict) for each in found)


async def test_a_first_record_comes_with_its_lease_or_not_at_all(store: CheckpointStore) -> None:
    lease = await store.begin(record("cp-1"), 10)
    with pytest.raises(LeaseConflict):
        await store.lease("cp-1", 10)
    changed = msgspec.structs.replace(record("cp-1"), attempts=3)
    with pytest.raises(LeaseConflict):
        await store.begin(changed, 10)
    assert record("cp-1") == await store.get("cp-1")
    await store.put(changed, lease)
    assert changed == await store.get("cp-1")


async def test_a_lease_that_has_run_out_is_replaced_and_its_holder_writes_no_more(
    store: CheckpointStore, clock: ManualClock
) -> None:
    await store.put(record())
    old = await store.lease("cp-1", 10)
    clock.advance(10)
    new = await store.lease("cp-1", 10)
    for refused in (store.renew(old, 10), store.put(record(), old)):
        with pytest.raises(LeaseLost):
            await refused
    await store.release_lease(old)
    await store.put(record(), new)


async def test_a_lease_lives_at_least_a_moment_and_at_most_an_hour(
    store: CheckpointStore, clock: ManualClock
) -> None:
    await store.put(record())
    now_ms = epoch_ms(clock.now())
    short = await store.lease("cp-1", -1)
    assert 50 == short.until_ms - now_ms
    assert 3_600_000 == (await store.renew(short, 10**9)).until_ms - now_ms


async def test_a_renewed_lease_holds_longer_and_a_released_one_is_free(
    store: CheckpointStore, clock: ManualClock
) -> None:
    await store.put(record())
    lease = await store.lease("cp-1", 10)
    clock.advance(9)
    lease = await store.renew(lease, 10)
    clock.advance(9)
    with pytest.raises(LeaseConflict):
        await store.lease("cp-1", 10)
    await store.release_lease(lease)
    await store.lease("cp-1", 10)


async def test_a_lease_is_its_holders_until_somebody_else_has_taken_it(
    store: CheckpointStore, clock: ManualClock
) -> None:
    await store.put(record())
    lease = await store.lease("cp-1", 10)
    clock.jump(86_400)  # the machine slept, or was told another time
    changed = msgspec.structs.replace(record(), attempts=1)
    await store.put(changed, lease)
    lease = await store.renew(lease, 10)
    with pytest.raises(LeaseConflict):
        await store.lease("cp-1", 10)
    clock.jump(86_400)
    await store.ack("cp-1", lease=lease)
    assert [] == await store.list()


async def test_a_clock_that_goes_back_does_not_make_a_lease_hold_for_longer(
    store: CheckpointStore, clock: ManualClock
) -> None:
    await store.put(record())
    old = await store.lease("cp-1", 10)
    clock.jump(-9)  # a little: clocks differ
    with pytest.raises(LeaseConflict):
        await store.lease("cp-1", 10)
    clock.jump(-86_400)
    new = await store.lease("cp-1", 10)
    with pytest.raises(LeaseLost):
        await store.renew(old, 10)
    await store.renew(new, 10)


async def test_leases_are_told_page_by_page(
    store: CheckpointStore, book: LeaseBook, clock: ManualClock
) -> None:
    given: list[Lease] = []
    for number in range(5):
        await store.put(record(f"cp-{number}"))
        given.append(await store.lease(f"cp-{number}", 10))
    clock.advance(20)
    given[3] = await store.renew(given[3], 30)
    pages = [await book.leases(limit=2)]
    while pages[-1].more_after:
        pages.append(await book.leases(after=pages[-1].more_after, limit=2))
    assert [given[:2], given[2:4], given[4:]] == [list(page.leases) for page in pages]
    now_ms = epoch_ms(clock.now())
    held = [lease.checkpoint_id for page in pages for lease in page.leases if lease.holds(now_ms)]
    assert ["cp-3"] == held


async def test_a_lease_that_was_given_up_or_cannot_be_read_is_not_told(
    store: CheckpointStore, book: LeaseBook, services: Durability
) -> None:
    leases = [await store.begin(record(f"cp-{number}"), 10) for number in range(4)]
    await store.release_lease(leases[0])
    await store.ack("cp-1", lease=leases[1])
    assert services.rows is not None
    await services.rows.run(lambda rows: rows.put(LEASES, "cp-2", b"{"))
    page = await book.leases(limit=2)
    assert ([leases[3]], "cp-3") == (list(page.leases), page.more_after)
    assert () == (await book.leases(after="cp-3")).leases


async def test_a_lease_of_an_earlier_build_is_still_one(
    store: CheckpointStore, services: Durability, clock: ManualClock
) -> None:
    await store.put(record())
    assert services.rows is not None
    until_ms = epoch_ms(clock.now()) + 30_000
    row = msgspec.json.encode({"holder": "h", "until_ms": until_ms})
    await services.rows.run(lambda rows: rows.put(LEASES, "cp-1", row))
    with pytest.raises(LeaseConflict):
        await store.lease("cp-1", 10)
    await store.renew(Lease("cp-1", "h", until_ms), 10)


async def test_what_has_expired_goes_with_its_blobs_and_what_is_over_is_forgotten(
    store: CheckpointStore, services: Durability, clock: ManualClock
) -> None:
    assert isinstance(store, RowCheckpointStore)
    assert services.blobs is not None
    assert services.rows is not None
    for name, ttl_ms in (("cp-1", 1000), ("cp-2", None), ("cp-3", None)):
        await store.put(record(name, ttl_ms=ttl_ms))
        await services.blobs.put_checkpoint_blob(name, "state.1", b"x")
    clock.advance(1)
    assert 1 == await store.collect()
    await store.ack("cp-2")
    assert ["cp-3"] == [each.checkpoint_id for each in await store.list()]
    blobs = await services.rows.run(lambda rows: rows.keys(".blobs"))
    assert ["cp-2/state.1", "cp-3/state.1"] == blobs
    assert {"cp-3"} == store._keys.keys()  # a host lives long: it must not grow


async def test_a_list_is_sorted_and_filtered(store: CheckpointStore, clock: ManualClock) -> None:
    for name, flow, run in (("c", "f2", "r1"), ("b", "f1", "r2"), ("a", "f1", "r2"),
                            ("d", "f1", "r1")):  # fmt: skip
        await store.put(record(name, flow=flow, run=run, ttl_ms=1000 if name == "d" else None))
    await store.ack("c", retain_s=60)
    clock.advance(1)

    async def names(**only: object) -> list[str]:
        return [each.checkpoint_id for each in await store.list(**only)]  # type: ignore[arg-type]  # filters by name

    assert ["d", "a", "b", "c"] == await names()
    assert ["d", "a", "b"] == await names(flow="f1")
    assert ["a", "b"] == await names(flow="f1", run="r2")
    assert ["a", "b"] == await names(status=Status.ACTIVE)
    assert ["c"] == await names(status=Status.COMPLETED)
    assert ["d"] == await names(status=Status.EXPIRED)


async def test_an_acknowledged_checkpoint_is_gone_with_its_lease(store: CheckpointStore) -> None:
    await store.put(record())
    lease = await store.lease("cp-1", 10)
    await store.ack("cp-1")
    for refused in (store.get("cp-1"), store.ack("cp-1")):
        with pytest.raises(CheckpointNotFound):
            await refused
    with pytest.raises(LeaseLost):
        await store.renew(lease, 10)


async def test_a_blob_comes_back_only_as_it_was(services: Durability) -> None:
    blobs = services.blobs
    assert blobs is not None
    one = await blobs.put_checkpoint_blob("cp-1", "state.1", b"one")
    two = await blobs.put_checkpoint_blob("cp-1", "state.2", b"two")
    assert (b"one", b"two") == (
        await blobs.get_checkpoint_blob(one), await blobs.get_checkpoint_blob(two),
    )  # fmt: skip
    with pytest.raises(StateCorrupted):
        await blobs.get_checkpoint_blob(msgspec.structs.replace(one, content_hash="00"))
    assert 1 == await blobs.delete_checkpoint_blobs("cp-1", keep=two.ref_id)
    with pytest.raises(StateCorrupted):
        await blobs.get_checkpoint_blob(one)


async def test_a_schedule_is_due_from_its_time_until_it_has_fired(
    services: Durability, clock: ManualClock
) -> None:
    scheduler = services.scheduler
    assert scheduler is not None
    later = await scheduler.schedule_after("cp-1", 10)
    sooner = await scheduler.schedule_at("cp-2", epoch_ms(clock.now()) + 5000)
    dropped = await scheduler.schedule_after("cp-3", 1)
    await scheduler.cancel(dropped.id)
    assert [] == await scheduler.due()
    clock.advance(10)
    assert [sooner, later] == await scheduler.due()
    assert [sooner] == await scheduler.due(limit=1)
    await scheduler.fired(sooner.id)
    await scheduler.cancel(sooner.id)
    assert [later] == await scheduler.due()
    found = [await scheduler.status(each.id) for each in (sooner, later, dropped)]
    assert [ScheduleStatus.FIRED, ScheduleStatus.PENDING, ScheduleStatus.CANCELLED] == found
    clock.advance(8 * 86_400)
    assert [] == await scheduler.due()
    assert ScheduleStatus.EXPIRED is await scheduler.status(later.id)
    for refused in (scheduler.cancel("x"), scheduler.status("x"), scheduler.fired("x")):
        with pytest.raises(ScheduleNotFound):
            await refused
    for delay_s in (-1.0, float("nan"), float("inf")):
        with pytest.raises(DelayInvalid):
            await scheduler.schedule_after("cp-1", delay_s)


async def test_a_token_is_for_one_use_within_its_time(
    services: Durability, clock: ManualClock
) -> None:
    signals, ticket = services.signals, Ticket("cp-1", "w", {"alias": "a"})
    assert signals is not None
    once = await signals.create_token(ticket)
    assert ticket == await signals.peek(once)
    found = await asyncio.gather(*(signals.resolve(once) for _ in range(4)), return_exceptions=True)
    assert 3 == sum(isinstance(each, TokenUsed) for each in found)
    many = await signals.create_token(ticket, ttl_s=5, single_use=False)
    assert ticket == await signals.resolve(many) == await signals.resolve(many)
    clock.advance(5)
    revoked = await signals.create_token(ticket)
    await signals.revoke(revoked)
    for token in (many, revoked, "unknown"):
        with pytest.raises(TokenUnknown):
            await signals.resolve(token)
    with pytest.raises(TokenUnknown):
        await signals.revoke(revoked)


async def test_as_files_records_stand_by_flow_and_run_and_strange_files_are_left_alone(
    tmp_path: Path, clock: ManualClock
) -> None:
    services = in_folder(tmp_path, clock=clock)
    assert services.store is not None
    await services.store.put(record())
    await services.store.lease("cp-1", 10)
    assert (tmp_path / "flow-1/run-1/cp-1.json").is_file()
    assert (tmp_path / ".leases/cp-1.json").is_file()
    (tmp_path / "flow-1/run-1/notes.txt").write_text("no checkpoint")
    (tmp_path / "flow-1/run-1/broken.json").write_text("{")
    (tmp_path / "flow-1/run-1/later.json").write_bytes(
        msgspec.json.encode(msgspec.structs.replace(record("later"), version=2))
    )
    again = in_folder(tmp_path, clock=clock).store
    assert again is not None
    assert ["cp-1"] == [each.checkpoint_id for each in await again.list()]
    with pytest.raises(StateCorrupted):
        await again.get("broken")
    with pytest.raises(VersionIncompatible):
        await again.get("later")


class FullDisk(FileRows):
    """Takes as many rows as it is told to."""

    room = 0

    def put(self, shelf: str, key: str, data: bytes) -> None:
        if not self.room:
            raise OSError(28, "No space left on device")
        self.room -= 1
        super().put(shelf, key, data)


@pytest.mark.parametrize("room", [0, 1])
async def test_a_run_that_could_not_begin_as_the_disk_is_full_leaves_no_record(
    tmp_path: Path, clock: ManualClock, room: int
) -> None:
    rows = FullDisk(tmp_path, suffix=".json")
    services = on_rows(rows, clock=clock)
    assert services.store is not None
    assert services.leases is not None
    rows.room = room
    with pytest.raises(OSError, match="No space"):
        await services.store.begin(record(), 10)
    assert [] == await services.store.list()
    assert () == (await services.leases.leases()).leases
    rows.room = 2
    await services.store.begin(record(), 10)


async def test_a_record_is_whole_though_the_disk_is_full_while_the_next_is_written(
    tmp_path: Path, clock: ManualClock
) -> None:
    rows = FullDisk(tmp_path, suffix=".json")
    services = on_rows(rows, clock=clock)
    assert services.store is not None
    rows.room = 2
    lease = await services.store.begin(record(), 10)
    later = msgspec.structs.replace(record(), attempts=1)
    with pytest.raises(OSError, match="No space"):
        await services.store.put(later, lease)
    assert record() == await services.store.get("cp-1")
    rows.room = 1
    await services.store.put(later, lease)
    assert later == await services.store.get("cp-1")


def files_in(folder: Path) -> list[tuple[str, str]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [(path.name, path.read_text()) for path in files]


async def test_no_token_can_be_read_from_the_store(tmp_path: Path, clock: ManualClock) -> None:
    services = in_folder(tmp_path, clock=clock)
    assert services.signals is not None
    token = await services.signals.create_token(Ticket("cp-1", "w"))
    found = files_in(tmp_path)
    assert found
    assert [] == [name for name, text in found if token in name or token in text]


async def test_a_checkpoint_store_can_be_bound(tmp_path: Path) -> None:
    assert from_bindings(parse_all(["kv=memory"])) is None
    for name in ("memory", f"filesystem:{tmp_path / 'c'}", f"sqlite:{tmp_path / 'c.db'}"):
        services = from_bindings(parse_all(["kv=memory", f"checkpoint_store={name}"]))
        assert services is not None
        assert services.store is not None
        await services.store.put(record())
        assert record() == await services.store.get("cp-1")
        await services.close()
