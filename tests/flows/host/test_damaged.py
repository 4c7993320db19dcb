"""Whatever stands in a checkpoint, a lease, a token or a schedule: a coded refusal, or the run."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from conductor_flows import Decision, Flow, approval, node, trigger
from conductor_flows.capabilities.rows import Rows
from conductor_flows.durable.errors import StateCorrupted, TokenUnknown
from conductor_flows.durable.resume import Signal
from conductor_flows.durable.schedules import SCHEDULES
from conductor_flows.durable.services import Durability, in_memory
from conductor_flows.durable.signals import TOKENS
from conductor_flows.durable.stores import LEASES, RECORDS
from conductor_flows.execute.outcomes import Halted
from conductor_flows.execute.runner import Invocation
from conductor_flows.execute.services import Services
from conductor_flows.host.hosting import Host
from conductor_flows.host.waking import wakers
from conductor_sdk.clock import ManualClock
from conductor_sdk.errors import ConductorError

VERDICT = {"approved": True, "approver": "ann", "comment": None, "context": None,
           "decided_at": "2026-01-01T00:00:00Z"}  # fmt: skip
BAD: tuple[Any, ...] = ({}, [], None, -1, 10**30, "x", [[0]])


@trigger(summary="Take")
async def take(number: int) -> int:
    return number


@node(summary="End")
async def end(decision: Decision) -> bool:
    return decision.approved


def host_at(kept: Durability) -> Host:
    flow = Flow("damaged", "1.0.0", summary="Waits", profile="web")
    first, ask, last = flow.add(take), flow.add(approval("ask", int)), flow.add(end)
    flow.connect(first, ask)
    flow.connect(ask, last)
    return Host(flow.program(), Services(durability=kept))


async def halted(kept: Durability) -> Halted:
    outcome = await host_at(kept).invoke(Invocation(3))
    assert isinstance(outcome, Halted)
    return outcome


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    steps = value.items() if isinstance(value, dict) else (
        enumerate(value) if isinstance(value, list) else ()
    )  # fmt: skip
    for step, inner in steps:
        yield (*at, step)
        yield from places(inner, (*at, step))


def damaged(good: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for place in places(good):
        for bad in BAD:
            record = copy.deepcopy(good)
            at = record
            for step in place[:-1]:
                at = at[step]
            at[place[-1]] = bad
            yield (*place, bad), record


async def rewritten(kept: Durability, shelf: str, key: str, data: bytes) -> None:
    assert kept.rows is not None
    await kept.rows.run(lambda rows: rows.put(shelf, key, data))


async def only(kept: Durability, shelf: str) -> tuple[str, bytes]:
    def read(rows: Rows) -> tuple[str, bytes]:
        (key,) = rows.keys(shelf)
        return key, rows.get(shelf, key) or b""

    assert kept.rows is not None
    return await kept.rows.run(read)


async def test_whatever_stands_in_a_record_it_goes_on_or_is_refused_with_a_code() -> None:
    kept = in_memory()
    await halted(kept)
    key, data = await only(kept, RECORDS)
    good = json.loads(data)
    surprises: list[Any] = []
    for place, record in damaged(good):
        fresh = in_memory()
        await rewritten(fresh, RECORDS, key, json.dumps(record).encode())
        try:
            await host_at(fresh).resume(good["checkpoint_id"], signal=Signal(VERDICT))
        except ConductorError:
            pass
        except Exception as error:  # noqa: BLE001  # all of them are told at the end
            surprises.append((place, repr(error)))
    assert [] == surprises


async def test_a_wait_at_a_node_that_is_not_there_is_damage() -> None:
    kept = in_memory()
    outcome = await halted(kept)
    key, data = await only(kept, RECORDS)
    record = json.loads(data)
    record["waits"][0]["alias"] = "nowhere"
    await rewritten(kept, RECORDS, key, json.dumps(record).encode())
    with pytest.raises(StateCorrupted, match="nowhere"):
        await host_at(kept).resume(outcome.checkpoint_id or "", signal=Signal(VERDICT))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"holder": 1}'])
async def test_a_lease_or_a_token_that_cannot_be_read_lets_nobody_on(data: bytes) -> None:
    kept = in_memory()
    outcome = await halted(kept)
    checkpoint_id = outcome.checkpoint_id or ""
    await rewritten(kept, LEASES, checkpoint_id, data)
    with pytest.raises(StateCorrupted, match="lease"):
        await host_at(kept).resume(checkpoint_id, signal=Signal(VERDICT))
    assert kept.rows is not None
    await kept.rows.run(lambda rows: rows.drop(LEASES, checkpoint_id))
    key, _ = await only(kept, TOKENS)
    await rewritten(kept, TOKENS, key, data)
    with pytest.raises(TokenUnknown):
        await host_at(kept).resume(checkpoint_id, signal=Signal(VERDICT, outcome.token))


async def test_a_schedule_that_cannot_be_read_keeps_no_other_from_being_due() -> None:
    clock = ManualClock()
    kept = in_memory(clock=clock)
    assert kept.scheduler is not None
    await rewritten(kept, SCHEDULES, "at-000000000000000-a", b"{")
    made = await kept.scheduler.schedule_after("cp-1", 5)
    clock.advance(6)
    assert [made.id] == [each.id for each in await kept.scheduler.due()]
    (waker,) = wakers([host_at(kept)])
    for task in await waker.look():
        await task
    assert [] == await kept.scheduler.due()
